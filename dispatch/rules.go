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
	SearchRadii  []float64     // Metres, widening; 1,500, 3,000, 6,000, 12,000.
	Candidates   int           // Drivers to choose from; 8, or 20 in a window.
	OfferTimeout time.Duration // 15 s
	GiveUpAfter  time.Duration // Since the request; 3 min.
	RetryEvery   time.Duration // While no driver is found; 1 s.
	MaxOffers    int           // Per trip; 24.

	// AskAgainAfter is how long a driver who kept silent or was unreachable is
	// not asked again; 30 s.
	AskAgainAfter time.Duration
}

// withDefaults fills in the defaults under a policy.
func (r Rules) withDefaults(p Policy) Rules {
	if len(r.SearchRadii) == 0 {
		r.SearchRadii = []float64{1500, 3000, 6000, 12000}
	}
	r.Candidates = cmp.Or(r.Candidates, p.candidateCount())
	r.OfferTimeout = cmp.Or(r.OfferTimeout, 15*time.Second)
	r.GiveUpAfter = cmp.Or(r.GiveUpAfter, 3*time.Minute)
	r.RetryEvery = cmp.Or(r.RetryEvery, time.Second)
	r.MaxOffers = cmp.Or(r.MaxOffers, 24)
	r.AskAgainAfter = cmp.Or(r.AskAgainAfter, 30*time.Second)
	return r
}

// DriverFinder finds free drivers, nearest by air first.
type DriverFinder interface {
	Nearest(p location.Point, k int, maxMetres float64, dst []sharedstate.NearbyDriver) []sharedstate.NearbyDriver
}

// SearchState is the state of the search for one trip's driver: which drivers
// were asked, and which must not be asked again. It has no clock, no lock and
// no goroutine, so that a node and a simulated city search by the same code. It
// is not safe for concurrent use.
type SearchState struct {
	Trip       trips.Trip // As it was when the search began; never changes.
	OffersMade int        // How many drivers were asked.

	rules    Rules
	askAfter map[trips.DriverID]time.Time // Zero time: never again.
}

// NewSearchState starts a search under a policy.
func NewSearchState(t trips.Trip, p Policy, r Rules) *SearchState {
	return &SearchState{Trip: t, rules: r.withDefaults(p), askAfter: map[trips.DriverID]time.Time{}}
}

// Rules returns the rules of the search, with defaults filled in.
func (h *SearchState) Rules() Rules { return h.rules }

// FindCandidates returns the trip with the drivers of the smallest circle that
// holds at least enough of them, or of the widest circle. ok is false when
// there is no driver to ask.
func (h *SearchState) FindCandidates(f DriverFinder, enough int, now time.Time) (a Candidates, ok bool) {
	a = Candidates{Trip: h.Trip, Waited: now.Sub(h.Trip.RequestedAt)}
	near := h.findCandidates(f, slices.Max(h.rules.SearchRadii), now)
	for _, radius := range h.rules.SearchRadii {
		if a.Nearby = withinMetres(near, radius); len(a.Nearby) >= enough {
			break
		}
	}
	return a, len(a.Nearby) > 0
}

// withinMetres returns the drivers up to a distance. near is sorted by
// distance.
func withinMetres(near []sharedstate.NearbyDriver, metres float64) []sharedstate.NearbyDriver {
	return near[:sort.Search(len(near), func(i int) bool { return near[i].Metres > metres })]
}

// findCandidates returns the nearest drivers who may be asked now.
func (h *SearchState) findCandidates(f DriverFinder, metres float64, now time.Time) []sharedstate.NearbyDriver {
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

// MarkDeclined records that the driver does not want the trip. The search does
// not ask the driver again.
func (h *SearchState) MarkDeclined(id trips.DriverID) { h.askAfter[id] = time.Time{} }

// MarkSilent records that the driver gave no answer, or could not be reached.
// The search asks the driver again after AskAgainAfter.
func (h *SearchState) MarkSilent(id trips.DriverID, since time.Time) {
	h.askAfter[id] = since.Add(h.rules.AskAgainAfter)
}

// MarkBusy records that another search holds the driver. The search asks the
// driver again after RetryEvery.
func (h *SearchState) MarkBusy(id trips.DriverID, since time.Time) {
	h.askAfter[id] = since.Add(h.rules.RetryEvery)
}

// Exhausted reports whether the trip has waited, or been offered, long enough.
// The reason is why it then expires.
func (h *SearchState) Exhausted(now time.Time) (reason string, yes bool) {
	if h.OffersMade < h.rules.MaxOffers && now.Sub(h.Trip.RequestedAt) < h.rules.GiveUpAfter {
		return "", false
	}
	if h.OffersMade > 0 {
		return ReasonNoDriverAccepted, true
	}
	return ReasonNoDriverNearby, true
}
