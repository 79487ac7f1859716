package latency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

const (
	senders  = 4  // goroutines that send the updates
	pairWork = 32 // pairs that are made at a time
)

// crew is the phones of a run.
type crew struct {
	cfg      Config
	client   *client.Client
	recorder *recorder
	ctx      context.Context // ends the readers
	readers  *sync.WaitGroup
	pairs    []*pair

	mu     sync.Mutex // guards the fields below
	open   []*phone
	closed bool
	byID   map[string]*driver
	riders []*rider
}

// addPhone registers a phone and starts its reader.
func (c *crew) addPhone(p *phone, f proto.Message, handle func(at time.Time) error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.closed {
		p.Drop()
		return
	}
	c.open = append(c.open, p)
	c.readers.Go(func() {
		c.cfg.Log.Debug("a socket ended", "phone", p.id, "err", p.readFrames(f, handle))
	})
}

func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, p := range c.open {
		p.Drop()
	}
	c.client.Close()
}

// makePairs makes the pairs.
func (c *crew) makePairs(ctx context.Context) error {
	if c.cfg.Bare {
		return c.makeBarePairs(ctx)
	}
	return c.makeTripPairs(ctx)
}

func (c *crew) makeBarePairs(ctx context.Context) error {
	c.pairs = make([]*pair, c.cfg.Pairs)
	return runEach(ctx, c.cfg.Pairs, func(ctx context.Context, i int) error {
		p := &pair{}
		var err error
		if p.rider, err = c.dialRelay(ctx, "/rider", i); err != nil {
			return err
		}

		var f wire.ClientFrame
		c.addPhone(p.rider, &f, func(at time.Time) error {
			c.recorder.recordArrival(i, p, arrival{due: f.GetFix().GetAtMs(), got: wire.ToMillis(at)})
			return nil
		})
		if p.driver, err = c.dialRelay(ctx, "/driver", i); err != nil {
			return err
		}
		p.driver.base = location.Point{Lng: 3.4, Lat: 6.45}
		p.driver.moving.Store(true)
		c.addPhone(p.driver, new(wire.ServerFrame), func(time.Time) error { return nil })
		c.pairs[i] = p
		return nil
	})
}

// dialRelay opens a socket to the bare relay, which has no protocol.
func (c *crew) dialRelay(ctx context.Context, path string, i int) (*phone, error) {
	url := fmt.Sprintf("ws%s%s?id=%d", strings.TrimPrefix(c.cfg.Server, "http"), path, i)
	return dialWithRetry(ctx, func() (*client.Conn, error) { return c.client.DialURL(ctx, url) })
}

// makeTripPairs brings all drivers on duty, and then each rider on a trip with
// one of them.
func (c *crew) makeTripPairs(ctx context.Context) error {
	places, err := c.choosePlaces(ctx)
	if err != nil {
		return err
	}

	run := "latency-" + uuid.NewString()[:8] + "-"
	c.byID = map[string]*driver{}
	c.cfg.Progress(fmt.Sprintf("connecting %d drivers", c.cfg.Pairs))

	idle, stop := context.WithCancel(ctx)
	var ticking sync.WaitGroup
	ticking.Go(func() { c.keepAlive(idle) }) // over a long line the last drivers come many seconds after the first
	defer ticking.Wait()
	defer stop()

	if err := runEach(ctx, c.cfg.Pairs, func(ctx context.Context, i int) error {
		return c.addDriver(ctx, run, i, places[i].pickup)
	}); err != nil {
		return err
	}

	c.cfg.Progress(fmt.Sprintf("riders request %d trips", c.cfg.Pairs))
	c.pairs = make([]*pair, c.cfg.Pairs)
	return runEach(ctx, c.cfg.Pairs, func(ctx context.Context, i int) error {
		return c.startRide(ctx, i, fmt.Sprintf("%sr%d", run, i), places[i])
	})
}

// keepAlive sends a fix of every driver each second, so that none counts as
// silent before the trip.
func (c *crew) keepAlive(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}

		c.mu.Lock()
		all := make([]*driver, 0, len(c.byID))
		for _, d := range c.byID {
			all = append(all, d)
		}
		c.mu.Unlock()

		for _, d := range all {
			_ = d.sendFix(time.Now()) // a dead socket shows when its trip fails
		}
	}
}

// places are where a pair meets, and where its ride ends.
type places struct{ pickup, dropoff location.Point }

// choosePlaces spreads the pairs over the roads of the served city.
func (c *crew) choosePlaces(ctx context.Context) ([]places, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.Server+"/v1/city", nil)
	if err != nil {
		return nil, err
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the city: %w", err)
	}
	defer res.Body.Close()

	roads, err := roadPoints(res.Body)
	if err != nil {
		return nil, err
	}

	out := make([]places, c.cfg.Pairs)
	for i := range out {
		at := i * len(roads) / len(out)
		out[i] = places{roads[at], findDropoff(roads, at)}
	}

	return out, nil
}

// findDropoff returns a road point that a ride from one of them may lead to: a
// near one, so that a car soon has driven there. Points of one road, and of
// those beside it, stand together.
func findDropoff(roads []location.Point, at int) location.Point {
	nearest := math.Inf(1)
	found := location.Point{Lng: roads[at].Lng + 0.005, Lat: roads[at].Lat} // without roads: east
	for _, p := range roads[max(0, at-500):min(len(roads), at+500)] {
		if m := location.MetresBetween(roads[at], p); m > shortestRide && m < nearest {
			nearest, found = m, p
		}
	}
	return found
}

func roadPoints(r io.Reader) (roads []location.Point, err error) {
	var city struct {
		Features []struct {
			Properties struct {
				Kind string `json:"kind"`
			} `json:"properties"`
			Geometry struct {
				Type        string          `json:"type"`
				Coordinates json.RawMessage `json:"coordinates"`
			} `json:"geometry"`
		} `json:"features"`
	}
	if err := json.NewDecoder(io.LimitReader(r, 256<<20)).Decode(&city); err != nil {
		return nil, fmt.Errorf("read the city: %w", err)
	}

	for _, f := range city.Features {
		if f.Properties.Kind != "road" || f.Geometry.Type != "LineString" {
			continue
		}

		var line [][]float64
		if err := json.Unmarshal(f.Geometry.Coordinates, &line); err != nil {
			return nil, fmt.Errorf("read a road: %w", err)
		}

		for _, p := range line {
			if len(p) >= 2 {
				roads = append(roads, location.Point{Lng: p[0], Lat: p[1]})
			}
		}
	}

	if len(roads) == 0 {
		return nil, errors.New("the node's city has no roads")
	}
	return roads, nil
}

// circlePoint returns where a car is that circles the base at 5 m/s, 30 m from
// it.
func circlePoint(base location.Point, at time.Time) location.Point {
	sin, cos := math.Sincos(math.Mod(float64(at.UnixMicro())/6e6, 2*math.Pi))
	return location.Point{Lng: base.Lng + cos*27e-5, Lat: base.Lat + sin*27e-5}
}

// runEach calls work for 0 to n-1, pairWork at a time, until the first error.
func runEach(ctx context.Context, n int, work func(context.Context, int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(pairWork)
	for i := range n {
		g.Go(func() error { return work(ctx, i) })
	}
	return g.Wait()
}

// sendUpdates sends the updates of all pairs for a time. Pair i of n is due
// every 1/rate seconds, shifted by i/n of that.
func (c *crew) sendUpdates(ctx context.Context, d time.Duration) {
	var wg sync.WaitGroup
	start := time.Now()
	var failed atomic.Int64
	for s := range senders {
		wg.Go(func() { c.sendShare(ctx, s, start, d, &failed) })
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		c.cfg.Log.Warn("updates could not be written and count as lost", "updates", n)
	}
}

func (c *crew) sendShare(ctx context.Context, share int, start time.Time, d time.Duration, failed *atomic.Int64) {
	period := float64(time.Second) / c.cfg.Rate
	for round := 0; ; round++ {
		for i := share; i < len(c.pairs); i += senders {
			after := time.Duration((float64(round) + float64(i)/float64(len(c.pairs))) * period)
			if after >= d || ctx.Err() != nil {
				return
			}

			due := start.Add(after)
			sleep.Precisely(due)
			p := c.pairs[i]
			p.sent.Add(1)
			if p.driver.sendFix(due) != nil {
				failed.Add(1)
			}
		}

		if len(c.pairs) <= share {
			return
		}
	}
}

// awaitDrained waits until all counts add up and no update arrives any more, or
// its patience is over.
func (c *crew) awaitDrained(ctx context.Context) {
	const quiet = 300 * time.Millisecond
	last, patience := int64(-1), drainFor
	if c.cfg.Line != nil {
		patience = drainForWithLine
	}

	for end := time.Now().Add(patience); time.Now().Before(end); {
		sent, delivered, over := sumCounts(c.pairs)
		if delivered == last && delivered+over >= sent {
			return
		}

		last = delivered
		if !sleep.For(ctx, quiet) {
			return
		}
	}
}
