package latency

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/internal/sleep"
)

// Machine says how busy this machine was during the run, with the run's own
// work and everything else. What waits for a core here counts as latency.
type Machine struct {
	Cores       int     `json:"cores"`
	LoadAverage float64 `json:"load_average"` // of the last minute; 0 where the system does not tell
	// How much later than asked a sleep of 1 ms ended, in milliseconds.
	LateP50 float64 `json:"late_p50_ms"`
	LateP99 float64 `json:"late_p99_ms"`
}

const (
	napTime  = time.Millisecond
	napPause = 4 * time.Millisecond
	// A quiet machine wakes a sleeper within some 0.1 ms.
	lateOnQuiet = 1.0 // ms
)

// watchMachine naps until ctx ends, in the kernel, and records how late each
// nap ended.
func watchMachine(ctx context.Context) Machine {
	late := newHistogram()
	for sleep.For(ctx, napPause) {
		due := time.Now().Add(napTime)
		sleep.Precisely(due)
		late.Record(float64(time.Since(due).Microseconds()))
	}
	return describeMachine(late)
}

func describeMachine(late *quantile.Histogram) Machine {
	m := Machine{Cores: runtime.NumCPU(), LateP50: late.At(50, 1e3), LateP99: late.At(99, 1e3)}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &m.LoadAverage)
	}
	return m
}

// loadWarning says what the load means for the figures. It is empty when the
// load does not matter to a run with this median.
func (m Machine) loadWarning(p50 float64) string {
	if m.LateP99 < lateOnQuiet || m.LateP99 < p50/10 {
		return ""
	}

	var b strings.Builder
	fmt.Fprintf(&b, "\n  This machine is loaded: one sleep of 1 ms in a hundred ended %.1f ms late or later", m.LateP99)
	if m.LoadAverage > 0 {
		fmt.Fprintf(&b, " (load %.1f on %d cores)", m.LoadAverage, m.Cores)
	}
	fmt.Fprintf(&b, ".\n  Quantiles of some %.0f ms and less say more about the wait for a core than about the app.\n", 2*m.LateP99)
	return b.String()
}
