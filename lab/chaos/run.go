package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/internal/sleep"
)

// Config configures a run. Zero values stand for the defaults in brackets.
type Config struct {
	Program string        // the ridehail program to run as children [this one]
	For     time.Duration // how long faults are injected [60 s]
	Seed    uint64        // of the faults and of the clients
	Nodes   int           // [2]
	Drivers int           // in all [120]
	Riders  int           // in all [80]
	// Isolated lets the city recover from each fault before the next, for
	// measuring.
	Isolated bool
	Engines          // of the city's data
	Speed    float64 // of the city's time, so that rides end within a run [40]
	// [nothing is logged]
	Log *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.For, c.Nodes, c.Speed = cmp.Or(c.For, time.Minute), cmp.Or(c.Nodes, 2), cmp.Or(c.Speed, 40)
	c.Drivers, c.Riders = cmp.Or(c.Drivers, 120), cmp.Or(c.Riders, 80)
	c.Redis, c.Database = cmp.Or(c.Redis, RedisServer), cmp.Or(c.Database, PostgresServer)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.For < 10*time.Second || c.Nodes < 1 || c.Drivers < c.Nodes || c.Riders < c.Nodes || !(c.Speed > 0) {
		return c, errors.New("chaos takes 10 seconds or more, a node or more, and a driver and a rider for each")
	}

	err := c.validate()
	if c.Program == "" && err == nil {
		c.Program, err = os.Executable()
	}
	return c, err
}

const (
	lookEvery = 50 * time.Millisecond
	// recoverWithin bounds the time from the last heal until every node carries
	// out commands.
	recoverWithin = 15 * time.Second
	// reconnectWithin is longer than the longest pause of a phone, five
	// seconds.
	reconnectWithin = 6 * time.Second
	// settleWithin allows for jobs that Redis lost, which the reconciler finds
	// after a grace.
	settleWithin = 90 * time.Second
)

// Run injects faults into a city for a while and reports which promises it
// broke. When ctx ends, it stops everything, and the report is empty. Errors
// are about the run itself: a program is missing, or a process did not start.
// No process it starts outlives it, even if it is killed.
func Run(ctx context.Context, cfg Config) (r Report, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return r, err
	}
	if err := cfg.MissingServers(); err != nil {
		return r, err
	}

	cfg.Log.Info("start", "nodes", cfg.Nodes, "seed", cfg.Seed)
	c, err := newCity(ctx, cfg)
	defer func() {
		keep := err != nil && ctx.Err() == nil || r.Violations > 0
		if keep {
			r.Kept = c.dir
		}

		cfg.Log.Info("stop everything")
		if cerr := c.close(keep); cerr != nil && ctx.Err() == nil {
			err = errors.Join(err, fmt.Errorf("stop: %w", cerr))
		}
		if err != nil && keep {
			err = fmt.Errorf("%w (logs: %s)", err, c.dir)
		}
	}()

	if err != nil {
		return r, err
	}

	return c.run(ctx)
}

// run does all that comes between start and stop.
func (c *city) run(ctx context.Context) (r Report, err error) {
	r = Report{Seed: c.cfg.Seed, Nodes: c.cfg.Nodes, Redis: c.cfg.Redis, Database: c.cfg.Database, Isolated: c.cfg.Isolated}
	p, err := newProber(ctx, c)
	if err != nil {
		return r, err
	}

	before, err := c.measureResources(ctx)
	if err != nil {
		return r, err
	}

	f, err := c.startMeasuring(ctx)
	if err != nil {
		return r, err
	}
	defer f.close()

	if err := c.startClients(); err != nil {
		return r, err
	}
	c.cfg.Log.Info("the city lives", "folder", c.dir)
	strikes, lasted, err := c.injectFaults(ctx, p, f, &r)
	if err != nil {
		return r, err
	}

	odd := c.stopClients()
	r.QuiesceS = time.Since(lasted.to).Seconds()
	c.cfg.Log.Info("check")
	back, now, err := c.checkResources(ctx, before)
	if err != nil {
		return r, err
	}
	r.Invariants = append(r.Invariants, back)
	if err := c.checkInvariants(ctx, &r, odd); err != nil {
		return r, err
	}

	for _, i := range r.Invariants {
		r.Violations += i.Violations
	}
	err = f.fillReport(&r, strikes, p.results, lasted, before, now)
	return r, err
}

// injectFaults injects the planned faults while it probes the nodes, and fills
// in what the probes saw. It returns after the phones had time to reconnect,
// with the time from the first fault to the last heal.
func (c *city) injectFaults(ctx context.Context, p *prober, f *measurements, r *Report) (strikes []Strike, lasted interval, err error) {
	probing, stop := context.WithCancel(ctx)
	defer stop()

	var team errgroup.Group
	team.Go(func() error { return p.run(probing) })
	team.Go(func() error { return f.watcher.run(probing) })
	n := &nemesis{city: c, onFault: f.onFault}
	plan, left := c.feasibleFaults(c.planFaults())
	r.LeftOut = append(c.cfg.leftOut(), left...)

	lasted.from = time.Now()
	err = n.run(ctx, plan)
	lasted.to = time.Now()
	r.LastedS = lasted.to.Sub(lasted.from).Seconds()

	if err == nil {
		c.cfg.Log.Info("all is healed, wait for quiet")
		r.Invariants = append(r.Invariants, c.checkRecovered(ctx, p, lasted.to))
		sleep.For(ctx, reconnectWithin)
	}

	stop()
	if err := errors.Join(err, team.Wait(), ctx.Err()); err != nil {
		return nil, lasted, err
	}

	r.Windows, r.Calm = buildWindows(lasted.from, n.strikes, p.results, c.cfg.Nodes)

	for _, s := range n.strikes {
		switch s.Kind {
		case KillNode, SkewClock, KillRedis, KillPostgres, FailOverRedis, PromoteStandby, RestartPgBouncer:
			r.Load.Kills++
		}
	}

	return n.strikes, lasted, nil
}

func (c *city) planFaults() []Fault {
	if c.cfg.Isolated {
		return PlanIsolated(c.cfg.Seed, c.cfg.For, c.cfg.Nodes, c.cfg.Engines)
	}
	return Plan(c.cfg.Seed, c.cfg.For, c.cfg.Nodes, c.cfg.Engines)
}

// checkRecovered waits until every node has carried out a command that was sent
// after the last heal.
func (c *city) checkRecovered(ctx context.Context, p *prober, healed time.Time) Invariant {
	out := Invariant{Name: fmt.Sprintf("every node carries out commands within %v of the last heal", recoverWithin)}
	for i, n := range c.nodes {
		ok := p.hasServed(i, healed)
		for !ok && time.Since(healed) < recoverWithin && sleep.For(ctx, lookEvery) {
			ok = p.hasServed(i, healed)
		}
		out.check(ok, "%s does not", n.Name)
	}
	return out
}
