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

// RiderConfig describes the riders of a city.
type RiderConfig struct {
	Server    string // http://HOST:PORT, or several with commas between
	Spread    bool   // each phone begins at a node drawn by the seed, not at the first
	City      *routing.City
	Count     int     // number of riders
	PerMinute float64 // trips wanted per minute of the city; 0 means Count/20
	Speed     float64 // minutes of the city per minute; 0 means the node's
	Seed      uint64
	// EarlyRides is how many riders want a short ride as soon as the run
	// begins, beside PerMinute; 0 means none.
	EarlyRides int
	SOS        float64      // share of trips on which a rider calls for help
	Flaky      bool         // phones lose their connection every 30 s on average
	Prefix     string       // of ids: PREFIX-0001; "" means "rider"
	Codec      wire.Codec   // nil means wire.Proto
	Stats      *Stats       // nil for none
	Log        *slog.Logger // nil for none
	// nil for none
	Journal *journal.Journal
}

func (c RiderConfig) withDefaults() (RiderConfig, error) {
	c.PerMinute = cmp.Or(c.PerMinute, float64(c.Count)/20)
	c.Prefix = cmp.Or(c.Prefix, client.RoleRider)
	if c.Stats == nil {
		c.Stats = NewStats()
	}
	if c.City == nil || c.Count < 1 || !(c.Speed >= 0) || !(c.PerMinute > 0) {
		return c, errors.New("riders need a city, a count of at least 1, a rate of arrivals above 0, and no negative speed")
	}
	return c, nil
}

// population is what the riders of one run share.
type population struct {
	// Fixed at creation.
	RiderConfig
	clock       cityClock
	network     *network
	router      *routing.Router
	hotspots    []routing.Hotspot
	totalWeight float64 // of the hotspots

	freeResidents chan *resident // without a trip, longest first; holds Count
	runningRides  sync.WaitGroup
}

// resident is one inhabitant of the city. At most one ride uses it at a time.
type resident struct {
	id           string
	index        int
	choiceRandom *rand.Rand
	chatRandom   *rand.Rand
	sosRandom    *rand.Rand
}

// RunRiders simulates riders until the context ends, and then returns nil. Each
// rider first connects once and follows a trip of an earlier run that is still
// active. Errors: ErrUnreachable when no node answers for 15 s at the
// beginning, ErrRefused when the node gives no tokens, ErrMismatch when it runs
// another city or at another speed.
func RunRiders(ctx context.Context, cfg RiderConfig) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}

	c := &population{RiderConfig: cfg, network: newNetwork(cfg.Server, cfg.Codec, cfg.Stats, cfg.Log),
		router: routing.NewRouter(cfg.City), hotspots: cfg.City.Hotspots(), freeResidents: make(chan *resident, cfg.Count)}
	c.network.journal = cfg.Journal
	for _, s := range c.hotspots {
		c.totalWeight += s.Weight
	}
	if cfg.Flaky {
		c.network.makeFlaky(cfg.Seed, flakyDropMean)
	}
	if cfg.Spread {
		c.network.spreadPhones(cfg.Seed)
	}
	defer c.network.close()

	if c.Speed, err = c.network.joinCity(ctx, client.RoleRider, c.riderID(0), c.City, c.Speed); err != nil {
		return unlessEnded(ctx, err)
	}
	c.clock = cityClock(c.Speed)
	defer c.runningRides.Wait()

	c.resumeTrips(ctx)
	c.generateDemand(ctx)
	return nil
}

func (c *population) riderID(i int) string { return fmt.Sprintf("%s-%04d", c.Prefix, i+1) }

// resumeTrips connects every resident once, dialsAtOnce at a time. Residents
// with an active trip follow it; the others become free. It returns when it is
// known who has a trip.
func (c *population) resumeTrips(ctx context.Context) {
	turns := make(chan struct{}, dialsAtOnce)
	idle := make([]*resident, c.Count)
	var connecting sync.WaitGroup
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
		connecting.Add(1)

		known := sync.OnceFunc(func() { <-turns; connecting.Done() })
		c.runningRides.Go(func() {
			defer known()
			if c.runRide(ctx, s, nil, known) {
				c.freeResidents <- s
			} else {
				idle[i] = s
			}
		})
	}
	connecting.Wait()

	// In the order of their ids, so that a seed always gives the same riders.
	for _, s := range idle {
		if s != nil {
			c.freeResidents <- s
		}
	}
}

// tripDemand is a trip that a resident wants.
type tripDemand struct{ from, to location.Point }

// generateDemand starts the early rides at once, and then rides as a Poisson
// process. A seed always gives the same times and places, whether a resident is
// free or not, and however many early rides there are.
func (c *population) generateDemand(ctx context.Context) {
	early := newRandomStream(c.Seed, c.Prefix, "early")
	for range c.EarlyRides {
		c.startRide(ctx, c.drawShortRide(ctx, early))
	}

	rng := newRandomStream(c.Seed, c.Prefix, "arrivals")
	next := time.Now()
	for {
		next = next.Add(c.clock.realDuration(60 * rng.ExpFloat64() / c.PerMinute))
		w := c.drawDemand(rng)
		if !sleep.For(ctx, time.Until(next)) {
			return
		}

		c.startRide(ctx, w)
	}
}

// startRide gives a ride to the resident who has been free the longest. If none
// is free, the ride is turned away.
func (c *population) startRide(ctx context.Context, w tripDemand) {
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

const (
	hotspotSpread = 400.0  // standard deviation around a hotspot, in metres
	minRideMetres = 1000.0 // in a straight line
	maxRideMetres = 8000.0
	maxPlaceDraws = 40

	// Early rides begin all over the city, as its cars do, and are short.
	earlyMetres     = 1000.0 // at most, east and north
	minEarlySeconds = 30.0   // of driving
	maxEarlySeconds = 90.0
)

// drawDemand draws a trip. Most begin around a hotspot, and its length is
// within the limits if maxPlaceDraws draws find such a destination.
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

// drawShortRide draws an early ride. Its time by road is within the limits if
// maxPlaceDraws draws find such a destination.
func (c *population) drawShortRide(ctx context.Context, r *rand.Rand) (w tripDemand) {
	w.from = c.City.RandomPoint(r)
	for range maxPlaceDraws {
		w.to = c.snap(r, location.Point{Lng: w.from.Lng + drawUniform(r, -earlyMetres, earlyMetres)/metresPerDeg,
			Lat: w.from.Lat + drawUniform(r, -earlyMetres, earlyMetres)/metresPerDeg})
		way, err := c.router.Route(ctx, w.from, w.to)
		if s := way.Duration.Seconds(); err == nil && s >= minEarlySeconds && s <= maxEarlySeconds {
			break
		}
	}
	return w
}

// drawPlace draws a place on a road, with probability hot around a hotspot.
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

	return c.snap(r, location.Point{
		Lng: spot.Lng + r.NormFloat64()*hotspotSpread/metresPerDeg, Lat: spot.Lat + r.NormFloat64()*hotspotSpread/metresPerDeg})
}

// snap returns the nearest place on a road, or a random one when no road is
// near, as by the water.
func (c *population) snap(r *rand.Rand, p location.Point) location.Point {
	if snapped, _, err := c.router.Snap(p); err == nil {
		return snapped
	}
	return c.City.RandomPoint(r)
}

// runRide simulates one ride of a resident: the demanded one, or the active one
// that the node knows of, which calls onTripKnown. Without both it returns
// false as soon as the node has said so.
func (c *population) runRide(ctx context.Context, s *resident, w *tripDemand, onTripKnown func()) (rode bool) {
	p := c.network.startPhone(ctx, client.RoleRider, s.id, s.index)
	defer p.stop()

	r := newRider(c, s, p, w, onTripKnown)
	if err := runActor(ctx, p, r); err != nil {
		c.network.log.Warn("a rider gives up", "rider", s.id, "err", err)
	}
	if r.trip != nil && client.IsActive(r.trip.State) && ctx.Err() == nil {
		c.Stats.lost.Add(1)
	}
	return r.trip != nil
}
