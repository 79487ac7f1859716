package httpapi

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// suspect is a driver whose positions may be made up, and one reason to think
// so.
type suspect struct {
	Driver trips.DriverID
	Reason string    // of location.FlagNames
	At     time.Time // our clock, when it was raised last
	Times  int
	Fix    location.Fix // the last one accepted; set when an operator looks
}

// Suspects counts doubts about drivers' positions and lists the newest for the
// operators' page. They have no effect on a driver: a person decides. Safe for
// concurrent use.
type Suspects struct {
	total *prometheus.CounterVec

	mu   sync.Mutex // guards below
	list []suspect  // the one raised last comes last; at most suspectsMost
}

// suspectsMost is how many suspects an operator sees at a time.
const suspectsMost = 200

// NewSuspects returns an empty list.
func NewSuspects(r prometheus.Registerer) *Suspects {
	s := &Suspects{total: promauto.With(r).NewCounterVec(prometheus.CounterOpts{Name: "ridehail_flags_total",
		Help: "Reasons to doubt a driver's positions; each at most once in ten minutes for a driver."}, []string{"reason"})}
	for _, reason := range location.FlagNames {
		s.total.WithLabelValues(reason)
	}
	return s
}

// Note counts and lists what was raised about a driver. When the list is full,
// the oldest entry goes.
func (s *Suspects) Note(id trips.DriverID, flags location.Flags, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, reason := range flags.Names() {
		s.total.WithLabelValues(reason).Inc()
		noted := suspect{Driver: id, Reason: reason}
		i := slices.IndexFunc(s.list, func(o suspect) bool { return o.Driver == id && o.Reason == reason })
		switch {
		case i >= 0:
			noted = s.list[i]
			s.list = slices.Delete(s.list, i, i+1)
		case len(s.list) == suspectsMost:
			s.list = slices.Delete(s.list, 0, 1)
		}

		noted.At, noted.Times = now, noted.Times+1
		s.list = append(s.list, noted)
	}
}

func (s *Suspects) newestFirst() []suspect {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.list)
	slices.Reverse(list)
	return list
}

// listSuspects returns the suspects, the newest first, with where they are now.
func (a *API) listSuspects() []suspect {
	list := a.cfg.Suspects.newestFirst()
	for i := range list {
		if d, ok := a.cfg.Drivers.Get(list[i].Driver); ok {
			list[i].Fix = d.Fix
		}
	}
	return list
}
