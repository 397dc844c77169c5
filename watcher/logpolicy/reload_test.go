// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

func TestOutcomesAreSaidOnceToOldAndNewHandlersAndStderr(t *testing.T) {
	r := newRig(t).run()
	changed := r.Follow("p.yaml", false)
	if r.State().Successful {
		t.Error("successful before the first read")
	}
	try := func(policy string) {
		t.Helper()
		if err := changed(r.text(policy), nil); err != nil {
			t.Fatal(err)
		}
		r.flush()
	}
	try("level: 'OFF'\nhandlers: {o: {type: stream, stream: stdout}, p: {type: stream, stream: stdout, format: json}}")
	contains(t, r.out.String(), "policy reloaded gen=1 sha256=", `by=file took=`, `changes="handlers.console: present→none; handlers.o: none→present; handlers.p: none→present; level: WARNING→OFF"`)
	if strings.Count(r.out.String(), "\n") != 1 || strings.Count(r.err.String(), "\n") != 1 {
		t.Errorf("%q %q", r.out.String(), r.err.String())
	}
	r.err.reset()
	r.out.reset()
	for range 3 {
		try("level: 'OFF'\nhandlers: {o: {type: stream, stream: stdout}, p: {type: stream, stream: stdout, format: json}}")
	}
	if r.out.String()+r.err.String() != "" || r.State().Reloads[unchanged] != 3 {
		t.Error("unchanged content was said")
	}
	for range 3 {
		try("level: NOPE")
		_ = changed(nil, fmt.Errorf("read: %w", fs.ErrPermission))
		_ = changed(nil, fmt.Errorf("read: %w", fs.ErrPermission))
		_ = changed(nil, fmt.Errorf("open: %w", fs.ErrNotExist))
		_ = changed(nil, fmt.Errorf("open: %w", fs.ErrNotExist))
	}
	r.flush()
	for text, n := range map[string]int{" | ERROR | policy rejected gen=1 error=\"p.yaml:2:8: error[LP012]": 3, " | ERROR | policy unreadable gen=1 error=": 3, " | WARNING | policy missing gen=1 error=": 3} {
		if strings.Count(r.err.String(), text) != n || strings.Count(r.out.String(), text) != n {
			t.Errorf("%q: %d\n%s", text, n, r.err.String())
		}
	}
	contains(t, r.State().Failure, "file does not exist")
	if s := r.State(); s.Successful || s.Reloads[missing] != 6 || s.Reloads[unreadable] != 6 || s.Reloads[invalid] != 3 || s.Generation != 1 {
		t.Errorf("%+v", s)
	}
	try("level: 'OFF'\nhandlers: {o: {type: stream, stream: stdout}, p: {type: stream, stream: stdout, format: json}}")
	if s := r.State(); !s.Successful || s.Succeeded.IsZero() || s.Failure != "" {
		t.Errorf("%+v", s)
	}
}

func TestARejectedContentIsSaidOnce(t *testing.T) {
	r := newRig(t).run()
	changed := r.Follow("p.yaml", false)
	for range 5 {
		_ = changed([]byte("version: 7"), nil)
	}
	r.flush()
	if n := strings.Count(r.err.String(), "policy rejected"); n != 1 || r.State().Reloads[invalid] != 5 {
		t.Errorf("said %d times", n)
	}
}

// A default file that is not there is no news; a configured one is, at once and each hour, while nothing was ever read.
func TestAMissingFileAtStart(t *testing.T) {
	for _, optional := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			out := &buffer{}
			s := New(Options{Areas: areas, Stderr: out, Stdout: &buffer{}})
			changed := s.Follow("p.yaml", optional)
			ctx, cancel := context.WithCancel(t.Context())
			var group sync.WaitGroup
			group.Go(func() { _ = s.Run(ctx) })
			_ = changed(nil, fs.ErrNotExist)
			time.Sleep(3*time.Hour + time.Minute)
			_ = s.Sync()
			want := 4
			if optional {
				want = 0
			}
			if n := strings.Count(out.String(), " | ERROR | policy missing gen=0"); n != want || s.State().Successful != optional {
				t.Errorf("optional %v: %d times, %+v", optional, n, s.State())
			}
			_ = changed([]byte("version: 1"), nil)
			time.Sleep(3 * time.Hour)
			_ = s.Sync()
			if n := strings.Count(out.String(), "\n"); n != want+1 {
				t.Errorf("%s", out.String())
			}
			cancel()
			group.Wait()
		})
	}
}

// Following another file that is optional and absent ends what the former one said: nothing names that any more.
func TestTheBuiltInPolicyTakesOverFromAFileThatIsNoLongerNamed(t *testing.T) {
	r := newRig(t).run()
	former := r.Follow("named.yaml", false)
	if err := former(r.text("level: DEBUG\nhandlers: {f: {type: file, path: DIR, name: f.log}}"), nil); err != nil {
		t.Fatal(err)
	}
	changed := r.Follow("log-policy.yaml", true)
	for range 2 {
		if err := changed(nil, fs.ErrNotExist); err != nil {
			t.Fatal(err)
		}
	}
	r.Logger().Info("hidden")
	r.Logger().Warn("shown")
	r.flush()
	for _, text := range []string{r.err.String(), r.read("f.log")} {
		contains(t, text, "policy reloaded gen=2", "by=default", "level: DEBUG→WARNING")
	}
	contains(t, r.err.String(), "shown")
	lacks(t, r.err.String(), "hidden", "missing")
	if st := r.State(); !st.Successful || st.Generation != 2 || st.SHA256 != "" || len(st.Overrides) != 0 {
		t.Errorf("%+v", st)
	}
	// The default file is there for a while: its last content stays, as that of any file.
	if err := changed(r.text("level: ERROR"), nil); err != nil {
		t.Fatal(err)
	}
	_ = changed(nil, fs.ErrNotExist)
	if st := r.State(); st.Successful || st.Generation != 3 || r.levelOf("daemon") != "ERROR" {
		t.Errorf("%+v", st)
	}
}

// If a file cannot be had, nothing of the new policy is visible, and it applies once that is repaired.
func TestPrepareIsAllOrNothing(t *testing.T) {
	r := newRig(t).run()
	changed := r.Follow("p.yaml", false)
	if err := changed(r.text("level: ERROR\nhandlers: {good: {type: file, path: DIR/good}}"), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path("bad"), nil, 0o600); err != nil { // no directory, for root too
		t.Fatal(err)
	}
	next := r.text("level: DEBUG\nredact: {keys: [card]}\nhandlers: {good: {type: file, path: DIR/good, mode: '0600'}, a: {type: file, path: DIR/fresh/deep}, z: {type: file, path: DIR/bad}}")
	for range 3 {
		if err := changed(next, nil); err == nil {
			t.Fatal("must be asked for again")
		}
	}
	r.Logger().Info("hidden")
	r.Logger().Error("shown", zap.String("card", "c-1"))
	r.flush()
	contains(t, r.read("good/renewd.log"), "shown card=c-1", "policy not applied", "error[LP101]: handler ")
	lacks(t, r.read("good/renewd.log"), "hidden")
	wantMode(t, r.path("good/renewd.log"), 0o640)
	if _, err := os.Stat(r.path("fresh")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a directory was left behind", err)
	}
	if s := r.State(); s.Successful || s.Generation != 1 || s.Reloads[applyFailed] != 3 || strings.Count(r.err.String(), "policy not applied") != 1 {
		t.Errorf("%+v", s)
	}
	if err := os.Remove(r.path("bad")); err != nil {
		t.Fatal(err)
	}
	if err := changed(next, nil); err != nil {
		t.Fatal(err)
	}
	r.Logger().Debug("visible now")
	r.flush()
	contains(t, r.read("fresh/deep/renewd.log"), "visible now")
	contains(t, r.read("bad/renewd.log"), "visible now")
	if s := r.State(); !s.Successful || s.Generation != 2 {
		t.Errorf("%+v", s)
	}
}

// Triggers that come while one is at work are done one after the other, and the last one counts.
func TestReloadsAreOneAtATime(t *testing.T) {
	r := newRig(t).run()
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			for range 20 {
				_ = r.Apply("p", fmt.Appendf(nil, "version: 1\nlevel: %s\n# %d\n", names[i%5].name, i), "storm")
			}
		})
	}
	group.Wait()
	r.apply("level: DEBUG")
	if s := r.State(); s.Generation < 21 || !r.Logger().Core().Enabled(zap.DebugLevel) {
		t.Errorf("%+v", s)
	}
}

// The end during an apply comes soon and leaves nothing.
func TestRunMayEndDuringAnApply(t *testing.T) {
	r := newRig(t).run()
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = r.Apply("p", r.text(fmt.Sprintf("handlers: {main: {type: file, path: DIR, maxLine: %dKiB}}", 1+i%64)), "test")
			}
		}
	})
	time.Sleep(20 * time.Millisecond)
	begin := time.Now()
	r.stop()
	if took := time.Since(begin); took > 20*maxFlush {
		t.Error(took)
	}
	close(stop)
	group.Wait()
	r.Switch.mu.Lock()
	defer r.Switch.mu.Unlock()
	for path, k := range r.files {
		if !k.ended(20 * maxFlush) {
			t.Error(path, "still runs")
		}
	}
}

func TestEveryKeyTakesEffectOnReload(t *testing.T) {
	r := newRig(t).run()
	log := r.Logger().Named("token.db")
	for _, c := range []struct{ policy, want string }{
		{"level: INFO", " | INFO | hello n=1\n"},
		{"areas: {token.db: INFO}", " | INFO | hello n=1\n"},
		{"level: INFO\nformats: {text: {pattern: '%(name)s %(message)s', fields: omit}}", "token.db hello\n"},
		{"level: INFO\nformats: {text: {pattern: '%(asctime)s', datefmt: 'at %%'}}", "at % n=1\n"},
		{"level: INFO\nhandlers: {c: {type: stream, format: json}}", `"severity_number":9,"logger":"token.db","msg":"hello","n":1}` + "\n"},
		{"level: INFO\nformats: {json: {severity: none}}\nhandlers: {c: {type: stream, format: json}}", `"level":"INFO","logger":"token.db","msg":"hello","n":1}` + "\n"},
		{"level: INFO\nredact: {keys: [N]}", "hello n=[redacted]\n"},
		{"level: INFO\nredact: {patterns: [hel+]}", "[redacted]o n=1\n"},
		{"level: INFO\nexceptions: {trace: INFO}", "trace=\"github.com/renewd"},
		{"level: INFO\nhandlers: {c: {type: stream, level: ERROR}}", ""},
	} {
		r.apply(c.policy)
		r.flush()
		r.err.reset()
		log.Info("hello", zap.Int("n", 1))
		r.flush()
		if got := r.err.String(); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", c.policy, got, c.want)
		}
	}
}

func TestCheckLooksAtTheEnvironmentAndChangesNothing(t *testing.T) {
	r := newRig(t)
	if err := os.WriteFile(r.path("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"DIR/new/deep": "", "DIR": "", "DIR/file": "error[LP101]", "DIR/file/x": "error[LP101]"} {
		got := r.Check("p", r.text("handlers: {m: {type: file, path: "+path+"}}"), true)
		if want == "" && got != nil || want != "" && (got == nil || !strings.Contains(got.Error(), want)) {
			t.Errorf("%s: %v", path, got)
		}
	}
	if list, _ := os.ReadDir(r.dir); len(list) != 1 {
		t.Error(list)
	}
}

// What the patterns of a policy hide in lines they hide in what is said about the policy too, also if it is not valid.
func TestWhatIsSaidOfAPolicyHidesWhatItHides(t *testing.T) {
	r := newRig(t).run()
	const secret = "hunter2"
	with := "version: 1\nhandlers: {f: {type: file, path: DIR/" + secret + "}}\nredact: {patterns: [" + secret + "]}\n"
	with = strings.ReplaceAll(with, "DIR", r.dir)
	diff, err := r.Diff("a", []byte("version: 1"), "b", []byte(with))
	if err != nil || len(diff) == 0 {
		t.Fatal(diff, err)
	}
	explained, err := r.ExplainText("a", []byte(with), "")
	if err != nil {
		t.Fatal(err)
	}
	found := r.Check("a", []byte(with+"areas: {"+secret+": INFO, token: {level: "+secret+"}}\n"), true)
	var shown strings.Builder
	fmt.Fprint(&shown, diff, explained, found)
	for _, p := range found.Problems { // as JSON has them
		shown.WriteString(p.Text + p.Help)
	}
	if err := r.Apply("a", []byte(with), "test"); err != nil {
		t.Fatal(err)
	}
	inForce, _ := r.Explain("")
	_ = r.Apply("a", []byte("version: 1"), "test") // the line that says what went is told by rules that do not know it
	_ = r.Apply("a", []byte(with+"level: "+secret), "test")
	r.flush()
	lacks(t, shown.String()+fmt.Sprint(inForce, r.State())+r.err.String(), secret)
	contains(t, shown.String(), "redact.patterns: none→[[redacted]]", "/[redacted]/renewd.log", "error[LP012]: unknown level")
	contains(t, r.err.String(), "redact.patterns: [[redacted]]→none")
}

func TestDiffSaysEachChangeOnALine(t *testing.T) {
	r := newRig(t)
	a := r.text("level: INFO # comment\nareas: {token: INFO, status: {handlers: [console, m]}}\nhandlers: {console: {type: stream}, m: {type: file, rotate: {maxSize: 10MiB}}}")
	b := r.text("areas: {token: {level: DEBUG, until: 2999-01-01T00:00:00Z}, status: {handlers: [m]}}\nhandlers: {m: {type: file, rotate: {maxSize: 20MiB}}}\nformats: {x: {}}\nredact: {keys: [k]}")
	diff, err := r.Diff("a", a, "b", b)
	want := "areas.status.handlers: [console, m]→[m]|areas.token: INFO→DEBUG|areas.token.until: none→2999-01-01T00:00:00Z|formats.x: none→present|" +
		"handlers.console: present→none|handlers.m.rotate.maxSize: 10MiB→20MiB|level: INFO→WARNING|redact.keys: none→[k]"
	if err != nil || strings.Join(diff, "|") != want {
		t.Errorf("%v\n%s\n%s", err, strings.Join(diff, "|"), want)
	}
	if _, err := r.Diff("a", a, "b", []byte("version: 2")); err == nil || !strings.Contains(err.Error(), "b:1:10: error[LP007]") {
		t.Error(err)
	}
}
