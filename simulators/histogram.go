package simulators

import (
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
)

const (
	lockStripes   = 4                     // locks that spread the writers
	recentSeconds = 5                     // that Snapshot.RecentP50 and RecentP99 cover
	latencyLimit  = int64(10 * 60 * 1e6)  // 10 minutes, in microseconds
	pickupLimit   = int64(7 * 24 * 3.6e6) // a week, in milliseconds
)

// histogram may be used from several goroutines.
type histogram struct {
	mu sync.Mutex
	h  *quantile.Histogram // guarded by mu
}

func (h *histogram) recordValue(v float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.h.Record(v)
}

// readQuantiles returns the quantiles, divided by unit.
func (h *histogram) readQuantiles(unit float64) quantile.Counted {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.h.Counted(unit)
}

// latencies counts microseconds, in total and for each recent second. It is
// striped by lock, because thousands of phones write it.
type latencies [lockStripes]struct {
	mu     sync.Mutex // guards below
	all    *quantile.Histogram
	recent [recentSeconds + 1]secondBucket
}

type secondBucket struct {
	unixSecond int64
	h          *quantile.Histogram
}

func (l *latencies) initHistograms() {
	for i := range l {
		l[i].all = quantile.NewHistogram(latencyLimit, 3)
		for j := range l[i].recent {
			l[i].recent[j].h = quantile.NewHistogram(latencyLimit, 2)
		}
	}
}

func (l *latencies) recordLatency(stripe int, now time.Time, ms float64) {
	s := &l[stripe%lockStripes]
	at := now.Unix()
	s.mu.Lock()
	defer s.mu.Unlock()

	s.all.Record(ms * 1e3)
	sec := &s.recent[at%int64(len(s.recent))]
	if sec.unixSecond != at {
		sec.unixSecond = at
		sec.h.Reset()
	}
	sec.h.Record(ms * 1e3)
}

// readQuantiles returns the quantiles of all values, and two of the recent
// seconds, in milliseconds.
func (l *latencies) readQuantiles(now time.Time) (all quantile.Counted, recentP50, recentP99 float64) {
	sum, recent := quantile.NewHistogram(latencyLimit, 3), quantile.NewHistogram(latencyLimit, 2)
	for i := range l {
		s := &l[i]
		s.mu.Lock()
		sum.Merge(s.all)

		for _, sec := range s.recent {
			if age := now.Unix() - sec.unixSecond; age >= 0 && age <= recentSeconds {
				recent.Merge(sec.h)
			}
		}
		s.mu.Unlock()
	}
	return sum.Counted(1e3), recent.At(50, 1e3), recent.At(99, 1e3)
}
