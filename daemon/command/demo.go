// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

//go:embed demo.yaml
var demoConfig string

//go:embed demo-log-policy.yaml
var demoPolicy string

const (
	demoDir    = "renewd-demo"
	socketRoom = 107 // bytes of a unix socket's path
)

func (a *app) demo() *cobra.Command {
	c := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a throw-away key, one-minute tokens, no configuration",
		Long: "Sign one-minute tokens with a throw-away key and keep them fresh in ./" + demoDir + "/.\n\n" +
			"The directory is made if it is missing, and what is in it is used: edit its files while the demo runs. Ctrl-C ends it.",
		Args: cobra.NoArgs,
	}
	var flags logFlags
	flags.add(c)
	c.Flags().StringVar(&a.from.listen, "listen", "", "`address` of health, metrics and status; outranks status.listen")
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := filepath.Abs(demoDir)
		if err == nil {
			err = prepareDemo(dir)
		}
		if err != nil {
			return &exit{code: exitWrite, err: fmt.Errorf("prepare the demo: %w", err)}
		}
		log, err := a.newLogging(&flags)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, demoText, dir)
		a.from.path = filepath.Join(dir, "config.yaml")
		return a.serve(c, log)
	}
	return c
}

const demoText = `renewd keeps a token fresh in %[1]s. Ctrl-C ends it. In another terminal:

  cat %[1]s/token                       the token; read it again in a minute
  renewd status -c %[1]s/config.yaml    how it is; http://127.0.0.1:9736/ shows it
  renewd plan -c %[1]s/config.yaml      when it is refreshed, and why then
  $EDITOR %[1]s/config.yaml             change ttl or refresh: it is obeyed at once
  $EDITOR %[1]s/log-policy.yaml         change a level: it is obeyed at once, and a line says so
  rm %[1]s/token                        it comes back

`

// prepareDemo writes what is missing in dir.
func prepareDemo(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := ownAlone(dir); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	socket := filepath.Join(dir, "renewd.sock")
	if len(socket) > socketRoom || strings.ContainsAny(socket, "\"$") {
		socket = "" // the demo does without
	}
	for name, text := range map[string]string{
		"signing.pem":     string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"log-policy.yaml": demoPolicy,
		"config.yaml":     strings.NewReplacer("DIR", dir, "SOCKET", socket).Replace(demoConfig),
	} {
		err := writeNew(filepath.Join(dir, name), text)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// ownAlone refuses a directory in which somebody else could put, or has put, a configuration for us to run.
func ownAlone(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, name := range append([]string{""}, names(entries)...) {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Geteuid() || info.Mode().Type() != fs.ModeSymlink && info.Mode().Perm()&0o022 != 0 {
			return fmt.Errorf("%s belongs to somebody else, or others may write to it: remove it, or run the demo elsewhere", path)
		}
	}
	return nil
}

func names(entries []fs.DirEntry) (list []string) {
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
