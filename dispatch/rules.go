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
	Radii []float64 // metres, widening; 1,500, 3,000, 6,000, 12,000
	// how many drivers the picker chooses from, per trip; 8, or 20 in a window
	Candidates  int
	OfferFor    time.Duration // 15 s
	GiveUpAfter time.Duration // counted from the request; 3 min
	RetryEvery  time.Duration // when nobody is there; 1 s
	MaxOffers   int           // per trip; 24
	// a driver who kept silent or was unreachable is asked again after this; 30
	// s
	AskAgain time.Duration
}

// withDefaults fills in what is missing, for a policy.
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

// Hunt is how far looking for one trip's driver has come: who was asked, and
// who is not to be asked again. It has no clock, no lock and no goroutine, so
// that a node and a city in virtual time hunt alike.
type Hunt struct {
	Trip   trips.Trip // as it was when the hunt began; never changes
	Offers int        // how many drivers were asked

	rules Rules
	// drivers not to ask before a time; zero means never again
	askAfter map[trips.DriverID]time.Time
}

// NewHunt begins to look for a driver under a policy.
func NewHunt(t trips.Trip, p Policy, r Rules) *Hunt {
	return &Hunt{Trip: t, rules: r.withDefaults(p), askAfter: map[trips.DriverID]time.Time{}}
}

// Rules are those of the hunt, defaults filled in.
func (h *Hunt) Rules() Rules { return h.rules }

// Ask is the hunt as a policy sees it: with the drivers of the smallest circle
// that has enough of them, or of the widest one. enough is 1 for a policy that
// serves trips one by one. ok is false when there is nobody to ask.
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

// withinMetres is the beginning of a list, nearest first, up to a distance.
func withinMetres(near []sharedstate.Near, metres float64) []sharedstate.Near {
	return near[:sort.Search(len(near), func(i int) bool { return near[i].Metres > metres })]
}

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

// Declined notes that the driver does not want the trip: they are not asked
// again.
func (h *Hunt) Declined(id trips.DriverID) { h.askAfter[id] = time.Time{} }

// Silent notes that the driver said nothing, or could not be reached: they are
// asked again some time after.
func (h *Hunt) Silent(id trips.DriverID, since time.Time) {
	h.askAfter[id] = since.Add(h.rules.AskAgain)
}

// Exhausted says whether the trip has waited, or been offered, long enough, and
// why it then expires.
func (h *Hunt) Exhausted(now time.Time) (reason string, yes bool) {
	if h.Offers < h.rules.MaxOffers && now.Sub(h.Trip.RequestedAt) < h.rules.GiveUpAfter {
		return "", false
	}
	if h.Offers > 0 {
		return ReasonNobodyAccepts, true
	}
	return ReasonNobodyNear, true
}
