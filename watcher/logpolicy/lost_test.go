// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Once a handler that was stuck moves again, a line of the area log says how many lines it lost: where the gap is, and to the
// other handlers. Of what is lost within a minute of that, another line tells when the minute is over, without a line to
// wait for.
func TestLostLinesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, stderr := &buffer{}, &buffer{}
		s := New(Options{Areas: areas, Stderr: stderr, Stdout: out})
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = s.Run(ctx) })
		mustApply(t, s, "handlers: {console: {type: stream}, out: {type: stream, stream: stdout, format: json}}\n"+
			"areas: {token: {handlers: [out]}}")
		stall := func(lines int) {
			synctest.Wait()
			gate := make(chan struct{})
			out.mu.Lock()
			out.gate = gate
			out.mu.Unlock()
			for range maxLines + lines {
				s.Logger().Named("token").Warn("x")
			}
			out.mu.Lock()
			out.gate = nil
			out.mu.Unlock()
			close(gate)
			synctest.Wait()
		}
		told := func(where *buffer) string {
			var list []string
			for line := range strings.Lines(where.String()) {
				if strings.Contains(line, "log lines lost") {
					list = append(list, line)
				}
			}
			return strings.Join(list, "")
		}
		begin := time.Now()
		stall(7)
		json := fmt.Sprintf(`{"time":%q,"level":"WARNING","severity_number":13,"logger":"log","msg":"log lines lost","handler":"out","lines":7}`+"\n",
			begin.Add(maxWait).Format(iso))
		if got := told(out); got != json {
			t.Errorf("said\n%swant\n%s", got, json)
		}
		stall(5)
		stall(6)
		if got := told(stderr); strings.Count(got, "\n") != 1 || !strings.Contains(got, " | WARNING | log lines lost handler=out lines=7\n") {
			t.Errorf("within the minute\n%s", got)
		}
		time.Sleep(time.Minute - 2*maxWait)
		synctest.Wait()
		if got := told(stderr); strings.Count(got, "\n") != 2 || !strings.HasSuffix(got, " | WARNING | log lines lost handler=out lines=11\n") {
			t.Errorf("after the minute\n%s", got)
		}
		cancel()
		group.Wait()
	})
}
