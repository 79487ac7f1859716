package dispatch

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ridehail/ridehail/dispatch/matching"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// MinCostMatcher matches a whole window at the least total cost. It may send a
// rider the second-nearest driver, because the nearest one is the only driver
// for another rider. A pair costs the seconds to the pickup, less a little for
// a driver who has waited long. Leaving a trip to the next window costs
// MaxPickup, and more the longer the trip has waited. This has three effects:
//
//   - A pickup longer than MaxPickup has to wait. The driver would be lost to
//     nearer riders, and a nearer driver may come free. Sending drivers ever
//     farther is how a busy city breaks down (J. Castillo, D. Knoepfle and E.
//     Weyl, Surge Pricing Solves the Wild Goose Chase, EC 2017).
//   - A rider who has waited for MaxWait gets any driver whom no other rider
//     needs, however far away. The trip gets no priority. Priority was tried:
//     under overload every trip ended up with it, and pickups grew long.
//   - Of two equal trips the older one may be farther away, by WaitWeight for
//     each second of waiting. So a trip loses a driver only to older trips, or
//     to trips that are younger by at most the longest pickup divided by
//     WaitWeight. These are finitely many, so no trip waits for ever.
//
// The assignment is exact: see the package matching.
type MinCostMatcher struct {
	ETA      ETA           // nil: pickup times are estimated by air.
	Deadline time.Duration // For the travel times of one window; 0: 300 ms.

	// Pace is the number of simulated seconds per second of the clock. 0 means
	// 1.
	Pace float64
	Weights
}

// Weights are the prices of MinCostMatcher. Zero values take the defaults.
type Weights struct {
	MaxPickup time.Duration // Cost of leaving a new trip; DefaultMaxPickup.
	MaxWait   time.Duration // DefaultMaxWait

	// WaitWeight is how many seconds of pickup a second of a rider's waiting is
	// worth; DefaultWaitWeight.
	WaitWeight float64

	// IdleWeight is how many seconds of pickup a second of a driver's idling is
	// worth; DefaultIdleWeight. Below 0 it counts as none.
	IdleWeight float64
}

// The defaults are the weights with which `ridehail simulate` did best; see
// docs/dispatch.md.
const (
	DefaultMaxPickup  = 5 * time.Minute
	DefaultMaxWait    = 2 * time.Minute
	DefaultWaitWeight = 0.5
	DefaultIdleWeight = 0.01
	maxIdleTime       = 30 * time.Minute
)

// skipCost is what leaving a trip to the next window costs.
func (w Weights) skipCost(waited time.Duration) time.Duration {
	return cmp.Or(w.MaxPickup, DefaultMaxPickup) + scaleDuration(min(waited, longestPickup), cmp.Or(w.WaitWeight, DefaultWaitWeight))
}

// pairCost is what a pair costs. After MaxWait every pair is slightly cheaper
// than none.
func (w Weights) pairCost(waited, pickup, idle time.Duration) time.Duration {
	cost := pickup - scaleDuration(min(idle, maxIdleTime), max(0, cmp.Or(w.IdleWeight, DefaultIdleWeight)))
	if waited >= cmp.Or(w.MaxWait, DefaultMaxWait) {
		const little = 1_000_000 // Parts of a pickup's time.
		cost = min(cost, w.skipCost(waited)-max(0, longestPickup-pickup)/little-time.Microsecond)
	}
	return cost
}

// MatchWindow implements Matcher.
func (p MinCostMatcher) MatchWindow(ctx context.Context, window []Candidates) []Assignment {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.Deadline, defaultETADeadline))
	defer cancel()

	pickups := p.pickupTimes(ctx, window)
	drivers, number := numberDrivers(window)
	g := matching.NewGraph(len(drivers))
	pace := cmp.Or(p.Pace, 1)
	for i, ask := range window {
		waited := scaleDuration(ask.Waited, pace)
		g.AddRow(p.skipCost(waited).Microseconds())

		for c, n := range ask.Nearby {
			if pickups[i][c] >= longestPickup {
				continue // The pickup cannot be reached.
			}
			g.AddEdge(number[n.ID], p.pairCost(waited, pickups[i][c], scaleDuration(n.Idle, pace)).Microseconds())
		}
	}

	m, err := g.Assign()
	if err != nil { // Impossible: the bounds above keep costs below MaxCost.
		return GreedyMatcher{ETA: p.ETA, Deadline: p.Deadline}.MatchWindow(ctx, window)
	}

	var pairs []Assignment
	for i, j := range m.ColumnOf {
		if j == matching.Unmatched {
			continue
		}
		ask := window[i]
		c := slices.IndexFunc(ask.Nearby, func(n sharedstate.NearbyDriver) bool { return n.ID == drivers[j] })
		pairs = append(pairs, Assignment{Trip: ask.Trip.ID, Driver: ask.Nearby[c], PickupTime: pickups[i][c]})
	}
	return pairs
}

func scaleDuration(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }

// numberDrivers numbers the drivers of a window in the order in which they
// occur.
func numberDrivers(window []Candidates) (drivers []trips.DriverID, number map[trips.DriverID]int) {
	number = map[trips.DriverID]int{}
	for _, ask := range window {
		for _, n := range ask.Nearby {
			if _, known := number[n.ID]; !known {
				number[n.ID] = len(drivers)
				drivers = append(drivers, n.ID)
			}
		}
	}
	return drivers, number
}

// groupSize is the number of neighbouring trips whose travel times are asked
// for together. Neighbours share most of their candidates, so one matrix of all
// drivers and all pickups of a group replaces a call per pair. One matrix for a
// whole city would waste most of its entries.
const groupSize = 16

// pickupTimes returns, for each trip of a window, the times of its candidates
// to the pickup.
func (p MinCostMatcher) pickupTimes(ctx context.Context, window []Candidates) [][]time.Duration {
	order := make([]int, len(window))
	cells := make([]location.Cell, len(window))
	for i, ask := range window {
		order[i] = i
		// Neighbouring cells mostly have neighbouring indexes.
		cells[i], _ = location.CellOf(ask.Trip.Pickup)
	}

	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(cells[a], cells[b]) })
	out := make([][]time.Duration, len(window))
	for group := range slices.Chunk(order, groupSize) {
		p.fillPickupTimes(ctx, window, group, out)
	}

	return out
}

// fillPickupTimes sets the pickup times of one group of trips in out. It
// estimates them when the travel times fail.
func (p MinCostMatcher) fillPickupTimes(ctx context.Context, window []Candidates, group []int, out [][]time.Duration) {
	var from, to []location.Point
	number := map[trips.DriverID]int{}
	for _, i := range group {
		to = append(to, window[i].Trip.Pickup)
		for _, n := range window[i].Nearby {
			if _, known := number[n.ID]; !known {
				number[n.ID] = len(from)
				from = append(from, n.Fix.Point)
			}
		}
	}

	var times [][]time.Duration
	if p.ETA != nil && len(from) > 0 {
		ended := beginTravelCall(ctx)
		t, source, err := p.ETA.Matrix(ctx, from, to)
		ended(source, err)
		if err == nil && len(t) == len(from) {
			times = t
		}
	}

	for column, i := range group {
		out[i] = make([]time.Duration, len(window[i].Nearby))
		for c, n := range window[i].Nearby {
			out[i][c] = estimatePickup(n)
			if times != nil && len(times[number[n.ID]]) == len(to) {
				out[i][c] = min(max(0, times[number[n.ID]][column]), longestPickup)
			}
		}
	}
}

// longestPickup is longer than any pickup that makes sense.
const longestPickup = 24 * time.Hour

// estimatePickup is a pickup's time without travel times: the distance by air
// at a car's average progress in a city, detours included.
func estimatePickup(n sharedstate.NearbyDriver) time.Duration {
	const metresPerSecond = 6
	return min(time.Duration(n.Metres/metresPerSecond*float64(time.Second)), longestPickup)
}
