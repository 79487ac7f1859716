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

// population is what the riders of one run share.
type population struct {
	RiderConfig
	clock         cityClock
	network       *network
	router        *routing.Router
	hotspots      []routing.Hotspot
	totalWeight   float64        // sum of the spots' weights
	freeResidents chan *resident // people who want nothing just now, longest first
	runningRides  sync.WaitGroup
}

// resident is a person of the city, on a ride or not.
type resident struct {
	id           string
	index        int
	choiceRandom *rand.Rand
	chatRandom   *rand.Rand
	sosRandom    *rand.Rand
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

	c := &population{RiderConfig: cfg, clock: cityClock(cfg.Speed), network: newNetwork(cfg.Server, cfg.Codec, cfg.Stats, cfg.Log),
		router: routing.NewRouter(cfg.City), hotspots: cfg.City.Hotspots(), freeResidents: make(chan *resident, cfg.Count)}
	c.network.journal = cfg.Journal
	for _, s := range c.hotspots {
		c.totalWeight += s.Weight
	}
	if cfg.Flaky {
		c.network.makeFlaky(cfg.Seed, flakyDropMean)
	}
	defer c.network.close()

	if err := c.network.waitForNode(ctx, client.RoleRider, c.riderID(0)); err != nil {
		return unlessEnded(ctx, err)
	}
	defer c.runningRides.Wait()

	c.resumeTrips(ctx)
	c.generateDemand(ctx)
	return nil
}

func (c *population) riderID(i int) string { return fmt.Sprintf("%s-%04d", c.Prefix, i+1) }

// resumeTrips lets everybody connect once, some at a time. Who has a trip
// follows it; the others are free.
func (c *population) resumeTrips(ctx context.Context) {
	turns := make(chan struct{}, dialsAtOnce)
	idle := make([]*resident, c.Count)
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
		s := &resident{id: id, index: i, choiceRandom: newRandomStream(c.Seed, id, "choices"), chatRandom: newRandomStream(c.Seed, id, "talk"),
			sosRandom: newRandomStream(c.Seed, id, "help")}
		looks.Add(1)

		looked := sync.OnceFunc(func() { <-turns; looks.Done() })
		c.runningRides.Go(func() {
			defer looked()
			if c.runRide(ctx, s, nil, looked) {
				c.freeResidents <- s
			} else {
				idle[i] = s
			}
		})
	}
	looks.Wait()

	for _, s := range idle {
		// in the order of their ids, so that a seed always sends the same ones
		if s != nil {
			c.freeResidents <- s
		}
	}
}

// tripDemand is where somebody wants to go.
type tripDemand struct{ from, to location.Point }

// generateDemand is the Poisson process: it draws the same times and places for the
// same seed, whoever is free then.
func (c *population) generateDemand(ctx context.Context) {
	rng := newRandomStream(c.Seed, c.Prefix, "arrivals")
	next := time.Now()
	for {
		next = next.Add(c.clock.realDuration(60 * rng.ExpFloat64() / c.PerMinute))
		w := c.drawDemand(rng)
		if !sleep.For(ctx, time.Until(next)) {
			return
		}

		select {
		case s := <-c.freeResidents:
			c.runningRides.Go(func() {
				c.runRide(ctx, s, &w, func() {})
				c.freeResidents <- s
			})
		default:
			c.Stats.turnedAway.Add(1)
		}
	}
}

const (
	hotspotSpread = 400.0  // how far from a hot spot people stand, on average
	minRideMetres = 1000.0 // ride, in metres as the crow flies
	maxRideMetres = 8000.0
	maxPlaceDraws = 40
)

// drawDemand draws a ride: most begin around a hot spot, and none is very short or
// very long if the city allows.
func (c *population) drawDemand(r *rand.Rand) (w tripDemand) {
	w.from = c.drawPlace(r, 0.8)
	for range maxPlaceDraws {
		w.to = c.drawPlace(r, 0.4)
		if m := location.MetresBetween(w.from, w.to); m >= minRideMetres && m <= maxRideMetres {
			break
		}
	}
	return w
}

// drawPlace draws a place on a road, around a hot spot with a probability.
func (c *population) drawPlace(r *rand.Rand, hot float64) location.Point {
	if c.totalWeight <= 0 || r.Float64() >= hot {
		return c.City.RandomPoint(r)
	}
	at, spot := r.Float64()*c.totalWeight, c.hotspots[len(c.hotspots)-1]
	for _, s := range c.hotspots {
		if at -= s.Weight; at < 0 {
			spot = s
			break
		}
	}

	p := location.Point{
		Lng: spot.Lng + r.NormFloat64()*hotspotSpread/metresPerDeg, Lat: spot.Lat + r.NormFloat64()*hotspotSpread/metresPerDeg}
	if snapped, _, err := c.router.Snap(p); err == nil {
		return snapped
	}

	return c.City.RandomPoint(r) // a hot spot by the water
}

// runRide lets somebody live through one ride, or through the one the node knows
// of. Without a wish and a ride it returns false as soon as that is clear.
// looked is called when a ride turns out to be under way.
func (c *population) runRide(ctx context.Context, s *resident, w *tripDemand, looked func()) (rode bool) {
	p := c.network.startPhone(ctx, client.RoleRider, s.id, s.index)
	defer p.stop()

	r := newRider(c, s, p, w, looked)
	if err := runActor(ctx, p, r); err != nil {
		c.network.log.Warn("a rider gives up", "rider", s.id, "err", err)
	}
	if r.trip != nil && client.IsActive(r.trip.State) && ctx.Err() == nil {
		c.Stats.lost.Add(1)
	}
	return r.trip != nil
}
