// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Sbom prints what a program of a release is made of, as SPDX 2.3 in JSON:
//
//	go run ./image/sbom -version v1.2.3 -created TIME dist/rootfs-amd64/renewd
//
// It says what the linker wrote into the program: its modules and the version of Go. Nothing is looked up, and the same program gives
// the same text.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// document is a part of SPDX 2.3; the names of its fields are the standard's (clauses 6, 7 and 11).
type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creation       `json:"creationInfo"`
	Packages          []component    `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type component struct {
	SPDXID           string      `json:"SPDXID"`
	Name             string      `json:"name"`
	VersionInfo      string      `json:"versionInfo"`
	DownloadLocation string      `json:"downloadLocation"`
	FilesAnalyzed    bool        `json:"filesAnalyzed"`
	Checksums        []checksum  `json:"checksums,omitempty"`
	ExternalRefs     []reference `json:"externalRefs"`
}

type checksum struct {
	Algorithm     string `json:"algorithm"`
	ChecksumValue string `json:"checksumValue"`
}

type reference struct {
	ReferenceCategory string `json:"referenceCategory"`
	ReferenceType     string `json:"referenceType"`
	ReferenceLocator  string `json:"referenceLocator"`
}

type relationship struct {
	SPDXElementID      string `json:"spdxElementId"`
	RelationshipType   string `json:"relationshipType"`
	RelatedSPDXElement string `json:"relatedSpdxElement"`
}

func main() {
	version := flag.String("version", "devel", "the `version` of the release")
	created := flag.String("created", "1970-01-01T00:00:00Z", "the `time` of the commit, RFC 3339 in UTC")
	flag.Parse()
	if err := write(*version, *created, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func write(version, created string, args []string) error {
	if len(args) != 1 {
		return errors.New("name one program")
	}
	if _, err := time.Parse(time.RFC3339, created); err != nil {
		return err
	}
	program, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(describe(info, version, created, sha256.Sum256(program)))
}

// describe lists the program, its modules and the standard library.
func describe(info *buildinfo.BuildInfo, version, created string, sum [sha256.Size]byte) document {
	digest := hex.EncodeToString(sum[:])
	program := module(info.Main.Path, version)
	program.Checksums = []checksum{{"SHA256", digest}}
	d := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT",
		Name: "renewd-" + version, DocumentNamespace: "https://github.com/renewd/renewd/spdx/" + digest,
		CreationInfo:  creation{created, []string{"Organization: The renewd authors"}},
		Packages:      []component{program, module("stdlib", strings.TrimPrefix(info.GoVersion, "go"))},
		Relationships: []relationship{{"SPDXRef-DOCUMENT", "DESCRIBES", program.SPDXID}},
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		d.Packages = append(d.Packages, module(dep.Path, dep.Version))
	}
	for _, p := range d.Packages[1:] {
		d.Relationships = append(d.Relationships, relationship{program.SPDXID, "DEPENDS_ON", p.SPDXID})
	}
	return d
}

// module describes a module of Go by its package URL.
func module(path, version string) component {
	id := regexp.MustCompile(`[^A-Za-z0-9.]+`).ReplaceAllString(path, "-")
	return component{
		SPDXID: "SPDXRef-Package-" + id, Name: path, VersionInfo: version, DownloadLocation: "NOASSERTION",
		ExternalRefs: []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + version}},
	}
}
