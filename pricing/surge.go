// Package pricing says what a ride costs: how busy each part of the city is,
// what that does to the tariff, and quotes that are valid for a stated time.
package pricing

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/location"
)

// Multiplier multiplies a tariff, in tenths: 10 is the plain price, 14 is 1.4
// times as much.
type Multiplier int

// NoSurge is the multiplier where nothing is scarce.
const NoSurge Multiplier = 10

func (m Multiplier) String() string { return fmt.Sprintf("%d.%d", m/10, m%10) }

// Factor returns the multiplier as a number: 1.4 for 14.
func (m Multiplier) Factor() float64 { return float64(m) / 10 }

// SurgeOptions bound a Surge. Zero values take the defaults named beside them.
type SurgeOptions struct {
	Cap Multiplier // the highest price; 25
	// Horizon is the time whose requests the free drivers should suffice for;
	// 5 min.
	Horizon time.Duration
	// HalfLife is the age at which a count of demand or supply weighs half;
	// 2 min.
	HalfLife time.Duration
	Step     Multiplier // the most by which a price changes in one tick; 1
}

func (o SurgeOptions) withDefaults() SurgeOptions {
	o.Cap = cmp.Or(o.Cap, 25)
	o.Horizon = cmp.Or(o.Horizon, 5*time.Minute)
	o.HalfLife = cmp.Or(o.HalfLife, 2*time.Minute)
	o.Step = cmp.Or(o.Step, 1)
	return o
}

// Surge is how much dearer rides are where they are scarce. In each zone, an H3
// cell of some 5 km²,
//
//	pressure   = requests expected within Horizon / (free drivers + 1)
//	multiplier = 1 + (pressure - 1) / 2, at least 1 and at most Cap
//
// where both counts are smoothed: over time with a half-life, and over space, a
// zone's neighbours counting a quarter each, so that crossing the street saves
// no money. The price follows by Step per tick. It falls only when it would
// fall by two tenths or to the plain price, so that it does not flicker.
//
// When drivers are short, a price that does not say so sends them ever further
// for each pickup, and everybody waits longer (J. Castillo, D. Knoepfle,
// E. Weyl, Surge Pricing Solves the Wild Goose Chase, EC 2017). A higher price
// keeps requests to what can be served (J. Hall, C. Kendrick, C. Nosko, The
// Effects of Uber's Surge Pricing, 2015). The formula is ours.
//
// It has no clock: the same ticks give the same prices. It may be used from
// many goroutines.
type Surge struct {
	opts SurgeOptions

	mu       sync.RWMutex // guards the fields below
	zones    map[location.Cell]*zone
	tickedAt time.Time
}

// zone is the state of one cell.
type zone struct {
	demand     float64 // requests a second
	supply     float64 // free drivers
	price      Multiplier
	neighbours []location.Cell
}

// NewSurge returns a Surge with plain prices everywhere.
func NewSurge(o SurgeOptions) *Surge {
	return &Surge{opts: o.withDefaults(), zones: map[location.Cell]*zone{}}
}

// ZoneCounts counts things by zone.
type ZoneCounts map[location.Cell]int

// Tick takes in, by zone, the requests since the last tick and the drivers that
// are free now. The first tick only starts the count.
func (s *Surge) Tick(now time.Time, demand, supply ZoneCounts) {
	s.mu.Lock()
	defer s.mu.Unlock()

	passed := now.Sub(s.tickedAt).Seconds()
	first := s.tickedAt.IsZero()
	if s.tickedAt = now; first || passed <= 0 {
		return
	}

	for _, cells := range []ZoneCounts{demand, supply} {
		for c := range cells {
			s.ensureZoneLocked(c)
		}
	}

	keep := math.Exp2(-passed / s.opts.HalfLife.Seconds())
	for c, z := range s.zones {
		z.demand = keep*z.demand + (1-keep)*float64(demand[c])/passed
		z.supply = keep*z.supply + (1-keep)*float64(supply[c])
	}

	for _, z := range s.zones {
		z.price = s.nextPrice(z.price, s.pressureLocked(z))
	}

	// Quiet zones go only after the prices of all neighbours were computed.
	for c, z := range s.zones {
		if z.price == NoSurge && z.demand < negligible && z.supply < negligible {
			delete(s.zones, c)
		}
	}
}

// negligible is the demand or supply below which a zone is forgotten.
const negligible = 1e-6

// CountByZone returns how many points lie in each zone. Invalid points are
// ignored.
func CountByZone(points []location.Point) ZoneCounts {
	n := ZoneCounts{}
	for _, p := range points {
		if z := ZoneAt(p); z != 0 {
			n[z]++
		}
	}
	return n
}

// ZoneAt returns the zone of a place, or 0 for an invalid point.
func ZoneAt(p location.Point) location.Cell {
	c, err := location.CellOf(p)
	if err != nil {
		return 0
	}
	return c.ParentCell()
}

// ensureZoneLocked makes sure that the zone of a cell exists.
func (s *Surge) ensureZoneLocked(c location.Cell) {
	if s.zones[c] != nil {
		return
	}

	z := &zone{price: NoSurge}
	if rings, err := c.RingsAround(1); err == nil && len(rings) > 1 {
		z.neighbours = rings[1]
	}
	s.zones[c] = z
}

// neighbourShare is how much of a neighbour's demand and supply counts for a
// zone.
const neighbourShare = 0.25

// pressureLocked returns the requests expected within Horizon per free driver.
func (s *Surge) pressureLocked(z *zone) float64 {
	demand, supply := z.demand, z.supply
	for _, c := range z.neighbours {
		if n := s.zones[c]; n != nil {
			demand += neighbourShare * n.demand
			supply += neighbourShare * n.supply
		}
	}
	return demand * s.opts.Horizon.Seconds() / (supply + 1)
}

// nextPrice returns the price after one tick: a step from price towards what
// the pressure asks for.
func (s *Surge) nextPrice(price Multiplier, pressure float64) Multiplier {
	target := Multiplier(math.Round(float64(NoSurge) * (1 + max(0, pressure-1)/2)))
	target = min(max(target, NoSurge), s.opts.Cap)
	switch {
	case target > price:
		return min(target, price+s.opts.Step)
	case target <= price-2, target == NoSurge:
		return max(target, price-s.opts.Step)
	}
	return price
}

// MultiplierAt returns the multiplier at a place; NoSurge for an invalid point.
func (s *Surge) MultiplierAt(p location.Point) Multiplier {
	zone := ZoneAt(p)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if z := s.zones[zone]; z != nil {
		return z.price
	}
	return NoSurge
}

// Zone is a cell whose price is raised, and the counts that explain it.
type Zone struct {
	Cell       location.Cell
	Multiplier Multiplier
	Demand     float64 // requests a minute, smoothed
	Supply     float64 // free drivers, smoothed
}

// RaisedZones returns the zones above the plain price, ordered by cell.
func (s *Surge) RaisedZones() []Zone {
	s.mu.RLock()
	defer s.mu.RUnlock()

	var out []Zone
	for _, c := range slices.Sorted(maps.Keys(s.zones)) {
		if z := s.zones[c]; z.price > NoSurge {
			out = append(out, Zone{Cell: c, Multiplier: z.price, Demand: z.demand * 60, Supply: z.supply})
		}
	}
	return out
}
