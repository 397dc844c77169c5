// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Command pod is what the containers of the tests run: an application that reads a token from its first line on, and the
// process that holds a pod's namespaces. It needs no file beside it.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: pod pause | pod read FILE [--for DURATION]")
		os.Exit(64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var err error
	switch os.Args[1] {
	case "pause":
		<-ctx.Done()
	case "read":
		err = read(ctx, os.Stdout, os.Args[2:])
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pod:", err)
		os.Exit(1)
	}
}

// Reading is a line of the application: what it found when it looked.
type Reading struct {
	Time   time.Time `json:"time"`
	Digest string    `json:"digest"` // of the token; never the token
	Claims claims    `json:"claims"`
	Mode   string    `json:"mode"`
	UID    int       `json:"uid"` // of the reader
	Owner  uint32    `json:"owner"`
}

type claims struct {
	Issuer   string `json:"iss"`
	Issued   int64  `json:"iat"`
	Expires  int64  `json:"exp"`
	Audience any    `json:"aud"`
}

// read prints a line for the first look at the file, and one for each that found something else. A file that cannot be
// read, or holds no token, ends it with an error: renewd promises that there is one from the first line on.
func read(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("read", flag.ContinueOnError)
	long := flags.Duration("for", 24*time.Hour, "how long to go on")
	if len(args) == 0 {
		return errors.New("read what?")
	}
	path := args[0]
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *long)
	defer cancel()
	last := ""
	for {
		r, err := look(path)
		if err != nil {
			return err
		}
		if r.Digest != last {
			if err := json.NewEncoder(out).Encode(r); err != nil {
				return err
			}
		}
		last = r.Digest
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func look(path string) (Reading, error) {
	r := Reading{Time: time.Now(), UID: os.Getuid()}
	info, err := os.Stat(path)
	if err != nil {
		return r, err
	}
	token, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	r.Mode = fmt.Sprintf("%04o", info.Mode().Perm())
	r.Owner = info.Sys().(*syscall.Stat_t).Uid
	digest := sha256.Sum256(token)
	r.Digest = hex.EncodeToString(digest[:8])
	parts := strings.Split(string(token), ".")
	if len(parts) != 3 {
		return r, fmt.Errorf("%s holds no JWT but %d bytes", path, len(token))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(payload, &r.Claims)
}
