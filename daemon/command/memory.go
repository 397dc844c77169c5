// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	manyTokens  = 50      // from here on the collector paces itself by the heap, and all processors are used
	leastMemory = 8 << 20 // below this a memory limit makes the collector run all the time
	restAfter   = 2 * time.Second
	restEvery   = time.Minute
	manyEvery   = 10 * time.Second // where there is always work: a hundredth of a processor for a fifth of the memory
)

// memory keeps the process small rather than fast: it runs in every pod, and works for a millisecond an hour. Without a
// pace of its own the collector runs when a limit is reached, so nothing wakes an idle process, and what a refresh
// needed is given back after it. The limit counts the whole runtime and follows it. What the user set by GOGC,
// GOMEMLIMIT or GOMAXPROCS stays.
type memory struct {
	mu     sync.Mutex // guards the others
	paced  bool       // by a limit
	many   bool       // tokens, as fit was told last
	fitted bool
	over   bool // nothing is done after work any more
	last   time.Time
	next   *time.Timer // nil: none is due
}

// fit sets up the runtime for this many tokens.
func (m *memory) fit(tokens int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	set := func(name string) bool { return os.Getenv(name) != "" }
	many := tokens >= manyTokens
	if m.fitted && many == m.many {
		return // what rest has set since fits better
	}
	m.fitted, m.many = true, many
	if !set("GOMAXPROCS") {
		if many {
			runtime.SetDefaultGOMAXPROCS()
		} else {
			runtime.GOMAXPROCS(1)
		}
	}
	if set("GOGC") || set("GOMEMLIMIT") {
		return
	}
	if m.paced = !many; many {
		debug.SetGCPercent(10)
		debug.SetMemoryLimit(math.MaxInt64)
	} else {
		debug.SetGCPercent(-1)
		debug.SetMemoryLimit(leastMemory)
	}
}

// worked is called after work. A moment later, and not more often than once a minute, or where there are many tokens once in
// ten seconds, what the work needed is given back.
func (m *memory) worked() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.over && m.next == nil {
		every := restEvery
		if m.many {
			every = manyEvery
		}
		m.next = time.AfterFunc(max(restAfter, every-time.Since(m.last)), m.rest)
	}
}

// stop ends what worked has begun.
func (m *memory) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
	if m.next != nil {
		m.next.Stop()
	}
}

// rest returns memory to the system and sets the limit anew.
func (m *memory) rest() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next, m.last = nil, time.Now(); m.over {
		return
	}
	if !m.paced {
		runtime.GC() // stacks and ended timers take two rounds
	}
	debug.FreeOSMemory()
	forgetProgram()
	if !m.paced {
		return
	}
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	total, released, live := samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()
	limit := max(leastMemory, int64(total-released+live))
	if bound := cgroupLimit(); bound > 0 && limit > bound*6/10 {
		m.paced = false
		debug.SetMemoryLimit(math.MaxInt64)
		debug.SetGCPercent(25)
		return
	}
	debug.SetMemoryLimit(limit)
}

// forgetProgram drops the pages of the program itself from the process. They stay in the page cache, and the few that are
// needed again come back by a minor fault; most were only needed to start. A part that the loader has written to (Anonymous
// in proc_pid_smaps(5), as in position independent programs) would lose that, and is left alone.
func forgetProgram() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	parts, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	var low, high uintptr // of the part that the lines are about; zero: not the program, or writable
	for line := range strings.Lines(string(parts)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 5 && len(fields[1]) == 4:
			low, high = 0, 0
			if len(fields) == 6 && fields[5] == self && fields[1][1] == '-' {
				_, _ = fmt.Sscanf(fields[0], "%x-%x", &low, &high) // zero if it cannot be read
			}
		case len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" && low < high:
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, low, high-low, syscall.MADV_DONTNEED)
		}
	}
}

// cgroupLimit returns the memory limit of the control group (version 2) that the process sees as its own; 0: none.
func cgroupLimit() int64 {
	text, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		return 0 // "max"
	}
	return n
}
