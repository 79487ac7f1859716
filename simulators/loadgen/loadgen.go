// Package loadgen is thousands of light phones in one process. They do what phones do all day, lose their connections all at
// the same instant when told to, come back, and say how long that took.
package loadgen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// Config says who there is and what they do.
type Config struct {
	Server  string // http://HOST:PORT
	City    *routing.City
	Drivers int           // all on duty
	Riders  int           // all connected
	Rides   int           // riders who ride again and again; the others only look
	Ride    time.Duration // from the driver's yes to the end, more or less; riders rest as long, at most, before they ask again
	Fixes   time.Duration // between two positions of a driver
	Jitter  bool          // phones spread their tries by chance; without it they all do the same at the same time
	Seed    uint64
}

const (
	answerWithin = 10 * time.Second // of a handshake and of a welcome
	writeWithin  = 5 * time.Second
	silence      = 60 * time.Second
	dialsAtOnce  = 32 // before the storm, and never after
	turns        = 4  // goroutines that do the phones' daily work
	look         = 250 * time.Millisecond
	askAgain     = 5 * time.Second // after a command without an answer
)

// Swarm is all the phones.
type Swarm struct {
	cfg    Config
	dialer websocket.Dialer
	client *http.Client
	phones []*phone
	cut    atomic.Pointer[time.Time]
	told   atomic.Int64 // refusals that said when to come back
	mute   atomic.Int64 // other failed tries
	live   sync.WaitGroup
	stop   context.CancelFunc
}

// New makes the phones and connects nobody.
func New(cfg Config) *Swarm {
	s := &Swarm{cfg: cfg, stop: func() {}, client: &http.Client{Timeout: answerWithin,
		Transport: &http.Transport{MaxIdleConnsPerHost: dialsAtOnce}},
		dialer: websocket.Dialer{ReadBufferSize: 1024, WriteBufferPool: &sync.Pool{}, HandshakeTimeout: answerWithin,
			Subprotocols: []string{wire.SubprotocolProto}}}
	for i := range cfg.Drivers + cfg.Riders {
		rng := rand.New(rand.NewPCG(cfg.Seed, uint64(i)))
		p := &phone{swarm: s, rng: rng, role: "rider", id: fmt.Sprintf("swarm-r%d", i-cfg.Drivers), at: cfg.City.RandomPoint(rng),
			to: cfg.City.RandomPoint(rng), rides: i-cfg.Drivers < cfg.Rides}
		if i < cfg.Drivers {
			p.role, p.id, p.rides = "driver", fmt.Sprintf("swarm-d%d", i), false
		}
		s.phones = append(s.phones, p)
	}
	return s
}

// Connect brings all phones to the node, some at a time, and lets them live until Close. Its error is that of the first
// phone that could not be welcomed.
func (s *Swarm) Connect(ctx context.Context) error {
	var all context.Context
	all, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	team, ctx := errgroup.WithContext(ctx)
	team.SetLimit(dialsAtOnce)
	for _, p := range s.phones {
		team.Go(func() error {
			if err := p.first(ctx); err != nil {
				return fmt.Errorf("%s: %w", p.id, err)
			}
			p.mu.Lock()
			p.due = time.Now().Add(time.Duration(p.rng.Int64N(int64(s.cfg.Ride / 4)))) // not all want a ride at once
			p.mu.Unlock()
			s.live.Go(func() { p.live(all) })
			return nil
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
		p.drop()
	}
	return now
}

// Back returns how long each phone that is back took from the cut to its welcome.
func (s *Swarm) Back() (out []time.Duration) {
	cut := *s.cut.Load()
	for _, p := range s.phones {
		if at := p.welcomedAt(); at.After(cut) {
			out = append(out, at.Sub(cut))
		}
	}
	return out
}

// Refusals are the tries since the cut that were told when to come back, and those that failed in another way.
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
	for _, p := range s.phones {
		p.drop()
	}
	s.live.Wait()
	s.client.CloseIdleConnections()
}

func (s *Swarm) token(ctx context.Context, role, id string) (string, error) {
	body, err := json.Marshal(map[string]string{"role": role, "id": id})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.Server+"/v1/dev/tokens", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&answer); err != nil || answer.Token == "" {
		return "", errors.New("the node gives no token: " + res.Status)
	}
	return answer.Token, nil
}

func point(p location.Point) *wire.Point { return &wire.Point{Lng: p.Lng, Lat: p.Lat} }
