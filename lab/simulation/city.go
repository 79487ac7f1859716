// Package simulation runs a city in virtual time: hours in seconds, one event after the other on one goroutine, the same
// bytes for the same seed. Who is offered what, who drives where, and what it costs is decided by the code that a node
// runs: dispatch (Hunt, Policy), sharedstate, routing, pricing and the trips' own verbs. Left out is what only a real
// one has: sockets, Redis, a database, other nodes, lost messages and late answers.
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

// Config is what a city is made of.
type Config struct {
	City          *routing.City
	Policy        string // dispatch.GreedyPolicy or dispatch.BatchedPolicy
	Seed          uint64
	Drivers       int
	RidersPerHour float64 // the mean over a day; the hour of the day makes it more or less
	Hours         float64
	Begin         int  // hour of the day at the beginning; 0 to 23
	Surge         bool // prices follow demand; else all pay the plain price
	Rules         dispatch.Rules
	Weights       dispatch.Weights // of the batched policy
}

func (c Config) length() time.Duration { return time.Duration(c.Hours * float64(time.Hour)) }

func (c Config) hourAt(since time.Duration) int { return (c.Begin + int(since/time.Hour)) % 24 }

// ErrConfig is wrapped by every error about a Config that no city can be made of.
var ErrConfig = errors.New("this city cannot be simulated")

func (c Config) check() error {
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
	case c.Weights.Patience < 0 || c.Weights.Patience > 24*time.Hour, c.Weights.LastCall < 0 || c.Weights.LastCall > 24*time.Hour:
		return fmt.Errorf("%w: a patience of %s and a last call after %s; give at most 24h", ErrConfig, c.Weights.Patience, c.Weights.LastCall)
	case !(c.Weights.Age >= 0 && c.Weights.Age <= 10) || !(c.Weights.Idle >= -1 && c.Weights.Idle <= 10):
		return fmt.Errorf("%w: an age of %g and an idle of %g; give at most 10", ErrConfig, c.Weights.Age, c.Weights.Idle)
	}
	return nil
}

// PatientPolicy is greedy, but refuses far pickups as batched does: it shows how much of what batched gains is due to
// matching many trips at once, and how much to not sending drivers far. Only simulations have it.
const PatientPolicy = "patient"

func (c Config) policy(eta dispatch.ETA) (dispatch.Policy, error) {
	leastWait := dispatch.LeastWait{ETA: eta, Weights: c.Weights, Deadline: time.Hour}
	if c.Policy == PatientPolicy {
		return dispatch.Policy{Name: PatientPolicy, Picker: leastWait}, nil
	}
	p, err := dispatch.PolicyNamed(cmp.Or(c.Policy, dispatch.BatchedPolicy), eta, 1)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if p.Window > 0 {
		p.Picker = leastWait
	}
	return p, nil
}

// epoch is when every virtual city begins.
var epoch = time.Date(2030, time.January, 7, 0, 0, 0, 0, time.UTC)

// world is a city under way.
type world struct {
	cfg     Config
	ctx     context.Context
	now     time.Time
	end     time.Time
	agenda  agenda
	router  *routing.Router
	places  *places
	drivers *sharedstate.Drivers
	policy  dispatch.Policy
	surge   *pricing.Surge
	cars    map[trips.DriverID]*car
	fleet   []*car
	asked   []location.Point // pickups since the last tick of prices
	window  []*ride
	closed  time.Time // when the last window closed
	riders  int
	failed  error
	stats   stats

	temper func(c *car, r *ride, pickup time.Duration) (reply, time.Duration)
	after  func() // each event; tests look around
}

// Run lets the city live for its hours under one policy.
func Run(ctx context.Context, cfg Config) (Result, error) {
	w, err := build(ctx, cfg)
	if err != nil {
		return Result{}, err
	}
	w.hire()
	for _, wish := range draw(cfg, w.places) {
		w.agenda.plan(epoch.Add(wish.at), func() { w.request(wish) })
	}
	return w.run()
}

// build makes a city in which nobody is yet.
func build(ctx context.Context, cfg Config) (*world, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	router := routing.NewRouter(cfg.City)
	policy, err := cfg.policy(atOnce{router})
	if err != nil {
		return nil, err
	}
	w := &world{cfg: cfg, ctx: ctx, now: epoch, end: epoch.Add(cfg.length()), router: router, places: newPlaces(router), policy: policy,
		surge: pricing.NewSurge(pricing.SurgeOptions{}), cars: map[trips.DriverID]*car{}, after: func() {}}
	w.temper = func(c *car, r *ride, pickup time.Duration) (reply, time.Duration) {
		return temper(cfg.Seed, c.id, r.trip.ID, pickup)
	}
	forever := 1000 * time.Hour // nobody falls silent here
	judge := location.DefaultJudge()
	judge.MinGap = 0 // a car may stop and be asked in the same moment
	w.drivers = sharedstate.NewDrivers(sharedstate.DriverOptions{Judge: judge,
		Now: func() time.Time { return w.now }, SuspectAfter: forever, OfflineAfter: forever, Shards: 1})
	w.tickPrices()
	return w, nil
}

func (w *world) run() (Result, error) {
	for n := 0; ; n++ {
		d, ok := w.agenda.next(w.end)
		if !ok {
			break
		}
		if n%1024 == 0 && w.ctx.Err() != nil {
			return Result{}, w.ctx.Err()
		}
		w.now = d.at
		if d.do(); w.failed != nil {
			return Result{}, fmt.Errorf("the virtual city broke at %s: %w", w.now.Sub(epoch), w.failed)
		}
		w.after()
	}
	w.now = w.end
	return w.result(), nil
}

func (w *world) in(d time.Duration, do func()) { w.agenda.plan(w.now.Add(d), do) }

// must notes what cannot happen: a verb that the trip refuses is a bug of the simulation.
func (w *world) must(ev trips.Event, err error) trips.Trip {
	if err != nil && w.failed == nil {
		w.failed = err
	}
	return ev.Trip
}

// atOnce answers from the roads themselves: the routing service without the call.
type atOnce struct{ router *routing.Router }

func (a atOnce) Times(ctx context.Context, from []location.Point, to location.Point) ([]time.Duration, string, error) {
	t, err := a.router.Times(ctx, from, to)
	return t, routing.SourceRoad, err
}

func (a atOnce) Matrix(ctx context.Context, from, to []location.Point) ([][]time.Duration, string, error) {
	t, err := a.router.Matrix(ctx, from, to)
	return t, routing.SourceRoad, err
}

// hire puts the drivers in the city, at all stages of their shifts.
func (w *world) hire() {
	r := rand.New(rand.NewPCG(w.cfg.Seed, 0x666c656574))
	for i := range w.cfg.Drivers {
		at := w.cfg.City.RandomPoint(r)
		w.employ(i, at, epoch.Add(-time.Duration(r.Float64()*float64(shift+rest))))
	}
}

// employ gives a driver a first shift.
func (w *world) employ(number int, at location.Point, begins time.Time) *car {
	c := &car{id: trips.DriverID(fmt.Sprintf("d%06d", number)), at: at, begins: begins,
		rng: rand.New(rand.NewPCG(w.cfg.Seed, uint64(number)))}
	w.cars[c.id] = c
	w.fleet = append(w.fleet, c)
	w.comeOn(c)
	return c
}

// comeOn begins a shift at its time, or joins it when it is under way.
func (w *world) comeOn(c *car) {
	c.ends = c.begins.Add(shift)
	if !c.ends.After(w.now) { // resting
		c.begins = c.ends.Add(rest)
		w.agenda.plan(c.begins, func() { w.comeOn(c) })
		return
	}
	c.on = true
	w.drivers.Enter(c.id, "virtual")
	w.show(c)
	w.drivers.SetAvailable(c.id, true)
	c.begins = w.now
	w.agenda.plan(c.ends, func() { w.goHome(c) })
	w.rests(c)
}

// goHome ends a shift, once the driver has no trip and no offer in hand.
func (w *world) goHome(c *car) {
	if !c.on || c.busy || w.now.Before(c.ends) {
		return
	}
	w.park(c)
	c.on = false
	c.onDuty += w.now.Sub(c.begins)
	w.drivers.SetAvailable(c.id, false)
	w.drivers.Leave(c.id, "virtual")
	c.begins = w.now.Add(rest)
	w.agenda.plan(c.begins, func() { w.comeOn(c) })
}

// show tells the shared state where the car is.
func (w *world) show(c *car) {
	if why := w.drivers.Move(c.id, location.Fix{Point: c.where(w.now), At: w.now}); why != location.Believed && why != location.Stale {
		w.failed = errors.Join(w.failed, fmt.Errorf("the position of %s was refused: %s", c.id, why))
	}
}

// park ends whatever way the car is on, where it is.
func (w *world) park(c *car) {
	if c.way != nil {
		var metres float64
		c.at, metres = along(c.way, w.now.Sub(c.left))
		w.stats.empty += metres
		c.way = nil
	}
	c.errand++
	if c.on {
		w.show(c)
	}
}

const (
	driftAfter = 4 * time.Minute // of having nothing to do
	driftShows = 4 * time.Second
	farDrift   = 3000 // metres; hot spots that far count a third
)

// rests waits for something to do, and drives towards a busy place when nothing comes.
func (w *world) rests(c *car) {
	c.errand++
	mine := c.errand
	w.in(driftAfter+time.Duration(c.rng.Float64()*float64(driftAfter)), func() {
		if c.errand == mine && c.on && !c.busy {
			w.drift(c)
		}
	})
}

func (w *world) drift(c *car) {
	to, ok := w.attraction(c)
	if !ok {
		w.rests(c)
		return
	}
	way, err := w.router.Route(w.ctx, c.at, to)
	if err != nil {
		w.rests(c)
		return
	}
	c.errand++
	c.way, c.left = &way, w.now
	w.rolls(c, c.errand)
}

// rolls shows a drifting car every few seconds until it is there, or has something better to do.
func (w *world) rolls(c *car, mine int) {
	w.in(driftShows, func() {
		if c.errand != mine {
			return
		}
		if w.now.Sub(c.left) < c.way.Duration {
			w.show(c)
			w.rolls(c, mine)
			return
		}
		w.park(c)
		if !w.now.Before(c.ends) {
			w.goHome(c)
			return
		}
		w.rests(c)
	})
}

// attraction draws a hot spot, the nearer the likelier; never the one the car stands at.
func (w *world) attraction(c *car) (location.Point, bool) {
	var sum float64
	weights := make([]float64, len(w.places.spots))
	for i, s := range w.places.spots {
		if d := location.Metres(c.at, s.Point); d > 800 {
			weights[i] = s.Weight * math.Exp(-d/farDrift)
			sum += weights[i]
		}
	}
	at := c.rng.Float64() * sum
	for i, s := range w.places.spots {
		if at -= weights[i]; at < 0 {
			return w.places.near(c.rng, s.Point, 400), true
		}
	}
	return location.Point{}, false
}

const priceTick = 10 * time.Second

// tickPrices shows the prices how busy the city is.
func (w *world) tickPrices() {
	if !w.cfg.Surge {
		return
	}
	var free []location.Point
	for _, c := range w.fleet {
		if c.on && !c.busy {
			free = append(free, c.where(w.now))
		}
	}
	w.surge.Tick(w.now, w.asked, free)
	w.asked = w.asked[:0]
	w.in(priceTick, w.tickPrices)
}
