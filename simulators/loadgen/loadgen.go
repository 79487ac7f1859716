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
	dialsAtOnce = 32 // before the storm, and never after
	firstTries  = 9  // of a phone before the storm
	turns       = 4  // goroutines that do the phones' daily work
	look        = 250 * time.Millisecond
	askAgain    = 5 * time.Second // after a command without an answer
)

// Swarm is all the phones.
type Swarm struct {
	cfg    Config
	client *client.Client
	phones []*phone
	cut    atomic.Pointer[time.Time]
	told   atomic.Int64 // refusals that said when to come back
	mute   atomic.Int64 // other failed tries
	live   sync.WaitGroup
	stop   context.CancelFunc
}

// New makes the phones and connects nobody.
func New(cfg Config) *Swarm {
	s := &Swarm{cfg: cfg, stop: func() {}, client: client.New(client.Config{Servers: []string{cfg.Server}, Name: "ridehail swarm"})}
	for i := range cfg.Drivers + cfg.Riders {
		rng := rand.New(rand.NewPCG(cfg.Seed, uint64(i)))
		p := &phone{swarm: s, rng: rng, role: client.RoleRider, id: fmt.Sprintf("swarm-r%d", i-cfg.Drivers), at: cfg.City.RandomPoint(rng),
			to: cfg.City.RandomPoint(rng), rides: i-cfg.Drivers < cfg.Rides, first: make(chan error, 1)}
		if i < cfg.Drivers {
			p.role, p.id, p.rides = client.RoleDriver, fmt.Sprintf("swarm-d%d", i), false
		}
		p.session = s.client.NewSession(client.SessionConfig{Token: s.client.DevTokens(p.role, p.id), Retry: p.retry,
			OnWelcome: p.welcome, OnFrame: p.hear, OnDisconnect: p.disconnected})
		s.phones = append(s.phones, p)
	}
	return s
}

// Connect brings all phones to the node, some at a time, and lets them live
// until Close. Its error is that of the first phone that could not be welcomed.
func (s *Swarm) Connect(ctx context.Context) error {
	var all context.Context
	all, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	team, ctx := errgroup.WithContext(ctx)
	team.SetLimit(dialsAtOnce)

	for _, p := range s.phones {
		team.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.live.Go(func() { p.live(all) })

			select {
			case err := <-p.first:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}

	err := team.Wait()
	for i := range turns {
		s.live.Go(func() { s.work(all, i) })
	}

	return err
}

// work is the day of every fourth phone.
func (s *Swarm) work(ctx context.Context, share int) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for i := share; i < len(s.phones); i += turns {
				s.phones[i].act(now)
			}
		}
	}
}

// Cut ends all connections at the same instant, without a word.
func (s *Swarm) Cut() time.Time {
	now := time.Now()
	s.told.Store(0)
	s.mute.Store(0)
	s.cut.Store(&now)
	for _, p := range s.phones {
		p.cut()
	}
	return now
}

// Back returns how long each phone that is back took from the cut to its
// welcome.
func (s *Swarm) Back() (out []time.Duration) {
	cut := *s.cut.Load()
	for _, p := range s.phones {
		if at := p.welcomedAt(); at.After(cut) {
			out = append(out, at.Sub(cut))
		}
	}
	return out
}

// Refusals are the tries since the cut that were told when to come back, and
// those that failed in another way.
func (s *Swarm) Refusals() (told, mute int64) { return s.told.Load(), s.mute.Load() }

// Riding is how many riders have a trip under way.
func (s *Swarm) Riding() (n int) {
	for _, p := range s.phones[s.cfg.Drivers:] {
		if p.riding() {
			n++
		}
	}
	return n
}

// Close ends all phones.
func (s *Swarm) Close() {
	s.stop()
	s.live.Wait()
	s.client.Close()
}

func point(p location.Point) *wire.Point { return &wire.Point{Lng: p.Lng, Lat: p.Lat} }
