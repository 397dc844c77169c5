// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Assemble writes the image for all platforms as an OCI image layout, and prints its digest:
//
//	go run ./image/assemble -version v1.2.3 -revision COMMIT -created TIME LAYOUT dist/rootfs-amd64 dist/rootfs-arm64
//
// The folders are what rootfs wrote, named by their architecture. `crane push` brings the layout into a registry.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/renewd/renewd/e2e/image"
	"github.com/renewd/renewd/e2e/internal/program"
)

func main() {
	version := flag.String("version", "devel", "the `version` of the release")
	revision := flag.String("revision", "unknown", "the `commit` that it is built from")
	created := flag.String("created", "1970-01-01T00:00:00Z", "the `time` of the commit, RFC 3339 in UTC")
	flag.Parse()
	digest, err := assemble(*version, *revision, *created, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "assemble:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

func assemble(version, revision, created string, args []string) (string, error) {
	if len(args) < 2 {
		return "", errors.New("name the layout and at least one folder of files")
	}
	at, err := time.Parse(time.RFC3339, created)
	if err != nil {
		return "", err
	}
	module, err := program.Module()
	if err != nil {
		return "", err
	}
	config, err := image.ReadDockerfile(filepath.Join(module, "Dockerfile"), map[string]string{
		"VERSION": version, "REVISION": revision, "CREATED": created,
	})
	if err != nil {
		return "", err
	}
	recipe := image.Recipe{Config: config, Created: at, Roots: map[string]string{}}
	for _, folder := range args[1:] {
		_, arch, ok := strings.Cut(filepath.Base(folder), "rootfs-")
		if !ok {
			return "", fmt.Errorf("%s: want a folder named rootfs-ARCHITECTURE", folder)
		}
		recipe.Roots[arch] = folder
	}
	index, err := recipe.Index()
	if err != nil {
		return "", err
	}
	return image.Write(index, args[0], version)
}
