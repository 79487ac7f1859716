package simulators

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// DriverConfig describes a fleet.
type DriverConfig struct {
	Server string // http://HOST:PORT, or several with commas between
	Spread bool   // each phone begins at a node drawn by the seed, not at the first
	City   *routing.City
	Count  int     // number of drivers
	Speed  float64 // seconds of the city per second; 0 means the node's
	Seed   uint64
	SOS    float64 // share of trips on which a driver calls for help
	Cheat  float64 // share of the steps that are also tried from afar
	Flaky  bool    // phones lose their connection every 30 s on average
	Rate   float64 // fixes per second of each driver; 0 means 1
	Prefix string  // of ids: PREFIX-0001; "" means "driver"
	// Decline is the share of offers declined; 0 means 0.05, negative means
	// none.
	Decline float64
	Codec   wire.Codec       // nil means wire.Proto
	Stats   *Stats           // nil for none
	Log     *slog.Logger     // nil for none
	Journal *journal.Journal // nil for none
}

func (c DriverConfig) withDefaults() (DriverConfig, error) {
	c.Rate = cmp.Or(c.Rate, 1)
	c.Prefix, c.Decline = cmp.Or(c.Prefix, client.RoleDriver), cmp.Or(c.Decline, 0.05)
	if c.Stats == nil {
		c.Stats = NewStats()
	}
	if c.City == nil || c.Count < 1 || !(c.Speed >= 0) || !(c.Rate > 0) {
		return c, errors.New("drivers need a city, a count of at least 1, a rate above 0, and no negative speed")
	}
	return c, nil
}

// fleet is what the drivers of one run share.
type fleet struct {
	DriverConfig
	clock       cityClock
	network     *network
	router      *routing.Router
	searchSlots chan struct{} // bounds concurrent route searches
}

// RunDrivers simulates Count drivers until the context ends, and then returns
// nil. Drivers leave trips unfinished; a later run with the same ids continues
// them. Errors: ErrUnreachable when no node answers for 15 s at the beginning,
// ErrRefused when the node gives no tokens, ErrMismatch when it runs another
// city or at another speed, or the error of the last driver when all sessions
// have ended.
func RunDrivers(ctx context.Context, cfg DriverConfig) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}

	f := newFleet(cfg)
	if cfg.Flaky {
		f.network.makeFlaky(cfg.Seed, flakyDropMean)
	}
	if cfg.Spread {
		f.network.spreadPhones(cfg.Seed)
	}
	return f.runDrivers(ctx)
}

func newFleet(cfg DriverConfig) *fleet {
	net := newNetwork(cfg.Server, cfg.Codec, cfg.Stats, cfg.Log)
	net.journal = cfg.Journal
	return &fleet{DriverConfig: cfg, clock: cityClock(cfg.Speed), network: net,
		router: routing.NewRouter(cfg.City), searchSlots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1))}
}

func (f *fleet) runDrivers(ctx context.Context) (err error) {
	defer f.network.close()
	if f.Speed, err = f.network.joinCity(ctx, client.RoleDriver, driverID(f.Prefix, 0), f.City, f.Speed); err != nil {
		return unlessEnded(ctx, err)
	}
	f.clock = cityClock(f.Speed)

	return runAll(ctx, f.Count, func(i int) error { return f.runDriver(ctx, i) })
}

// runAll calls run with 0 to n-1 at the same time and waits for all. It returns
// the last error, or nil when the context has ended.
func runAll(ctx context.Context, n int, run func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- run(i) }()
	}

	var last error
	for range n {
		last = cmp.Or(<-errs, last)
	}
	return unlessEnded(ctx, last)
}

// runDriver simulates one driver until the context or the session ends.
func (f *fleet) runDriver(ctx context.Context, i int) error {
	id := driverID(f.Prefix, i)
	d := f.newDriver(id)

	phase := time.Duration(float64(i) / float64(f.Count) / f.Rate * float64(time.Second))
	if !sleep.For(ctx, phase) { // Spreads the fixes of all drivers.
		return nil
	}

	d.phone = f.network.startPhone(ctx, client.RoleDriver, id, i)
	defer d.phone.stop()

	err := runActor(ctx, d.phone, d)
	if err != nil {
		f.network.log.Warn("a driver goes home", "driver", id, "err", err)
	}
	return err
}

// findRoute returns the route by road, or a straight line when there is none.
// With wait, it waits for a search slot; without, it returns false when all
// slots are taken. It also returns false when the context ends.
func (f *fleet) findRoute(ctx context.Context, from, to location.Point, wait bool) (routeDrive, bool) {
	if wait {
		select {
		case f.searchSlots <- struct{}{}:
		case <-ctx.Done():
			return routeDrive{}, false
		}
	} else {
		select {
		case f.searchSlots <- struct{}{}:
		default:
			return routeDrive{}, false
		}
	}

	defer func() { <-f.searchSlots }()
	r, err := f.router.Route(ctx, from, to)
	switch {
	case err == nil:
		return driveAlong(r), true
	case ctx.Err() != nil:
		return routeDrive{}, false
	}

	f.network.log.Debug("no way by road", "from", from, "to", to, "err", err)
	return driveStraight(from, to), true
}

// pickCruiseTarget returns the nearest of a few random places.
func (f *fleet) pickCruiseTarget(r *rand.Rand, from location.Point) location.Point {
	const draws = 12
	flat := location.NewLocalPlane(from)
	best := f.City.RandomPoint(r)

	for range draws - 1 {
		if p := f.City.RandomPoint(r); flat.SquaredMetres(p) < flat.SquaredMetres(best) {
			best = p
		}
	}
	return best
}

func driverID(prefix string, i int) string { return fmt.Sprintf("%s-%04d", prefix, i+1) }

// unlessEnded returns err, or nil when the context has ended.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
