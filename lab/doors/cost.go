package doors

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

const (
	costRounds = 3  // of which the cheapest counts
	costFixes  = 12 // of each car in a round: few, since a node ends a flood
	// fixStep is the least time between two fixes that a node believes, and a
	// little more.
	fixStep = 6 * time.Millisecond
)

// ways up, by the doors that they belong to.
const (
	upPost  = "POST, JSON"
	upJSON  = "WebSocket, JSON"
	upProto = "WebSocket, protobuf"
)

// cost is what one position costs both ends together.
type cost struct {
	bytes float64
	cpu   float64 // microseconds of this process
}

// costs are measured apart from the window, with the machine's time to
// themselves: positions go as fast as they are taken.
type costs struct {
	up          map[string]cost
	down        map[string]float64 // microseconds a position, by door
	fresh, none float64            // microseconds a poll: with news, without
}

// measureCosts lets the same cars send positions in each way up, and through
// each door. It takes the cheapest of a few rounds, since others may use the
// machine too.
func measureCosts(ctx context.Context, t *town, s *server) (*costs, error) {
	all := &costs{up: map[string]cost{}, down: map[string]float64{}}
	for round := range costRounds {
		if err := all.measureRound(ctx, t, s, round == 0); err != nil {
			return nil, fmt.Errorf("measure the costs: %w", err)
		}
	}
	return all, nil
}

func (c *costs) measureRound(ctx context.Context, t *town, s *server, first bool) error {
	for _, way := range []string{upPost, upJSON, upProto} {
		got, err := measureUp(ctx, t, s, way)
		if err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
		if first || got.cpu < c.up[way].cpu {
			c.up[way] = got
		}
	}

	for _, d := range doors {
		if d.every > 0 {
			continue
		}
		cpu, err := measureDown(ctx, t, s, d)
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		// The way up is part of it.
		if cpu = max(0, cpu-c.up[upProto].cpu); first || cpu < c.down[d.name] {
			c.down[d.name] = cpu
		}
	}

	fresh, none, err := measurePolls(ctx, t, s)
	if first || fresh < c.fresh {
		c.fresh = fresh
	}
	if first || none < c.none {
		c.none = none
	}
	return err
}

// measureUp sends fixes, one car after the other so that none waits in a
// socket behind another, until the node has them all.
func measureUp(ctx context.Context, t *town, s *server, way string) (cost, error) {
	var m meter
	send, closeAll, err := openUp(ctx, t, s, way, &m)
	if err != nil {
		return cost{}, err
	}
	defer closeAll()

	bytes, cpu := m.bytes.Load(), processCPU()
	for range costFixes {
		for _, p := range t.pairs {
			if err := send(p, p.nextFix(p.after(fixStep))); err != nil {
				return cost{}, err
			}
		}
	}
	if err := awaitTaken(ctx, t, s); err != nil {
		return cost{}, err
	}
	fixes := float64(costFixes * len(t.pairs))
	return cost{bytes: float64(m.bytes.Load()-bytes) / fixes, cpu: toMicroseconds(processCPU()-cpu) / fixes}, nil
}

// openUp opens a connection for each car, and sends a first fix through each
// that is not counted.
func openUp(ctx context.Context, t *town, s *server, way string, m *meter) (send func(*pair, *wire.Fix) error, closeAll func(), err error) {
	if way == upPost {
		transport := &http.Transport{DialContext: m.dial, MaxIdleConnsPerHost: len(t.pairs)}
		phones := &http.Client{Transport: transport}
		send, closeAll = func(p *pair, f *wire.Fix) error { return postFix(ctx, phones, s.url, p.driverToken, f) }, transport.CloseIdleConnections
	} else {
		codec := wire.Proto
		if way == upJSON {
			codec = wire.JSON
		}
		phones := client.New(client.Config{Servers: []string{t.node.PublicURL()}, Codec: codec, Silence: -1, DialContext: m.dial})
		if err := t.reconnectPhones(phones); err != nil {
			return nil, nil, err
		}
		send, closeAll = func(p *pair, f *wire.Fix) error { return p.driver.Send(client.NewFrame(f)) }, phones.Close
	}

	for _, p := range t.pairs {
		if err == nil {
			err = send(p, p.nextFix(p.after(fixStep)))
		}
	}
	if err == nil {
		err = awaitTaken(ctx, t, s)
	}
	return send, closeAll, err
}

// reconnectPhones gives each driver a new socket.
func (t *town) reconnectPhones(phones *client.Client) error {
	return t.forEach(func(ctx context.Context, p *pair) error {
		conn, err := dialSocket(ctx, phones, t.node.PublicURL(), p.driverToken)
		if err != nil {
			return err
		}
		p.driver.Drop()
		p.driver = conn
		return nil
	})
}

func postFix(ctx context.Context, phones *http.Client, url, token string, f *wire.Fix) error {
	v := &viewer{http: phones, url: url}
	body, err := wire.JSON.Append(nil, client.NewFrame(f))
	if err != nil {
		return err
	}
	res, err := v.ask(ctx, http.MethodPost, pathFix, token, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	why, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusNoContent {
		err = fmt.Errorf("a fix was answered %s: %s", res.Status, why)
	}
	return err
}

// awaitTaken waits until the shared state has each car's last fix.
func awaitTaken(ctx context.Context, t *town, s *server) error {
	end := time.Now().Add(patience)
	for _, p := range t.pairs {
		for {
			if d, _ := s.drivers.Get(trips.DriverID(p.driverID)); d.Fix.Seq >= p.seq {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("the node has not taken the fixes of %s", p.driverID)
			}
			if !sleep.For(ctx, 100*time.Microsecond) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// measureDown lets the cars drive while riders look through one door. Each
// round of fixes waits until all screens show it.
func measureDown(ctx context.Context, t *town, s *server, d door) (cpu float64, err error) {
	c := newCrowd(d, t, s)
	shown := make(chan struct{}, len(t.pairs)*(costFixes+2))
	for _, v := range c.viewers {
		v.onShow = func(uint32, time.Time, time.Time) { shown <- struct{}{} }
	}
	c.enter(ctx)
	defer c.leave()

	await := func() error {
		limit := time.NewTimer(patience)
		defer limit.Stop()
		for range t.pairs {
			select {
			case <-shown:
			case <-ctx.Done():
				return ctx.Err()
			case <-limit.C:
				return fmt.Errorf("not all riders saw their cars within %v", patience)
			}
		}
		return nil
	}
	if err := await(); err != nil {
		return 0, err
	}

	began := processCPU()
	for range costFixes {
		for _, p := range t.pairs {
			if err := p.driver.Send(client.NewFrame(p.nextFix(p.after(fixStep)))); err != nil {
				return 0, err
			}
		}
		if err := await(); err != nil {
			return 0, err
		}
	}
	return toMicroseconds(processCPU()-began) / float64(costFixes*len(t.pairs)), nil
}

// measurePolls asks for positions with and without news.
func measurePolls(ctx context.Context, t *town, s *server) (fresh, none float64, err error) {
	c := newCrowd(doors[0], t, s)
	defer c.http.CloseIdleConnections()
	measure := func(isKnown bool) float64 {
		began := processCPU()
		for range costFixes {
			for _, v := range c.viewers {
				v.pretendKnown(isKnown)
				if !v.get(ctx, "") && err == nil {
					err = fmt.Errorf("%s got no answer", v.pair.riderID)
				}
			}
		}
		return toMicroseconds(processCPU()-began) / float64(costFixes*len(c.viewers))
	}

	measure(true) // opens the connections
	none = measure(true)
	fresh = measure(false)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fresh, none, err
}

// pretendKnown makes the screen show the newest position already, or none.
func (v *viewer) pretendKnown(isKnown bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = 0
	if isKnown {
		v.last = v.pair.seq
	}
}

// applyTo adds the costs to the doors' figures.
func (c *costs) applyTo(all []Door) {
	for i, d := range doors {
		way := upPost
		switch d.codec {
		case wire.JSON:
			way = upJSON
		case wire.Proto:
			way = upProto
		}
		all[i].BytesUp, all[i].CPUUp = c.up[way].bytes, c.up[way].cpu

		all[i].CPUDown = c.down[d.name]
		if d.every > 0 {
			// Each position that a rider saw had one poll with news; the others
			// brought none.
			empty := float64(all[i].Requests-all[i].Shown) / float64(max(1, all[i].Shown))
			all[i].CPUDown = c.fresh + max(0, empty)*c.none
		}
	}
}

func toMicroseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
