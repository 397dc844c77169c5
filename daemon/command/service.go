// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/notify"
	"github.com/renewd/renewd/daemon/status"
	"github.com/renewd/renewd/watcher"
)

// service is the running program: what the configuration in force made of the parts.
type service struct {
	app     *app
	logging *logging
	root    *zap.Logger
	log     *zap.Logger // root's area "daemon"
	board   *board
	daemon  *daemon.Daemon
	watcher *watcher.Watcher
	notify  *notify.Queue
	server  *status.Server
	memory  memory

	keepFor atomic.Int64 // shutdown.keepFor in force; a signal waits for nothing

	ctx   context.Context // of everything that is started
	tasks sync.WaitGroup
	fail  context.CancelCauseFunc

	mu    sync.Mutex // guards conf, kept and doors; changes come from one goroutine at a time
	conf  *loaded
	kept  []*kept
	doors map[string]*door // listeners by what they were asked to bind
}

// door is one bound listener.
type door struct {
	*status.Listener
	stop context.CancelFunc
}

func newService(a *app, logging *logging) *service {
	log := logging.Logger()
	s := &service{app: a, logging: logging, root: log, log: log.Named("daemon"), board: newBoard(), doors: map[string]*door{}}
	s.daemon = &daemon.Daemon{Log: s.log, Recovered: func(name string, value any) { logging.Recovered("token."+name, harmless(value)) }}
	s.watcher = &watcher.Watcher{Log: log.Named("watcher"), Observe: s.board.watched}
	s.notify = &notify.Queue{Log: log.Named("notify"), Observe: func(name, kind string, err error) {
		result := "success"
		if err != nil {
			result = "failure"
		}
		s.board.counters.Notify(name, kind, result)
	}}
	s.server = &status.Server{
		Log:      log.Named("status"),
		Report:   s.report,
		Ready:    func(token string) error { return s.board.ready(token, time.Now()) },
		Started:  func() error { return s.board.ready("", time.Time{}) },
		Live:     s.daemon.Live,
		Counters: s.board.counters,
		Metrics:  s.logMetrics,
		Check:    s.check,
		Levels: func(area string) (string, error) {
			list, err := logging.Explain(area)
			return explained(list), err
		},
		SetLevel: func(area, level string, d time.Duration) (any, error) {
			if err := logging.SetLevel(area, level, d); err != nil {
				return nil, err
			}
			return logging.State().Overrides, nil
		},
		Refresh: func(token string) error {
			if !s.daemon.Refresh(token) {
				return fmt.Errorf("token %.64q: %w", token, status.ErrUnknown)
			}
			return nil
		},
	}
	return s
}

// begin puts the first configuration in force. What it cannot bind is an error.
func (s *service) begin(ctx context.Context, conf *loaded) error {
	s.ctx, s.fail = context.WithCancelCause(ctx)
	err := s.apply(conf)
	if err != nil {
		_ = s.logging.Sync() // what was said of the policy; nobody runs the log
	}
	return err
}

// run works until its context ends or a part fails, and returns when all parts are over.
func (s *service) run() error {
	// The log outlives everything that logs.
	logs, end := context.WithCancel(context.Background())
	var last sync.WaitGroup
	last.Go(func() { _ = s.logging.Run(logs) }) // nil by contract
	defer func() {
		end()
		last.Wait()
		_ = s.logging.Sync() // what could not be written within a second is given up
	}()
	s.spawn(s.logging.retry)
	s.spawn(s.daemon.Run)
	s.spawn(s.watcher.Run)
	s.spawn(s.notify.Run)
	<-s.ctx.Done()
	s.memory.stop()
	cause := context.Cause(s.ctx)
	s.tasks.Wait()
	for _, k := range s.kept {
		k.removeOnExit(s.log)
	}
	if errors.Is(cause, context.Canceled) {
		s.log.Info("stopped")
		return nil
	}
	return &exit{code: exitOther, err: cause}
}

// spawn runs a part. Its error ends all others.
func (s *service) spawn(part func(context.Context) error) {
	s.tasks.Go(func() {
		if err := part(s.ctx); err != nil {
			s.fail(err)
		}
	})
}

// apply puts a configuration in force, whole or not at all:
//
//  1. look for clashes, read another log policy, bind the new listeners: only this can fail
//  2. watch the files, so that no change after this is lost
//  3. run the Keepers: those that did not change go on
//  4. close the listeners that are no longer asked for
func (s *service) apply(conf *loaded) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := keep(conf.Config, s.root)
	if err := clash(list); err != nil {
		return err
	}
	usePolicy, err := s.logging.prepare(conf, s.conf == nil)
	if err != nil {
		return err
	}
	opened, err := s.open(conf)
	if err != nil {
		return err
	}
	usePolicy()
	s.logging.know(conf.Tokens)
	old := map[string]*kept{}
	for _, k := range s.kept {
		old[k.Name] = k
	}
	s.memory.fit(len(conf.Tokens))
	keepers := make([]*daemon.Keeper, len(list))
	for i, k := range list {
		if before := old[k.Name]; before != nil && before.conf.Fingerprint == k.conf.Fingerprint {
			list[i] = before
		} else {
			k.Observe = s.observer(k)
		}
		keepers[i] = list[i].Keeper
	}
	generation := uint64(1)
	if s.conf != nil {
		generation = s.board.configuration().Generation + 1
	}
	s.board.set(list, status.Loaded{
		Path: absolute(conf.path), SHA256: conf.SHA256, Generation: generation, LastReloadSuccessful: true, LastReload: time.Now().Round(0),
	})
	s.conf, s.kept = conf, list
	s.keepFor.Store(int64(conf.Shutdown.KeepFor))
	sweep(list)
	files := s.files()
	s.board.forget(files, absolute(s.logging.path))
	s.watcher.Set(files)
	s.daemon.Set(keepers)
	s.swap(conf, opened)
	s.memory.worked()
	return nil
}

// observer tells everybody who is to know what became of an attempt.
func (s *service) observer(k *kept) func(daemon.Event) {
	return func(e daemon.Event) {
		s.board.observe(e)
		if e.Kind == daemon.Published && len(k.conf.Notify) > 0 {
			s.notify.Post(e.Name, k.note(e.Token), k.conf.Notify)
		}
		s.memory.worked()
	}
}

// files returns what is to be watched: the configuration, what sources read, and what is published.
func (s *service) files() []watcher.File {
	files := s.logging.files()
	if s.conf.path != "" {
		files = append(files, watcher.File{Path: s.conf.path, Changed: s.reload})
	}
	readers := map[string][]*kept{} // many tokens may be signed with one key
	for _, k := range s.kept {
		for _, path := range k.inputs() {
			readers[path] = append(readers[path], k)
		}
	}
	for path, list := range readers {
		files = append(files, watcher.File{Path: path, Known: true, Changed: inputChanged(path, list)})
	}
	for _, k := range s.kept {
		for _, path := range k.paths() {
			files = append(files, watcher.File{Path: path, Poll: time.Minute, Known: true, Event: func() { k.Trigger(daemon.TriggerPublished) }})
		}
	}
	return files
}

// inputChanged asks the readers of a file for an attempt, but for the one that published it: that one only looks at it.
func inputChanged(path string, readers []*kept) func([]byte, error) error {
	return func([]byte, error) error {
		for _, k := range readers {
			if k.publishes(path) {
				k.Trigger(daemon.TriggerPublished)
			} else {
				k.Trigger(daemon.TriggerInput)
			}
		}
		return nil
	}
}

// open binds what the configuration asks for and is not bound yet. If one cannot be bound none is.
func (s *service) open(conf *loaded) (map[string]*status.Listener, error) {
	opened := map[string]*status.Listener{}
	bind := func(key, at string, listen func(string) (*status.Listener, error)) error {
		if at == "" || s.doors[key] != nil {
			return nil
		}
		l, err := listen(at)
		if err == nil {
			opened[key] = l
		}
		return err
	}
	err := bind("tcp "+conf.Status.Listen, conf.Status.Listen, s.server.TCP)
	if err == nil {
		err = bind("unix "+conf.Status.Socket, conf.Status.Socket, s.server.Socket)
	}
	if err == nil {
		return opened, nil
	}
	for _, l := range opened {
		_ = l.Close() // it never served
	}
	return nil, &exit{code: exitConfig, err: err, help: bindHelp(err)}
}

// swap serves what was opened and closes what is no longer asked for.
func (s *service) swap(conf *loaded, opened map[string]*status.Listener) {
	for key, l := range opened {
		ctx, stop := context.WithCancel(s.ctx)
		s.doors[key] = &door{l, stop}
		s.spawn(func(context.Context) error { return l.Serve(ctx) })
		s.log.Info("listening", zap.String("address", l.Addr()))
	}
	for key, d := range s.doors {
		if key != "tcp "+conf.Status.Listen && key != "unix "+conf.Status.Socket {
			d.stop()
			delete(s.doors, key)
		}
	}
}

// harmless returns what may be printed of a panic's value: the text of a runtime error, else its type.
func harmless(value any) string {
	if err, ok := value.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", value)
}
