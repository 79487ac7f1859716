// Package simulation runs a city in virtual time: hours in seconds, one event
// after the other on one goroutine, with the same bytes for the same seed. The
// code that a node runs makes the decisions: dispatch, sharedstate, routing,
// pricing and the transitions of trips. Sockets, Redis, the database, other
// nodes, lost messages and late answers are left out.
package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// Config describes a city and its demand.
type Config struct {
	City    *routing.City
	Policy  string // dispatch.GreedyPolicy or dispatch.BatchedPolicy
	Seed    uint64
	Drivers int
	// It is the mean of a day; the hour of the day makes it more or less.
	RidersPerHour float64
	Hours         float64
	Begin         int  // hour of the day at the beginning; 0 to 23
	Surge         bool // prices follow demand; else all pay the plain price
	Rules         dispatch.Rules
	Weights       dispatch.Weights // of the batched policy
}

func (c Config) duration() time.Duration { return time.Duration(c.Hours * float64(time.Hour)) }

func (c Config) hourOfDay(since time.Duration) int { return (c.Begin + int(since/time.Hour)) % 24 }

// ErrConfig is wrapped by every error about a Config that cannot be simulated.
var ErrConfig = errors.New("this city cannot be simulated")

func (c Config) validate() error {
	switch {
	case c.City == nil:
		return fmt.Errorf("%w: it has no roads", ErrConfig)
	case c.Drivers < 1 || c.Drivers > 1_000_000:
		return fmt.Errorf("%w: %d drivers; give 1 to 1,000,000", ErrConfig, c.Drivers)
	case !(c.RidersPerHour > 0 && c.RidersPerHour <= 1e7):
		return fmt.Errorf("%w: %g riders per hour; give more than 0 and at most 10,000,000", ErrConfig, c.RidersPerHour)
	case !(c.Hours > 0 && c.Hours <= 24*31):
		return fmt.Errorf("%w: %g hours; give more than 0 and at most a month", ErrConfig, c.Hours)
	case c.Begin < 0 || c.Begin > 23:
		return fmt.Errorf("%w: it begins at %d o'clock; give 0 to 23", ErrConfig, c.Begin)
	case c.Weights.MaxPickup < 0 || c.Weights.MaxPickup > 24*time.Hour, c.Weights.MaxWait < 0 || c.Weights.MaxWait > 24*time.Hour:
		return fmt.Errorf("%w: a patience of %s and a last call after %s; give at most 24h", ErrConfig, c.Weights.MaxPickup, c.Weights.MaxWait)
	case !(c.Weights.WaitWeight >= 0 && c.Weights.WaitWeight <= 10) || !(c.Weights.IdleWeight >= -1 && c.Weights.IdleWeight <= 10):
		return fmt.Errorf("%w: an age of %g and an idle of %g; give at most 10", ErrConfig, c.Weights.WaitWeight, c.Weights.IdleWeight)
	}

	return nil
}

// PatientPolicy is greedy, but refuses far pickups as batched does. It shows
// how much of what batched gains comes from matching many trips at once, and
// how much from not sending drivers far. Only simulations have it.
const PatientPolicy = "patient"

func (c Config) buildPolicy(eta dispatch.ETA) (dispatch.Policy, error) {
	leastWait := dispatch.MinCostMatcher{ETA: eta, Weights: c.Weights, Deadline: time.Hour}
	if c.Policy == PatientPolicy {
		return dispatch.Policy{Name: PatientPolicy, Matcher: leastWait}, nil
	}

	p, err := dispatch.NewPolicy(cmp.Or(c.Policy, dispatch.BatchedPolicy), eta, 1)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if p.Window > 0 {
		p.Matcher = leastWait
	}
	return p, nil
}

// epoch is when every virtual city begins.
var epoch = time.Date(2030, time.January, 7, 0, 0, 0, 0, time.UTC)

// world is a city while it is simulated. One goroutine uses it.
type world struct {
	cfg            Config
	ctx            context.Context
	now            time.Time
	end            time.Time
	agenda         eventQueue
	router         *routing.Router
	places         *places
	drivers        *sharedstate.Drivers
	policy         dispatch.Policy
	surge          *pricing.Surge
	cars           map[trips.DriverID]*car
	fleet          []*car
	pickups        []location.Point // pickups since the last tick of prices
	waiting        []*ride
	windowClosedAt time.Time // when the last window closed
	riders         int
	failed         error
	stats          stats

	decide  func(c *car, r *ride, pickup time.Duration) (offerAnswer, time.Duration)
	onEvent func() // each event; tests look around
}

// Run simulates the city for cfg.Hours under one policy. It returns an error
// that wraps ErrConfig, or the context's error.
func Run(ctx context.Context, cfg Config) (Result, error) {
	w, err := newWorld(ctx, cfg)
	if err != nil {
		return Result{}, err
	}

	w.hireDrivers()
	for _, demand := range drawDemands(cfg, w.places) {
		w.agenda.schedule(epoch.Add(demand.at), func() { w.requestRide(demand) })
	}
	return w.runEvents()
}

// newWorld makes a city without drivers and riders.
func newWorld(ctx context.Context, cfg Config) (*world, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	router := routing.NewRouter(cfg.City)

	policy, err := cfg.buildPolicy(directRouting{router})
	if err != nil {
		return nil, err
	}

	w := &world{cfg: cfg, ctx: ctx, now: epoch, end: epoch.Add(cfg.duration()), router: router, places: newPlaces(router), policy: policy,
		surge: pricing.NewSurge(pricing.SurgeOptions{}), cars: map[trips.DriverID]*car{}, onEvent: func() {}}
	w.decide = func(c *car, r *ride, pickup time.Duration) (offerAnswer, time.Duration) {
		return decideAnswer(cfg.Seed, c.id, r.trip.ID, pickup)
	}
	forever := 1000 * time.Hour // every driver reports in time
	judge := location.DefaultFixFilter()
	judge.MinGap = 0 // a car may stop and be asked in the same moment
	w.drivers = sharedstate.NewDrivers(sharedstate.DriverOptions{FixFilter: judge,
		Now: func() time.Time { return w.now }, SuspectAfter: forever, OfflineAfter: forever, Shards: 1})
	w.updatePrices()
	return w, nil
}

func (w *world) runEvents() (Result, error) {
	for n := 0; ; n++ {
		d, ok := w.agenda.popBefore(w.end)
		if !ok {
			break
		}
		if n%1024 == 0 && w.ctx.Err() != nil {
			return Result{}, w.ctx.Err()
		}

		w.now = d.at
		if d.run(); w.failed != nil {
			return Result{}, fmt.Errorf("the virtual city broke at %s: %w", w.now.Sub(epoch), w.failed)
		}

		w.onEvent()
	}

	w.now = w.end
	return w.buildResult(), nil
}

func (w *world) scheduleIn(d time.Duration, do func()) { w.agenda.schedule(w.now.Add(d), do) }

// requireLegal returns the event's trip. A transition that the trip refuses is
// a bug of the simulation: the first such error ends the run.
func (w *world) requireLegal(ev trips.Event, err error) trips.Trip {
	if err != nil && w.failed == nil {
		w.failed = err
	}
	return ev.Trip
}

// directRouting answers from the router itself, without the routing service.
type directRouting struct{ router *routing.Router }

func (a directRouting) Times(ctx context.Context, from []location.Point, to location.Point) ([]time.Duration, string, error) {
	t, err := a.router.Times(ctx, from, to)
	return t, routing.SourceRoad, err
}

func (a directRouting) Matrix(ctx context.Context, from, to []location.Point) ([][]time.Duration, string, error) {
	t, err := a.router.Matrix(ctx, from, to)
	return t, routing.SourceRoad, err
}

// hireDrivers places the drivers in the city, at random stages of their shifts.
func (w *world) hireDrivers() {
	r := rand.New(rand.NewPCG(w.cfg.Seed, 0x666c656574))
	for i := range w.cfg.Drivers {
		at := w.cfg.City.RandomPoint(r)
		w.addDriver(i, at, epoch.Add(-time.Duration(r.Float64()*float64(shift+rest))))
	}
}

// addDriver adds a driver whose first shift begins at a time.
func (w *world) addDriver(number int, at location.Point, begins time.Time) *car {
	c := &car{id: trips.DriverID(fmt.Sprintf("d%06d", number)), at: at, shiftBegins: begins,
		rng: rand.New(rand.NewPCG(w.cfg.Seed, uint64(number)))}
	w.cars[c.id] = c
	w.fleet = append(w.fleet, c)
	w.beginShift(c)
	return c
}

// beginShift starts a shift. A shift whose time is over is followed by the rest
// after it.
func (w *world) beginShift(c *car) {
	c.shiftEnds = c.shiftBegins.Add(shift)
	if !c.shiftEnds.After(w.now) { // resting
		c.shiftBegins = c.shiftEnds.Add(rest)
		w.agenda.schedule(c.shiftBegins, func() { w.beginShift(c) })
		return
	}

	c.onShift = true
	w.drivers.Connect(c.id, "virtual")
	w.reportPosition(c)
	w.drivers.SetAvailable(c.id, true)
	c.shiftBegins = w.now
	w.agenda.schedule(c.shiftEnds, func() { w.endShift(c) })
	w.awaitWork(c)
}

// endShift ends a shift that is over, unless the driver has a trip or an offer;
// it is then called again after that.
func (w *world) endShift(c *car) {
	if !c.onShift || c.busy || w.now.Before(c.shiftEnds) {
		return
	}
	w.stopCar(c)
	c.onShift = false
	c.dutyTime += w.now.Sub(c.shiftBegins)
	w.drivers.SetAvailable(c.id, false)
	w.drivers.Disconnect(c.id, "virtual")
	c.shiftBegins = w.now.Add(rest)
	w.agenda.schedule(c.shiftBegins, func() { w.beginShift(c) })
}

// reportPosition tells the shared state where the car is.
func (w *world) reportPosition(c *car) {
	if why := w.drivers.Move(c.id, location.Fix{Point: c.currentPoint(w.now), At: w.now}); why != location.Accepted && why != location.Stale {
		w.failed = errors.Join(w.failed, fmt.Errorf("the position of %s was refused: %s", c.id, why))
	}
}

// stopCar ends the car's drive where the car is now.
func (w *world) stopCar(c *car) {
	if c.route != nil {
		var metres float64
		c.at, metres = travelAlong(c.route, w.now.Sub(c.departedAt))
		w.stats.empty += metres
		c.route = nil
	}

	c.taskSeq++
	if c.onShift {
		w.reportPosition(c)
	}
}

const (
	idleBeforeMove = 4 * time.Minute // of having nothing to do
	reportEvery    = 4 * time.Second
	hotspotRange   = 3000 // metres; hot spots that far count a third
)

// awaitWork waits a few minutes, then drives the car to a hot spot if it has
// got no other task.
func (w *world) awaitWork(c *car) {
	c.taskSeq++
	mine := c.taskSeq
	w.scheduleIn(idleBeforeMove+time.Duration(c.rng.Float64()*float64(idleBeforeMove)), func() {
		if c.taskSeq == mine && c.onShift && !c.busy {
			w.driveToHotspot(c)
		}
	})
}

func (w *world) driveToHotspot(c *car) {
	to, ok := w.chooseHotspot(c)
	if !ok {
		w.awaitWork(c)
		return
	}

	way, err := w.router.Route(w.ctx, c.at, to)
	if err != nil {
		w.awaitWork(c)
		return
	}

	c.taskSeq++
	c.route, c.departedAt = &way, w.now
	w.reportUntilArrived(c, c.taskSeq)
}

// reportUntilArrived reports the car's position every few seconds until it
// arrives or gets another task, whose number differs from mine.
func (w *world) reportUntilArrived(c *car, mine int) {
	w.scheduleIn(reportEvery, func() {
		if c.taskSeq != mine {
			return
		}
		if w.now.Sub(c.departedAt) < c.route.Duration {
			w.reportPosition(c)
			w.reportUntilArrived(c, mine)
			return
		}

		w.stopCar(c)
		if !w.now.Before(c.shiftEnds) {
			w.endShift(c)
			return
		}
		w.awaitWork(c)
	})
}

// chooseHotspot draws a point near a hot spot. Nearer ones are likelier; the
// one where the car stands is left out.
func (w *world) chooseHotspot(c *car) (location.Point, bool) {
	var sum float64
	weights := make([]float64, len(w.places.hotspots))
	for i, s := range w.places.hotspots {
		if d := location.MetresBetween(c.at, s.Point); d > 800 {
			weights[i] = s.Weight * math.Exp(-d/hotspotRange)
			sum += weights[i]
		}
	}

	at := c.rng.Float64() * sum
	for i, s := range w.places.hotspots {
		if at -= weights[i]; at < 0 {
			return w.places.drawPointNear(c.rng, s.Point, 400), true
		}
	}

	return location.Point{}, false
}

const priceTick = 10 * time.Second

// updatePrices gives the pickups and free drivers since the last call to the
// surge prices.
func (w *world) updatePrices() {
	if !w.cfg.Surge {
		return
	}

	var free []location.Point
	for _, c := range w.fleet {
		if c.onShift && !c.busy {
			free = append(free, c.currentPoint(w.now))
		}
	}

	w.surge.Tick(w.now, pricing.CountByZone(w.pickups), pricing.CountByZone(free))
	w.pickups = w.pickups[:0]
	w.scheduleIn(priceTick, w.updatePrices)
}
