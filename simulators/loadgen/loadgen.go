// Package loadgen runs thousands of light phones in one process. They send what
// phones send, lose all their connections at the same moment when told to, and
// measure how long it takes them to come back.
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

// Config describes the phones and what they do. Cars cross the city from one fix
// to the next, so the node must be one that believes them: serve --speed 1000.
type Config struct {
	Server  string // http://HOST:PORT
	City    *routing.City
	Drivers int           // all available
	Riders  int           // all connected
	Rides   int           // riders who ride again and again
	Ride    time.Duration // about, of one ride; also the longest rest after it
	Fixes   time.Duration // between two positions of a driver
	// FirstWait is how long a phone waits before its first try to come back,
	// unless the node names a time. It doubles with each try, up to 5 s.
	FirstWait time.Duration
	// OnTry is called by each phone when it begins to connect. It must not block.
	OnTry func()
	Seed  uint64
}

const (
	dialsAtOnce      = 64 // until ConnectAll returns; no limit afterwards
	maxFirstAttempts = 9  // of a phone to connect in ConnectAll
	actLoops         = 4  // goroutines that act for the phones
	actInterval      = 250 * time.Millisecond
	repeatStepAfter  = 5 * time.Second // after a command without an answer
)

// Generator owns all the phones. ConnectAll must return before the other
// methods are called; these may be called from any goroutine.
type Generator struct {
	// Fixed at creation.
	cfg    Config
	client *client.Client
	phones []*phone

	cutAt          atomic.Pointer[time.Time]
	jitter         atomic.Bool
	hintedRefusals atomic.Int64
	otherFailures  atomic.Int64

	stop    context.CancelFunc // set by ConnectAll
	running sync.WaitGroup
}

// New makes the phones. It opens no connection.
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
			OnConnect: func(string, *wire.Resume) { cfg.OnTry() },
			OnWelcome: p.handleWelcome, OnFrame: p.handleFrame, OnDisconnect: p.handleDisconnect})
		g.phones = append(g.phones, p)
	}
	return g
}

// ConnectAll connects all phones, dialsAtOnce at a time. They stay connected
// and act until Close. It returns the error of the first phone that could not
// be welcomed.
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

// runShare acts for every actLoops-th phone until the context ends.
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

// SetJitter says whether phones reconnect after a random part of their waits,
// or all together after the whole of them.
func (g *Generator) SetJitter(on bool) { g.jitter.Store(on) }

// CutConnections drops all connections at the same moment, without close
// frames. It returns that moment.
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

// ReturnTimes returns how long each phone that is connected again took from the
// cut to its welcome. CutConnections must have been called.
func (g *Generator) ReturnTimes() (out []time.Duration) {
	cut := *g.cutAt.Load()
	for _, p := range g.phones {
		if at := p.welcomedAt(); at.After(cut) {
			out = append(out, at.Sub(cut))
		}
	}
	return out
}

// FirstWaits returns how long each phone chose to wait before its first try
// since the cut. Phones that have not chosen yet are left out.
func (g *Generator) FirstWaits() (out []time.Duration) {
	cut := *g.cutAt.Load()
	for _, p := range g.phones {
		if at, wait := p.firstChoice(); at.After(cut) {
			out = append(out, wait)
		}
	}
	return out
}

// Refusals returns the failed attempts since the cut: those that the node told
// when to come back, and all others.
func (g *Generator) Refusals() (hinted, others int) {
	return int(g.hintedRefusals.Load()), int(g.otherFailures.Load())
}

// Close disconnects all phones and waits for their end.
func (g *Generator) Close() {
	g.stop()
	g.running.Wait()
	g.client.Close()
}

func wirePoint(p location.Point) *wire.Point { return &wire.Point{Lng: p.Lng, Lat: p.Lat} }
