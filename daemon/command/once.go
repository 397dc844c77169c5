// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon"
)

func (a *app) once() *cobra.Command {
	c := &cobra.Command{
		Use:   "once",
		Short: "Publish every token once and exit, for init containers",
		Long: "Publish every token once and exit.\n\n" +
			"A good token that is published already is adopted and no issuer is asked. The exit code is 0 only after every token\n" +
			"was read back from the disk; of several failures it is the first of 78, 77, 73, 69, 1.",
		Example: "  renewd once -c config.yaml --timeout 2m\n" +
			"  renewd once --sign-key key.pem --ttl 30m --out ./token",
		Args: cobra.NoArgs,
	}
	var timeout time.Duration
	durationFlag(c.Flags(), &timeout, "timeout", time.Minute, "give up after this `duration`, 0 for never; until then failed attempts are repeated")
	force := c.Flags().Bool("force", false, "ask the sources even if good tokens are published")
	level := c.Flags().String("log-level", "ERROR", "top `level` of the log: DEBUG, INFO, WARNING, ERROR, CRITICAL or OFF")
	a.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		log, err := a.newLogging(&logFlags{level: *level})
		if err != nil {
			return err
		}
		defer func() { _ = log.Sync() }() // a line that cannot be written changes nothing
		conf, err := a.load(c)
		if err != nil {
			return err
		}
		ctx, cancel, err := bounded(c.Context(), timeout)
		if err != nil {
			return err
		}
		defer cancel()
		list := keep(conf.Config, log.Logger())
		if err := clash(list); err != nil {
			return err
		}
		sweep(list)
		for _, k := range list {
			k.NoAdopt = *force
		}
		return a.onceEach(list, func(k *kept) error { return k.Once(ctx) })
	}
	return c
}

// onceEach does something with every token, a few at a time, and returns one error that stands for all failures.
func (a *app) onceEach(list []*kept, do func(*kept) error) error {
	errs := make([]error, len(list))
	places := make(chan struct{}, 8)
	var tasks sync.WaitGroup
	for i, k := range list {
		tasks.Go(func() {
			places <- struct{}{}
			errs[i] = do(k)
			<-places
		})
	}
	tasks.Wait()
	return a.together(list, errs)
}

// together says each failure with its remedy on standard error, and returns the exit code that stands for all.
func (a *app) together(list []*kept, errs []error) error {
	var codes []int
	failed := 0
	for i, err := range errs {
		if err == nil {
			continue
		}
		failed++
		for _, err := range parts(err) {
			codes = append(codes, codeOf(daemon.ClassOf(err)))
			fmt.Fprintf(a.stderr, "renewd: token %s: %v\n", list[i].Name, err)
			if hint := daemon.HintOf(err); hint != "" {
				fmt.Fprintf(a.stderr, "  help: %s\n", hint)
			}
		}
	}
	if len(codes) == 0 {
		return nil
	}
	return &exit{code: worst(codes), err: fmt.Errorf("%d of %s failed", failed, plural(len(list), "token"))}
}

// parts returns the errors that err joins, or err alone.
func parts(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, parts(e)...)
	}
	return all
}
