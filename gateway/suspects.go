package gateway

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// suspect is a driver whose positions may be made up, and one reason to think so.
type suspect struct {
	Driver trips.DriverID
	Reason string    // of location.FlagNames
	At     time.Time // our clock, when it was raised last
	Times  int
	Fix    location.Fix // the last one believed; filled in when an operator looks
}

// suspects counts flags and lists the newest. What is raised here has no effect on a driver: a person decides.
type suspects struct {
	total *prometheus.CounterVec

	mu   sync.Mutex
	list []suspect // the one raised last comes last; at most suspectsMost
}

// suspectsMost is how many suspects an operator sees at a time.
const suspectsMost = 200

func newSuspects(f promauto.Factory) *suspects {
	s := &suspects{total: f.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_flags_total",
		Help: "Reasons to doubt a driver's positions; each at most once in ten minutes for a driver."}, []string{"reason"})}
	for _, reason := range location.FlagNames {
		s.total.WithLabelValues(reason)
	}
	return s
}

// note counts and lists what was raised about a driver.
func (s *suspects) note(id trips.DriverID, flags location.Flags, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, reason := range flags.Names() {
		s.total.WithLabelValues(reason).Inc()
		again := suspect{Driver: id, Reason: reason}
		i := slices.IndexFunc(s.list, func(o suspect) bool { return o.Driver == id && o.Reason == reason })
		switch {
		case i >= 0:
			again = s.list[i]
			s.list = slices.Delete(s.list, i, i+1)
		case len(s.list) == suspectsMost:
			s.list = slices.Delete(s.list, 0, 1)
		}
		again.At, again.Times = now, again.Times+1
		s.list = append(s.list, again)
	}
}

// suspected lists the suspects, the newest first, with where they are now.
func (g *door) suspected() []suspect {
	g.m.suspects.mu.Lock()
	list := slices.Clone(g.m.suspects.list)
	g.m.suspects.mu.Unlock()
	slices.Reverse(list)
	for i := range list {
		if d, ok := g.cfg.Drivers.Get(list[i].Driver); ok {
			list[i].Fix = d.Fix
		}
	}
	return list
}
