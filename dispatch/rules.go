package dispatch

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// Rules bound the search for a driver. Zero values take the defaults named
// beside them.
type Rules struct {
	Radii       []float64     // Metres, widening; 1,500, 3,000, 6,000, 12,000.
	Candidates  int           // Drivers to choose from; 8, or 20 in a window.
	OfferFor    time.Duration // 15 s
	GiveUpAfter time.Duration // Since the request; 3 min.
	RetryEvery  time.Duration // While no driver is found; 1 s.
	MaxOffers   int           // Per trip; 24.

	// AskAgain is how long a driver who kept silent or was unreachable is not
	// asked again; 30 s.
	AskAgain time.Duration
}

// withDefaults fills in the defaults under a policy.
func (r Rules) withDefaults(p Policy) Rules {
	if len(r.Radii) == 0 {
		r.Radii = []float64{1500, 3000, 6000, 12000}
	}
	r.Candidates = cmp.Or(r.Candidates, p.candidateCount())
	r.OfferFor = cmp.Or(r.OfferFor, 15*time.Second)
	r.GiveUpAfter = cmp.Or(r.GiveUpAfter, 3*time.Minute)
	r.RetryEvery = cmp.Or(r.RetryEvery, time.Second)
	r.MaxOffers = cmp.Or(r.MaxOffers, 24)
	r.AskAgain = cmp.Or(r.AskAgain, 30*time.Second)
	return r
}

// Finder finds free drivers, nearest by air first.
type Finder interface {
	Nearest(p location.Point, k int, maxMetres float64, dst []sharedstate.Near) []sharedstate.Near
}

// Hunt is the state of the search for one trip's driver: which drivers were
// asked, and which must not be asked again. It has no clock, no lock and no
// goroutine, so that a node and a simulated city search by the same code. It is
// not safe for concurrent use.
type Hunt struct {
	Trip   trips.Trip // As it was when the search began; never changes.
	Offers int        // How many drivers were asked.

	rules    Rules
	askAfter map[trips.DriverID]time.Time // Zero time: never again.
}

// NewHunt starts a search under a policy.
func NewHunt(t trips.Trip, p Policy, r Rules) *Hunt {
	return &Hunt{Trip: t, rules: r.withDefaults(p), askAfter: map[trips.DriverID]time.Time{}}
}

// Rules returns the rules of the search, with defaults filled in.
func (h *Hunt) Rules() Rules { return h.rules }

// Ask returns the trip with the drivers of the smallest circle that holds at
// least enough of them, or of the widest circle. ok is false when there is no
// driver to ask.
func (h *Hunt) Ask(f Finder, enough int, now time.Time) (a Ask, ok bool) {
	a = Ask{Trip: h.Trip, Waited: now.Sub(h.Trip.RequestedAt)}
	near := h.findCandidates(f, slices.Max(h.rules.Radii), now)
	for _, radius := range h.rules.Radii {
		if a.Near = withinMetres(near, radius); len(a.Near) >= enough {
			break
		}
	}
	return a, len(a.Near) > 0
}

// withinMetres returns the drivers up to a distance. near is sorted by
// distance.
func withinMetres(near []sharedstate.Near, metres float64) []sharedstate.Near {
	return near[:sort.Search(len(near), func(i int) bool { return near[i].Metres > metres })]
}

// findCandidates returns the nearest drivers who may be asked now.
func (h *Hunt) findCandidates(f Finder, metres float64, now time.Time) []sharedstate.Near {
	k := h.rules.Candidates
	near := f.Nearest(h.Trip.Pickup, k+len(h.askAfter), metres, nil)
	fresh := near[:0]
	for _, n := range near {
		until, asked := h.askAfter[n.ID]
		if !asked || (!until.IsZero() && !now.Before(until)) {
			fresh = append(fresh, n)
		}
	}

	return fresh[:min(k, len(fresh))]
}

// Declined records that the driver does not want the trip. The search does not
// ask the driver again.
func (h *Hunt) Declined(id trips.DriverID) { h.askAfter[id] = time.Time{} }

// Silent records that the driver gave no answer, or could not be reached. The
// search asks the driver again after AskAgain.
func (h *Hunt) Silent(id trips.DriverID, since time.Time) {
	h.askAfter[id] = since.Add(h.rules.AskAgain)
}

// Exhausted reports whether the trip has waited, or been offered, long enough.
// The reason is why it then expires.
func (h *Hunt) Exhausted(now time.Time) (reason string, yes bool) {
	if h.Offers < h.rules.MaxOffers && now.Sub(h.Trip.RequestedAt) < h.rules.GiveUpAfter {
		return "", false
	}
	if h.Offers > 0 {
		return ReasonNobodyAccepts, true
	}
	return ReasonNobodyNear, true
}
