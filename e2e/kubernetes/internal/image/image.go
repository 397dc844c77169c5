// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package image writes container images of one layer, with neither a base image nor an engine. They are for a node's own store:
// nothing is pulled, and nothing is pushed.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
)

// Image is what an image holds and runs.
type Image struct {
	Name       string            // such as example.com/app:1
	Files      map[string]string // absolute path in the image → program of this machine
	Entrypoint []string
	Command    []string
	User       string // such as 65532:65532; empty: root
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Write writes the image as a tar file in the OCI layout.
func (i Image) Write(w io.Writer) error {
	layer, err := i.layer()
	if err != nil {
		return err
	}
	blobs := map[string][]byte{}
	add := func(kind string, data []byte) descriptor {
		d := digest(data)
		blobs["blobs/sha256/"+d] = data
		return descriptor{MediaType: "application/vnd.oci.image." + kind, Digest: "sha256:" + d, Size: len(data)}
	}
	content := add("layer.v1.tar", layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": i.Entrypoint, "Cmd": i.Command, "User": i.User, "WorkingDir": "/"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{content.Digest}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": add("config.v1+json", config), "layers": []descriptor{content},
	})
	if err != nil {
		return err
	}
	named := add("manifest.v1+json", manifest)
	named.Annotations = map[string]string{"io.containerd.image.name": i.Name, "org.opencontainers.image.ref.name": i.Name}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{named}})
	if err != nil {
		return err
	}
	blobs["index.json"] = index
	blobs["oci-layout"] = []byte(`{"imageLayoutVersion":"1.0.0"}`)
	return archive(w, 0o644, blobs)
}

func (i Image) layer() ([]byte, error) {
	files := map[string][]byte{}
	for path, source := range i.Files {
		data, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		files[path[1:]] = data
	}
	var layer bytes.Buffer
	err := archive(&layer, 0o755, files)
	return layer.Bytes(), err
}

func archive(w io.Writer, mode int64, files map[string][]byte) error {
	tw := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(files[name])), Format: tar.FormatPAX}
		if err := tw.WriteHeader(header); err != nil {
			return err
		}
		if _, err := tw.Write(files[name]); err != nil {
			return err
		}
	}
	return tw.Close()
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
