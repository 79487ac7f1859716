// Package loadgen is thousands of light phones in one process. They do what
// phones do all day, lose their connections all at the same instant when told
// to, come back, and say how long that took.
package loadgen

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// Config says who there is and what they do.
type Config struct {
	Server  string // http://HOST:PORT
	City    *routing.City
	Drivers int // all on duty
	Riders  int // all connected
	Rides   int // riders who ride again and again; the others only look
	// from the driver's yes to the end, more or less; riders rest as long, at
	// most, before they ask again
	Ride  time.Duration
	Fixes time.Duration // between two positions of a driver
	// phones spread their tries by chance; without it they all do the same at
	// the same time
	Jitter bool
	Seed   uint64
}

const (
	dialsAtOnce      = 32 // before the storm, and never after
	maxFirstAttempts = 9  // of a phone before the storm
	actLoops         = 4  // goroutines that do the phones' daily work
	actInterval      = 250 * time.Millisecond
	repeatStepAfter  = 5 * time.Second // after a command without an answer
)

// Generator is all the phones.
type Generator struct {
	cfg            Config
	client         *client.Client
	phones         []*phone
	cutAt          atomic.Pointer[time.Time]
	hintedRefusals atomic.Int64 // refusals that said when to come back
	otherFailures  atomic.Int64 // other failed tries
	running        sync.WaitGroup
	stop           context.CancelFunc
}

// New makes the phones and connects nobody.
func New(cfg Config) *Generator {
	g := &Generator{cfg: cfg, stop: func() {}, client: client.New(client.Config{Servers: []string{cfg.Server}, Name: "ridehail swarm"})}
	for i := range cfg.Drivers + cfg.Riders {
		rng := rand.New(rand.NewPCG(cfg.Seed, uint64(i)))
		p := &phone{generator: g, rng: rng, role: client.RoleRider, id: fmt.Sprintf("swarm-r%d", i-cfg.Drivers), at: cfg.City.RandomPoint(rng),
			to: cfg.City.RandomPoint(rng), rides: i-cfg.Drivers < cfg.Rides, firstResult: make(chan error, 1)}
		if i < cfg.Drivers {
			p.role, p.id, p.rides = client.RoleDriver, fmt.Sprintf("swarm-d%d", i), false
		}
		p.session = g.client.NewSession(client.SessionConfig{Token: g.client.DevTokens(p.role, p.id), Retry: p.decideRetry,
			OnWelcome: p.handleWelcome, OnFrame: p.handleFrame, OnDisconnect: p.handleDisconnect})
		g.phones = append(g.phones, p)
	}
	return g
}

// ConnectAll brings all phones to the node, some at a time, and lets them live
// until Close. Its error is that of the first phone that could not be welcomed.
func (g *Generator) ConnectAll(ctx context.Context) error {
	var all context.Context
	all, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	team, ctx := errgroup.WithContext(ctx)
	team.SetLimit(dialsAtOnce)

	for _, p := range g.phones {
		team.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			g.running.Go(func() { p.runSession(all) })

			select {
			case err := <-p.firstResult:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}

	err := team.Wait()
	for i := range actLoops {
		g.running.Go(func() { g.runShare(all, i) })
	}

	return err
}

// runShare is the day of every fourth phone.
func (g *Generator) runShare(ctx context.Context, share int) {
	tick := time.NewTicker(actInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for i := share; i < len(g.phones); i += actLoops {
				g.phones[i].doDueActions(now)
			}
		}
	}
}

// CutConnections ends all connections at the same instant, without a word.
func (g *Generator) CutConnections() time.Time {
	now := time.Now()
	g.hintedRefusals.Store(0)
	g.otherFailures.Store(0)
	g.cutAt.Store(&now)
	for _, p := range g.phones {
		p.dropConnection()
	}
	return now
}

// ReturnTimes returns how long each phone that is back took from the cut to its
// welcome.
func (g *Generator) ReturnTimes() (out []time.Duration) {
	cut := *g.cutAt.Load()
	for _, p := range g.phones {
		if at := p.welcomedAt(); at.After(cut) {
			out = append(out, at.Sub(cut))
		}
	}
	return out
}

// Refusals are the tries since the cut that were told when to come back, and
// those that failed in another way.
func (g *Generator) Refusals() (told, mute int64) {
	return g.hintedRefusals.Load(), g.otherFailures.Load()
}

// CountRiding is how many riders have a trip under way.
func (g *Generator) CountRiding() (n int) {
	for _, p := range g.phones[g.cfg.Drivers:] {
		if p.isRiding() {
			n++
		}
	}
	return n
}

// Close ends all phones.
func (g *Generator) Close() {
	g.stop()
	g.running.Wait()
	g.client.Close()
}

func wirePoint(p location.Point) *wire.Point { return &wire.Point{Lng: p.Lng, Lat: p.Lat} }
