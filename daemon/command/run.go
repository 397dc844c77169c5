// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

func (a *app) run() *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Keep tokens fresh until told to stop",
		Long: "Keep tokens fresh until told to stop.\n\n" +
			"The configuration, the log policy and all files that they name are watched: what changes is obeyed, and what is wrong is\n" +
			"reported while the last good one stays in force.\n\n" +
			"SIGTERM and SIGINT end it, after shutdown.keepFor or at once if they come twice; SIGUSR1 refreshes all tokens now; SIGHUP\n" +
			"looks at configuration, log policy and watched files now.",
		Example: "  renewd run -c config.yaml\n" +
			"  renewd run --sign-key key.pem --ttl 30m --out ./token --refresh-at 80%",
		Args: cobra.NoArgs,
	}
	var flags logFlags
	flags.add(c)
	a.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		log, err := a.newLogging(&flags)
		if err != nil {
			return err
		}
		return a.serve(c, log)
	}
	return c
}

// serve reads the configuration and keeps its tokens fresh until a signal says otherwise.
func (a *app) serve(c *cobra.Command, log *logging) error {
	// First of all: until then SIGTERM kills, or as process 1 does nothing. And until the process ends: what is sent twice must
	// not turn the exit code of a daemon that has ended well.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGHUP,
		syscall.SIGPIPE) // of a log that nobody reads any more: the write fails, and that is all
	conf, err := a.load(c)
	if err != nil {
		return err
	}
	s := newService(a, log)
	ctx, stop := context.WithCancelCause(c.Context())
	defer stop(nil)
	if err := s.begin(ctx, conf); err != nil {
		return err
	}
	go s.obey(ctx, signals, stop)
	return s.run()
}

// obey acts on signals until ctx ends.
func (s *service) obey(ctx context.Context, signals <-chan os.Signal, stop context.CancelCauseFunc) {
	var end <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-end:
			stop(nil)
		case got := <-signals:
			switch got {
			case syscall.SIGPIPE:
			case syscall.SIGUSR1:
				s.daemon.Refresh("")
			case syscall.SIGHUP:
				s.watcher.Recheck()
			default:
				wait := time.Duration(s.keepFor.Load())
				if end != nil {
					wait = 0 // told twice
				}
				s.log.Info("told to stop", zap.String("signal", got.String()), zap.Duration("keepFor", wait))
				end = time.After(wait)
			}
		}
	}
}
