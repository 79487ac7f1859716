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

// suspect is a driver whose positions may be made up, or who ended a ride
// early, and one reason to think so.
type suspect struct {
	Driver trips.DriverID `json:"driver_id"`
	Reason string         `json:"reason"` // of location.FlagNames, or earlyEnd
	At     time.Time      `json:"at"`     // our clock, when it was raised last
	Times  int            `json:"times"`

	// Set for an earlyEnd alone.
	Trip        trips.TripID `json:"trip_id,omitempty"`
	MetresShort float64      `json:"metres_short,omitempty"` // of the destination

	// The last fix accepted; set when an operator looks.
	Fix location.Fix `json:"-"`
}

// earlyEnd is the reason of a ride that its driver completed before its
// destination.
const earlyEnd = "completed early"

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
		Help: "Reasons to doubt a driver's positions, each at most once in ten minutes for a driver, and rides completed early."}, []string{"reason"})}
	for _, reason := range location.FlagNames {
		s.total.WithLabelValues(reason)
	}
	s.total.WithLabelValues(earlyEnd)
	return s
}

// Note counts and lists what was raised about a driver. When the list is full,
// the oldest entry goes.
func (s *Suspects) Note(id trips.DriverID, flags location.Flags, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, reason := range flags.Names() {
		s.noteLocked(suspect{Driver: id, Reason: reason, At: now})
	}
}

// NoteTripEvent counts and lists a ride that was completed early. It ignores
// all other events.
func (s *Suspects) NoteTripEvent(ev trips.Event) {
	if !ev.Early {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(suspect{Driver: ev.Trip.Driver, Reason: earlyEnd, At: ev.At, Trip: ev.Trip.ID, MetresShort: ev.MetresShort()})
}

func (s *Suspects) noteLocked(noted suspect) {
	s.total.WithLabelValues(noted.Reason).Inc()
	i := slices.IndexFunc(s.list, func(o suspect) bool {
		return o.Driver == noted.Driver && o.Reason == noted.Reason && o.Trip == noted.Trip
	})
	switch {
	case i >= 0:
		noted.Times = s.list[i].Times
		s.list = slices.Delete(s.list, i, i+1)
	case len(s.list) == suspectsMost:
		s.list = slices.Delete(s.list, 0, 1)
	}

	noted.Times++
	s.list = append(s.list, noted)
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
