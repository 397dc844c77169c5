// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/renewd/renewd/daemon/config"
	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/watcher"
	"github.com/renewd/renewd/watcher/logpolicy"
)

// policyText is the variable that may carry the whole log policy where no file can be mounted.
const policyText = "RENEWD_LOG_POLICY_YAML"

// areas are the parts that log, by the names that the log policy uses.
func areas() []logpolicy.Area {
	return []logpolicy.Area{
		{Name: "daemon", Covers: "start, stop, workers"},
		{Name: "token", Covers: "the refresh of all tokens; token.NAME is that of one"},
		{Name: "notify", Covers: "telling consumers"},
		{Name: "status", Covers: "health, metrics, admin socket"},
		{Name: "watcher", Covers: "file watching"},
		{Name: "policy", Covers: "the log policy file"},
		{Name: "log", Covers: "lines that were lost"},
		{Name: "config", Covers: "the configuration file"},
	}
}

// logging is the logger and the policy that it obeys.
type logging struct {
	*logpolicy.Switch
	flags  *logFlags
	path   string // of the policy file; empty: there is none
	follow func(data []byte, err error) error
	insist bool // the policy of the environment wants another attempt
}

// logFlags are the flags of a command that runs for long.
type logFlags struct {
	level    string
	path     string
	required bool
	poll     time.Duration
}

func (l *logFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&l.level, "log-level", "", "top `level` of the log: DEBUG, INFO, WARNING, ERROR, CRITICAL or OFF; outranks the policy's")
	f.StringVar(&l.path, "log-policy", "", "log policy `file`; outranks logPolicy (default log-policy.yaml beside the configuration, if there is one)")
	f.BoolVar(&l.required, "log-policy-required", false, "exit with 78 if the log policy cannot be used at start")
	durationFlag(f, &l.poll, "log-policy-poll", 10*time.Second, "how often the log policy is read without an event, 1s to 5m")
}

// newLogging returns the logger with the built-in policy in force.
func (a *app) newLogging(flags *logFlags) (*logging, error) {
	o := logpolicy.Options{Areas: areas(), Stderr: a.stderr, Stdout: a.stdout, Placed: placed}
	if flags.level != "" {
		l, err := logpolicy.ParseLevel(flags.level)
		if err != nil {
			return nil, &exit{code: exitUsage, err: fmt.Errorf("--log-level: %w", err)}
		}
		o.Level = &l
	}
	if flags.poll != 0 && (flags.poll < time.Second || flags.poll > 5*time.Minute) {
		return nil, &exit{code: exitUsage, err: fmt.Errorf("--log-policy-poll: %s is not within 1s and 5m", strict.FormatDuration(flags.poll))}
	}
	return &logging{Switch: logpolicy.New(o), flags: flags}, nil
}

// policyOf returns the path of the policy file, and whether it may be missing.
func (l *logging) policyOf(conf *loaded) (path string, optional bool) {
	switch {
	case l.flags.path != "":
		return l.flags.path, false
	case conf.LogPolicy != "":
		return conf.LogPolicy, false
	case conf.path != "":
		return filepath.Join(filepath.Dir(conf.path), "log-policy.yaml"), true
	}
	return "", false
}

// prepare makes ready to follow the policy that a configuration names. Another one than before is read first: if it cannot
// be used the configuration is not applied. At the start the built-in policy does instead, unless a usable one is required.
func (l *logging) prepare(conf *loaded, first bool) (use func(), err error) {
	if text := os.Getenv(policyText); text != "" && l.flags.path == "" {
		use := func() {
			if conf.LogPolicy != "" {
				l.Logger().Named("config").Warn("log policy file ignored", zap.String("path", conf.LogPolicy),
					zap.String("hint", "unset "+policyText+", which outranks logPolicy, or leave logPolicy out"))
			}
		}
		if !first {
			return use, nil
		}
		limit := briefly
		if l.flags.required {
			limit = longer
		}
		err := l.Try(limit, func() error { return l.Apply(policyText, []byte(text), "environment") })
		if err != nil && l.flags.required {
			return nil, &exit{code: exitConfig, err: err}
		}
		l.insist = again(err)
		return use, nil
	}
	path, optional := l.policyOf(conf)
	if path == "" && l.flags.required {
		return nil, &exit{code: exitConfig, err: errors.New("--log-policy-required, and no log policy is named")}
	}
	if path == l.path && l.follow != nil || path == "" {
		return func() {}, nil
	}
	if !first || l.flags.required {
		if err := l.usable(path, optional && !l.flags.required); err != nil {
			return nil, &exit{code: exitConfig, err: err}
		}
	}
	return func() {
		l.path, l.follow = path, l.Follow(path, optional)
		// The first lines obey the policy too. What is wrong with it the watcher finds, and Follow says.
		_ = l.Try(briefly, func() error {
			data, err := readRegular(path, logpolicy.MaxBytes)
			if err != nil {
				return err
			}
			return l.Apply(path, data, "file")
		})
	}, nil
}

// How long the start, or whoever reloads the configuration, waits for what may hang with a file system.
const (
	briefly = 250 * time.Millisecond // tokens wait meanwhile
	longer  = time.Second
)

// again reports whether a policy that was not applied may be later, though nobody changes it.
func again(err error) bool {
	r, ok := errors.AsType[*logpolicy.Rejected](err)
	return err != nil && (!ok || r.Again)
}

// usable says why the policy in a file could not be applied.
func (l *logging) usable(path string, optional bool) error {
	return l.Try(longer, func() error { return l.checked(path, optional) })
}

func (l *logging) checked(path string, optional bool) error {
	if _, err := os.Stat(path); optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	data, err := readFile("log policy", path, logpolicy.MaxBytes)
	if err != nil {
		return err
	}
	if bad := l.Check(path, data, true); bad != nil && len(bad.Problems) > 0 {
		return bad
	}
	return nil
}

// files returns the policy file to watch.
func (l *logging) files() []watcher.File {
	if l.follow == nil {
		return nil
	}
	return []watcher.File{{Path: l.path, Poll: l.flags.poll, MaxBytes: logpolicy.MaxBytes + 1, Changed: l.follow, Event: l.renew(l.path)}}
}

// placed returns when a policy file was put in place.
func placed(path string) (time.Time, error) {
	at, _, err := watcher.PlacedAt(path)
	return at, err
}

// renew returns what is to be called when a policy file may have been put in place again with the same bytes.
func (l *logging) renew(path string) func() {
	return func() {
		if _, inVolume, err := watcher.PlacedAt(path); err != nil || inVolume {
			return // the kubelet brings no text twice: another file of the volume changed
		}
		// What is in force was good before, and a file that cannot be read is told by Follow.
		_ = l.Renew(path, func() ([]byte, error) { return readRegular(path, logpolicy.MaxBytes) })
	}
}

// retry applies the policy of the environment again at each poll, while what it asks for is not there.
func (l *logging) retry(ctx context.Context) error {
	for l.insist {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(cmp.Or(l.flags.poll, 10*time.Second)):
		}
		l.insist = again(l.Offer(policyText, []byte(os.Getenv(policyText)), "environment"))
	}
	return nil
}

// know tells which tokens are configured.
func (l *logging) know(tokens []config.Token) {
	names := make([]string, 0, len(tokens))
	for _, t := range tokens {
		names = append(names, t.Name)
	}
	l.SetTokens(names)
}

// noLog is the logger of commands that answer and exit.
func noLog() *zap.Logger { return zap.NewNop() }
