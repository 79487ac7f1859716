package dispatch

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// GreedyMatcher picks, trip by trip, the driver who is first at the pickup by
// road. When the travel times do not come before the deadline, it picks the
// nearest driver by air: a late answer is worse than a second-best driver.
type GreedyMatcher struct {
	ETA      ETA
	Deadline time.Duration // For the travel times of one trip; 0: 300 ms.
}

// MatchWindow implements Matcher.
func (p GreedyMatcher) MatchWindow(ctx context.Context, window []Candidates) []Assignment {
	pairs := make([]Assignment, 0, len(window))
	taken := map[trips.DriverID]bool{}
	for _, ask := range window {
		near := slices.DeleteFunc(slices.Clone(ask.Nearby), func(n sharedstate.NearbyDriver) bool { return taken[n.ID] })
		if len(near) == 0 {
			continue
		}
		best := p.findFirst(ctx, ask.Trip.Pickup, near)
		best.Trip = ask.Trip.ID
		taken[best.Driver.ID] = true
		pairs = append(pairs, best)
	}

	return pairs
}

// findFirst returns the pair of the driver who is first at the pickup, without
// the trip's id. near is not empty.
func (p GreedyMatcher) findFirst(ctx context.Context, pickup location.Point, near []sharedstate.NearbyDriver) Assignment {
	byAir := Assignment{Driver: slices.MinFunc(near, func(a, b sharedstate.NearbyDriver) int { return cmp.Compare(a.Metres, b.Metres) })}
	if p.ETA == nil {
		return byAir
	}

	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.Deadline, defaultETADeadline))
	defer cancel()

	from := make([]location.Point, len(near))
	for i, n := range near {
		from[i] = n.Fix.Point
	}

	ended := beginTravelCall(ctx)
	times, source, err := p.ETA.Times(ctx, from, pickup)
	ended(source, err)
	if err != nil || len(times) != len(near) {
		return byAir
	}

	best := 0
	for i, t := range times {
		if t < times[best] {
			best = i
		}
	}

	return Assignment{Driver: near[best], PickupTime: times[best]}
}
