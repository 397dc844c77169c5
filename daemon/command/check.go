// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/watcher"
)

func (a *app) check() *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration, and what it points to",
		Long: "Validate the configuration by the code that run uses, and look at the log policy, files, keys and directories that it\n" +
			"names. Nothing is published. All mistakes are said at once, with line and column.",
		Example: "  renewd check -c config.yaml\n" +
			"  renewd check -c config.yaml --fetch\n" +
			"  renewd check -c config.yaml --jwks",
		Args: cobra.NoArgs,
	}
	fetch := c.Flags().Bool("fetch", false, "also ask each source once, and check its token")
	jwks := c.Flags().Bool("jwks", false, "print the public keys of the sources that sign, as a JWK set (RFC 7517)")
	a.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error { return a.checkAll(c, *fetch, *jwks) }
	return c
}

func (a *app) checkAll(c *cobra.Command, fetch, jwks bool) error {
	ctx, cancel, err := bounded(c.Context(), 0)
	if err != nil {
		return err
	}
	defer cancel()
	conf, err := a.load(c)
	if err != nil {
		return err
	}
	for _, w := range conf.Warnings {
		fmt.Fprintln(a.stderr, w)
	}
	list := keep(conf.Config, noLog())
	a.warnRelative(conf, list)
	a.warnMounts(conf.path)
	if err := clash(list); err != nil {
		return err
	}
	for _, k := range list {
		a.warnMounts(k.inputs()...)
		if d, ok := k.Source.(doubtful); ok {
			a.warn(k, d.Doubts(k.paths()))
		}
	}
	if jwks {
		return a.printKeys(list)
	}
	bad := a.checkPolicy(conf)
	if bad != nil {
		fmt.Fprintln(a.stderr, prefixed(bad))
	}
	err = a.onceEach(list, func(k *kept) error {
		if err := k.look(); err != nil {
			return err
		}
		if fetch {
			notices, err := k.fetch(ctx)
			a.warn(k, notices)
			return err
		}
		return nil
	})
	switch {
	case bad != nil:
		return &exit{code: exitConfig}
	case err != nil:
		return err
	}
	return a.print(fmt.Appendf(nil, "%s ok\n", plural(len(list), "token")))
}

// warnRelative says which paths lead elsewhere for a daemon that is started elsewhere. Where configuration and working
// directory are one, somebody tries something out.
func (a *app) warnRelative(conf *loaded, list []*kept) {
	here := absolute(".")
	if conf.path == "" || filepath.Dir(absolute(conf.path)) == here {
		return
	}
	paths := []string{conf.LogPolicy}
	for _, k := range list {
		paths = append(paths, k.inputs()...)
		for _, p := range k.conf.Publish {
			paths = append(paths, p.File+p.Directory) // one of them is empty
		}
	}
	var relative []string
	for _, path := range paths {
		if path != "" && !filepath.IsAbs(path) && !slices.Contains(relative, strconv.Quote(path)) {
			relative = append(relative, strconv.Quote(path))
		}
	}
	if len(relative) == 0 {
		return
	}
	fmt.Fprintf(a.stderr, "%s: warning: relative paths start at the working directory %q, not at the configuration: %s\n",
		conf.path, here, strings.Join(relative[:min(len(relative), 5)], ", "))
}

// warnMounts says which of the files that run follows are mount points, where a change is a new file elsewhere.
func (a *app) warnMounts(paths ...string) {
	for _, path := range paths {
		if path != "" && watcher.IsMountPoint(path) {
			fmt.Fprintf(a.stderr, "%s: warning: it is a mount point, so a change may never arrive here\n"+
				"  help: mount its directory instead of the single file: no subPath, no bind mount of the file\n", path)
		}
	}
}

// checkPolicy validates the log policy that the configuration leads to, as run would use it.
func (a *app) checkPolicy(conf *loaded) error {
	l, err := a.newLogging(&logFlags{path: os.Getenv(variable("log-policy"))})
	if err != nil {
		return err
	}
	l.know(conf.Tokens)
	path, optional := l.policyOf(conf)
	if path == "" {
		return nil
	}
	a.warnMounts(path)
	if err := l.usable(path, optional); err != nil {
		return &exit{code: exitConfig, err: err}
	}
	return nil
}

// look finds what would make an attempt fail, without making one.
func (k *kept) look() error {
	var errs []error
	for _, p := range k.places {
		errs = append(errs, p.Check())
	}
	if s, ok := k.Source.(checkable); ok {
		errs = append(errs, s.Check())
	}
	return errors.Join(errs...)
}

// warn says what is noticed without being wrong.
func (a *app) warn(k *kept, notices []string) {
	for _, n := range notices {
		fmt.Fprintf(a.stderr, "token %s: warning: %s\n", k.Name, n)
	}
}

// fetch asks the source once, and checks what it says as an attempt does.
func (k *kept) fetch(ctx context.Context) ([]string, error) {
	timeout := k.Timeout
	if timeout == 0 {
		timeout = daemon.DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	t, err := k.Source.Token(ctx)
	if err != nil {
		return nil, err
	}
	notices, err := k.Check.Verify(t, time.Now())
	return append(t.Notices, notices...), err
}

func (a *app) printKeys(list []*kept) error {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	errs := make([]error, len(list))
	for i, k := range list {
		if keys, ok := k.Source.(publicKeys); ok {
			var own []json.RawMessage
			own, errs[i] = keys.PublicKeys()
			set.Keys = append(set.Keys, own...)
		}
	}
	if err := a.together(list, errs); err != nil {
		return err
	}
	if len(set.Keys) == 0 {
		return &exit{code: exitOther, err: errors.New("no source signs with a key that has a public side")}
	}
	return a.printJSON(set)
}
