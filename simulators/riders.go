package simulators

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// RiderConfig describes the people of a city.
type RiderConfig struct {
	Server string // http://HOST:PORT
	City   *routing.City
	Count  int // of people
	// who want a ride in the whole city in a minute of its time; 0 means
	// Count/20
	PerMinute float64
	Speed     float64 // minutes of the city in a minute; 0 means 1
	Seed      uint64
	SOS       float64    // share of rides on which a rider calls for help
	Flaky     bool       // phones lose their connection every 30 s on average
	Prefix    string     // of ids: PREFIX-0001; "" means "rider"
	Codec     wire.Codec // nil means wire.Proto
	Stats     *Stats     // nil: nobody looks
	Log       *slog.Logger
	Journal   *journal.Journal // nil: none is kept
}

func (c RiderConfig) withDefaults() (RiderConfig, error) {
	c.Speed, c.PerMinute = cmp.Or(c.Speed, 1), cmp.Or(c.PerMinute, float64(c.Count)/20)
	c.Prefix = cmp.Or(c.Prefix, client.RoleRider)
	if c.Stats == nil {
		c.Stats = NewStats()
	}
	if c.City == nil || c.Count < 1 || !(c.Speed > 0) || !(c.PerMinute > 0) {
		return c, errors.New("riders need a city, a count of at least 1, and a speed and a rate of arrivals above 0")
	}
	return c, nil
}

// crowd is what the riders of one run share.
type crowd struct {
	RiderConfig
	clock  clock
	net    *network
	router *routing.Router
	spots  []routing.Hotspot
	heavy  float64        // sum of the spots' weights
	free   chan *somebody // people who want nothing just now, longest first
	rides  sync.WaitGroup
}

// somebody is a person of the city, on a ride or not.
type somebody struct {
	id      string
	index   int
	choices *rand.Rand
	talk    *rand.Rand
	help    *rand.Rand
}

// RunRiders lets people order rides until the context ends, which is no error.
// Each of them looks once at the beginning whether a trip of an earlier run is
// still under way, and follows it. Errors: ErrUnreachable when no node answers
// for 15 s at the beginning, ErrRefused when it gives no tokens.
func RunRiders(ctx context.Context, cfg RiderConfig) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}

	c := &crowd{RiderConfig: cfg, clock: clock(cfg.Speed), net: newNetwork(cfg.Server, cfg.Codec, cfg.Stats, cfg.Log),
		router: routing.NewRouter(cfg.City), spots: cfg.City.Hotspots(), free: make(chan *somebody, cfg.Count)}
	c.net.journal = cfg.Journal
	for _, s := range c.spots {
		c.heavy += s.Weight
	}
	if cfg.Flaky {
		c.net.flaky(cfg.Seed, dropMean)
	}
	defer c.net.close()

	if err := c.net.reach(ctx, client.RoleRider, c.riderID(0)); err != nil {
		return unlessOver(ctx, err)
	}
	defer c.rides.Wait()

	c.lookAround(ctx)
	c.arrive(ctx)
	return nil
}

func (c *crowd) riderID(i int) string { return fmt.Sprintf("%s-%04d", c.Prefix, i+1) }

// lookAround lets everybody connect once, some at a time. Who has a trip
// follows it; the others are free.
func (c *crowd) lookAround(ctx context.Context) {
	turns := make(chan struct{}, dialsAtOnce)
	idle := make([]*somebody, c.Count)
	var looks sync.WaitGroup
	for i := range c.Count {
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
		}

		if ctx.Err() != nil {
			break
		}

		id := c.riderID(i)
		s := &somebody{id: id, index: i, choices: stream(c.Seed, id, "choices"), talk: stream(c.Seed, id, "talk"),
			help: stream(c.Seed, id, "help")}
		looks.Add(1)

		looked := sync.OnceFunc(func() { <-turns; looks.Done() })
		c.rides.Go(func() {
			defer looked()
			if c.ride(ctx, s, nil, looked) {
				c.free <- s
			} else {
				idle[i] = s
			}
		})
	}
	looks.Wait()

	for _, s := range idle {
		// in the order of their ids, so that a seed always sends the same ones
		if s != nil {
			c.free <- s
		}
	}
}

// wish is where somebody wants to go.
type wish struct{ from, to location.Point }

// arrive is the Poisson process: it draws the same times and places for the
// same seed, whoever is free then.
func (c *crowd) arrive(ctx context.Context) {
	rng := stream(c.Seed, c.Prefix, "arrivals")
	next := time.Now()
	for {
		next = next.Add(c.clock.wall(60 * rng.ExpFloat64() / c.PerMinute))
		w := c.wish(rng)
		if !sleep.For(ctx, time.Until(next)) {
			return
		}

		select {
		case s := <-c.free:
			c.rides.Go(func() {
				c.ride(ctx, s, &w, func() {})
				c.free <- s
			})
		default:
			c.Stats.turnedAway.Add(1)
		}
	}
}

const (
	spotMetres = 400.0  // how far from a hot spot people stand, on average
	nearest    = 1000.0 // ride, in metres as the crow flies
	farthest   = 8000.0
	tries      = 40
)

// wish draws a ride: most begin around a hot spot, and none is very short or
// very long if the city allows.
func (c *crowd) wish(r *rand.Rand) (w wish) {
	w.from = c.place(r, 0.8)
	for range tries {
		w.to = c.place(r, 0.4)
		if m := location.MetresBetween(w.from, w.to); m >= nearest && m <= farthest {
			break
		}
	}
	return w
}

// place draws a place on a road, around a hot spot with a probability.
func (c *crowd) place(r *rand.Rand, hot float64) location.Point {
	if c.heavy <= 0 || r.Float64() >= hot {
		return c.City.RandomPoint(r)
	}
	at, spot := r.Float64()*c.heavy, c.spots[len(c.spots)-1]
	for _, s := range c.spots {
		if at -= s.Weight; at < 0 {
			spot = s
			break
		}
	}

	p := location.Point{
		Lng: spot.Lng + r.NormFloat64()*spotMetres/metresPerDeg, Lat: spot.Lat + r.NormFloat64()*spotMetres/metresPerDeg}
	if snapped, _, err := c.router.Snap(p); err == nil {
		return snapped
	}

	return c.City.RandomPoint(r) // a hot spot by the water
}

// ride lets somebody live through one ride, or through the one the node knows
// of. Without a wish and a ride it returns false as soon as that is clear.
// looked is called when a ride turns out to be under way.
func (c *crowd) ride(ctx context.Context, s *somebody, w *wish, looked func()) (rode bool) {
	p := c.net.phone(ctx, client.RoleRider, s.id, s.index)
	defer p.stop()

	r := newRider(c, s, p, w, looked)
	if err := attend(ctx, p, r); err != nil {
		c.net.log.Warn("a rider gives up", "rider", s.id, "err", err)
	}
	if r.trip != nil && client.Active(r.trip.State) && ctx.Err() == nil {
		c.Stats.lost.Add(1)
	}
	return r.trip != nil
}
