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

// LeastWait matches a whole window so that all of it waits least: it may send
// somebody the second-nearest driver because the nearest one is the only one
// for somebody else. Pairs cost the seconds to the pickup, less a little for a
// driver who has waited long; leaving a trip to the next window costs Patience,
// and more the longer it has waited. So
//
//   - a pickup longer than Patience is not worth it yet: the driver would be
//     lost to nearer riders, and a nearer driver may come free. Sending drivers
//     ever further away is how a busy city breaks down (J. Castillo, D.
//     Knoepfle, E. Weyl, Surge Pricing Solves the Wild Goose Chase, EC 2017);
//   - who has waited for LastCall takes whoever nobody else wants, however far
//     away: better than nobody. It is no privilege. One that went before all
//     others was tried: in overload everybody has it in the end, and drivers go
//     far;
//   - of two trips alike the older one may be the further away, by Age for each
//     second. So a trip loses a driver only to trips older than it, or younger
//     by at most a longest pickup over Age: these are not without end, and
//     nobody starves.
type LeastWait struct {
	ETA      ETA
	Deadline time.Duration // for the travel times of one window; 300 ms when 0
	// seconds on the roads in one of the clock's, where a simulated city runs
	// faster; 1 when 0
	Pace float64
	Weights
}

// Weights say what is worth how much. Zero values take the defaults.
type Weights struct {
	Patience time.Duration // DefaultPatience
	LastCall time.Duration // DefaultLastCall
	// seconds of pickup that a second of a rider's waiting is worth; DefaultAge
	Age float64
	// seconds of pickup that a second of a driver's waiting is worth;
	// DefaultIdle; none below 0
	Idle float64
}

// The weights with which `ridehail simulate` did best; see docs/dispatch.md.
const (
	DefaultPatience = 5 * time.Minute
	DefaultLastCall = 2 * time.Minute
	DefaultAge      = 0.5
	DefaultIdle     = 0.01
	maxIdleTime     = 30 * time.Minute
)

// skipCost is what leaving a trip to the next window costs.
func (w Weights) skipCost(waited time.Duration) time.Duration {
	return cmp.Or(w.Patience, DefaultPatience) + scaleDuration(min(waited, longestPickup), cmp.Or(w.Age, DefaultAge))
}

// pairCost is what a pair costs. After the last call every pair is a little better
// than none.
func (w Weights) pairCost(waited, pickup, idle time.Duration) time.Duration {
	cost := pickup - scaleDuration(min(idle, maxIdleTime), max(0, cmp.Or(w.Idle, DefaultIdle)))
	if waited >= cmp.Or(w.LastCall, DefaultLastCall) {
		const little = 1_000_000 // of a pickup's time
		cost = min(cost, w.skipCost(waited)-max(0, longestPickup-pickup)/little-time.Microsecond)
	}
	return cost
}

func (p LeastWait) Pick(ctx context.Context, window []Ask) []Pair {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.Deadline, defaultETADeadline))
	defer cancel()

	pickups := p.pickupTimes(ctx, window)
	drivers, number := numberDrivers(window)
	g := matching.NewGraph(len(drivers))
	pace := cmp.Or(p.Pace, 1)
	for i, ask := range window {
		waited := scaleDuration(ask.Waited, pace)
		g.Row(p.skipCost(waited).Microseconds())

		for c, n := range ask.Near {
			if pickups[i][c] >= longestPickup {
				continue // there is no way
			}
			g.Edge(number[n.ID], p.pairCost(waited, pickups[i][c], scaleDuration(n.Idle, pace)).Microseconds())
		}
	}

	m, err := g.Assign()
	if err != nil { // a cost beyond all measure: the bounds above leave none
		return NearestByRoad{ETA: p.ETA, Deadline: p.Deadline}.Pick(ctx, window)
	}

	var pairs []Pair
	for i, j := range m.Row {
		if j == matching.None {
			continue
		}
		ask := window[i]
		c := slices.IndexFunc(ask.Near, func(n sharedstate.Near) bool { return n.ID == drivers[j] })
		pairs = append(pairs, Pair{Trip: ask.Trip.ID, Driver: ask.Near[c], Pickup: pickups[i][c]})
	}
	return pairs
}

func scaleDuration(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }

// numberDrivers numbers the drivers of a window, in the order in which they come
// up.
func numberDrivers(window []Ask) (drivers []trips.DriverID, number map[trips.DriverID]int) {
	number = map[trips.DriverID]int{}
	for _, ask := range window {
		for _, n := range ask.Near {
			if _, known := number[n.ID]; !known {
				number[n.ID] = len(drivers)
				drivers = append(drivers, n.ID)
			}
		}
	}
	return drivers, number
}

// Neighbours share most of their candidates. So a window is asked about in
// groups of neighbours: one answer for all drivers and all pickups of a group,
// instead of one question for each pair, or one for a whole city whose ends
// have nothing to do with each other.
const groupSize = 16

// pickupTimes are the times of all candidates of a window to their pickup.
func (p LeastWait) pickupTimes(ctx context.Context, window []Ask) [][]time.Duration {
	order := make([]int, len(window))
	cells := make([]location.Cell, len(window))
	for i, ask := range window {
		order[i] = i
		// neighbouring cells mostly have neighbouring numbers
		cells[i], _ = location.CellOf(ask.Trip.Pickup)
	}

	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(cells[a], cells[b]) })
	out := make([][]time.Duration, len(window))
	for group := range slices.Chunk(order, groupSize) {
		p.fillPickupTimes(ctx, window, group, out)
	}

	return out
}

func (p LeastWait) fillPickupTimes(ctx context.Context, window []Ask, group []int, out [][]time.Duration) {
	var from, to []location.Point
	number := map[trips.DriverID]int{}
	for _, i := range group {
		to = append(to, window[i].Trip.Pickup)
		for _, n := range window[i].Near {
			if _, known := number[n.ID]; !known {
				number[n.ID] = len(from)
				from = append(from, n.Fix.Point)
			}
		}
	}

	var times [][]time.Duration
	if p.ETA != nil && len(from) > 0 {
		if t, _, err := p.ETA.Matrix(ctx, from, to); err == nil && len(t) == len(from) {
			times = t
		}
	}

	for column, i := range group {
		out[i] = make([]time.Duration, len(window[i].Near))
		for c, n := range window[i].Near {
			out[i][c] = estimatePickup(n)
			if times != nil && len(times[number[n.ID]]) == len(to) {
				out[i][c] = min(max(0, times[number[n.ID]][column]), longestPickup)
			}
		}
	}
}

// longestPickup is longer than any pickup that makes sense.
const longestPickup = 24 * time.Hour

// estimatePickup is a pickup's time when nobody can say: the way by air at the pace of
// a car in a city, detours included.
func estimatePickup(n sharedstate.Near) time.Duration {
	const metresPerSecond = 6
	return min(time.Duration(n.Metres/metresPerSecond*float64(time.Second)), longestPickup)
}
