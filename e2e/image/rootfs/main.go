// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Rootfs writes the files of the container image into a folder that is not there yet:
//
//	go run ./image/rootfs -arch arm64 -version v1.2.3 DIR
//
// They are the program, built as a release; the certificates that it trusts, which a pinned module of Go brings, so that
// they do not depend on the machine that builds; and the name of the image's user.
package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/renewd/renewd/e2e/internal/program"
)

func main() {
	var r program.Release
	flag.StringVar(&r.Arch, "arch", runtime.GOARCH, "the `architecture`, as Go names it")
	flag.StringVar(&r.Version, "version", "", "the `version` that the program prints")
	flag.Parse()
	if err := write(r, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "rootfs:", err)
		os.Exit(1)
	}
}

func write(r program.Release, args []string) error {
	if len(args) != 1 {
		return errors.New("name one folder")
	}
	dir, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	if r.Source, err = program.Module(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	for _, folder := range []string{"", "etc", "etc/ssl", "etc/ssl/certs"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			return err
		}
	}
	for name, data := range map[string][]byte{
		"etc/passwd":                        []byte("renewd:x:65532:65532:renewd:/:/sbin/nologin\n"),
		"etc/group":                         []byte("renewd:x:65532:\n"),
		"etc/ssl/certs/ca-certificates.crt": certificates(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return r.Build(context.Background(), filepath.Join(dir, "renewd"))
}

// certificates returns Mozilla's root certificates. One that is only trusted under a condition is left out: a file cannot
// say the condition.
func certificates() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return out.Bytes()
}
