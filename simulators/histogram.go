package simulators

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	stripes      = 4                     // locks that writers share
	window       = 5                     // seconds a live display looks back
	latencyLimit = int64(10 * 60 * 1e6)  // 10 minutes, in microseconds
	pickupLimit  = int64(7 * 24 * 3.6e6) // a week, in milliseconds
)

// histogram counts values from 1 to a limit; what lies outside is counted at the nearer end.
type histogram struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram // guarded by mu
}

func (h *histogram) init(limit int64, digits int) { h.h = hdrhistogram.New(1, limit, digits) }

func (h *histogram) record(v float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	put(h.h, v)
}

func put(h *hdrhistogram.Histogram, v float64) {
	_ = h.RecordValue(max(1, min(int64(v), h.HighestTrackableValue()))) // cannot fail within the limits
}

// quantiles returns the values divided by unit.
func (h *histogram) quantiles(unit float64) Quantiles {
	h.mu.Lock()
	defer h.mu.Unlock()
	return quantiles(h.h, unit)
}

func quantiles(h *hdrhistogram.Histogram, unit float64) Quantiles {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / unit }
	return Quantiles{Count: h.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Max: float64(h.Max()) / unit}
}

// latencies is a histogram in microseconds that thousands of phones write, with another for each recent second.
type latencies [stripes]struct {
	mu     sync.Mutex // guards below
	all    *hdrhistogram.Histogram
	recent [window + 1]second
}

type second struct {
	at int64
	h  *hdrhistogram.Histogram
}

func (l *latencies) init() {
	for i := range l {
		l[i].all = hdrhistogram.New(1, latencyLimit, 3)
		for j := range l[i].recent {
			l[i].recent[j].h = hdrhistogram.New(1, latencyLimit, 2)
		}
	}
}

func (l *latencies) record(stripe int, now time.Time, ms float64) {
	s := &l[stripe%stripes]
	at := now.Unix()
	s.mu.Lock()
	defer s.mu.Unlock()
	put(s.all, ms*1e3)
	sec := &s.recent[at%int64(len(s.recent))]
	if sec.at != at {
		sec.at = at
		sec.h.Reset()
	}
	put(sec.h, ms*1e3)
}

// read returns the quantiles of everything, and p99 of the last seconds, in milliseconds.
func (l *latencies) read(now time.Time) (all Quantiles, recentP99 float64) {
	sum, recent := hdrhistogram.New(1, latencyLimit, 3), hdrhistogram.New(1, latencyLimit, 2)
	for i := range l {
		s := &l[i]
		s.mu.Lock()
		sum.Merge(s.all)
		for _, sec := range s.recent {
			if age := now.Unix() - sec.at; age >= 0 && age <= window {
				recent.Merge(sec.h)
			}
		}
		s.mu.Unlock()
	}
	return quantiles(sum, 1e3), float64(recent.ValueAtQuantile(99)) / 1e3
}
