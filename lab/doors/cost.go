package doors

import (
	"context"
	"fmt"
	"io"
	"math"
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

// waysUp are the codecs of sockets that a position can leave on; nil: a POST.
// Protobuf is the last, so that the drivers' sockets speak it afterwards.
var waysUp = []wire.Codec{nil, wire.JSON, wire.Proto}

// costs are measured apart from the window, with the machine's time to
// themselves: positions go as fast as they are taken. Processor time is in
// microseconds of this process, so of both ends together.
type costs struct {
	bytesUp, cpuUp map[wire.Codec]float64 // of a position, by way
	cpuDown        map[string]float64     // of a position, by door
	fresh, none    float64                // processor time of a poll: with news, without
}

// measureCosts lets the same cars send positions in each way up, and through
// each door. It takes the cheapest of a few rounds, since others may use the
// machine too.
func measureCosts(ctx context.Context, t *town, s *server) (*costs, error) {
	all := &costs{bytesUp: map[wire.Codec]float64{}, cpuUp: map[wire.Codec]float64{}, cpuDown: map[string]float64{},
		fresh: math.Inf(1), none: math.Inf(1)}
	for _, codec := range waysUp {
		meter, url, err := openMeter(door{codec: codec}.serverURL(t, s))
		if err != nil {
			return nil, err
		}
		defer meter.Close()
		all.bytesUp[codec], err = measureUp(ctx, t, s, codec, url, func() float64 { return countBytes(meter) })
		if err != nil {
			return nil, fmt.Errorf("count the bytes of a position: %w", err)
		}
	}

	for range costRounds {
		if err := all.measureRound(ctx, t, s); err != nil {
			return nil, fmt.Errorf("measure the costs: %w", err)
		}
	}
	return all, nil
}

func (c *costs) measureRound(ctx context.Context, t *town, s *server) error {
	for _, codec := range waysUp {
		cpu, err := measureUp(ctx, t, s, codec, door{codec: codec}.serverURL(t, s), usedMicroseconds)
		if err != nil {
			return err
		}
		keepLeast(c.cpuUp, codec, cpu)
	}

	for _, d := range doors {
		if d.every > 0 {
			continue
		}
		cpu, err := measureDown(ctx, t, s, d)
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		keepLeast(c.cpuDown, d.name, max(0, cpu-c.cpuUp[wire.Proto])) // the way up is part of it
	}

	fresh, none, err := measurePolls(ctx, t, s)
	c.fresh, c.none = min(c.fresh, fresh), min(c.none, none)
	return err
}

func keepLeast[K comparable](least map[K]float64, key K, value float64) {
	if before, ok := least[key]; !ok || value < before {
		least[key] = value
	}
}

// measureUp sends fixes, one car after the other so that none waits in a
// socket behind another, until the node has them all. It returns by how much a
// reading grows with each. A first fix of each car opens its connection, and
// does not count.
func measureUp(ctx context.Context, t *town, s *server, codec wire.Codec, url string, read func() float64) (float64, error) {
	send, closeIdle, err := openUp(ctx, t, codec, url)
	if err != nil {
		return 0, err
	}
	defer closeIdle()

	sendAll := func(fixes int) error {
		for range fixes {
			for _, p := range t.pairs {
				if err := send(p); err != nil {
					return err
				}
			}
		}
		return awaitTaken(ctx, t, s)
	}

	if err := sendAll(1); err != nil {
		return 0, err
	}
	before := read()
	if err := sendAll(costFixes); err != nil {
		return 0, err
	}
	return (read() - before) / float64(costFixes*len(t.pairs)), nil
}

// openUp returns what sends a car's next fix to a server: in a POST, or on a
// new socket of the driver.
func openUp(ctx context.Context, t *town, codec wire.Codec, url string) (send func(*pair) error, closeIdle func(), err error) {
	if codec == nil {
		transport := &http.Transport{MaxIdleConnsPerHost: len(t.pairs)}
		phones := &http.Client{Transport: transport}
		return func(p *pair) error { return p.postFix(ctx, phones, url) }, transport.CloseIdleConnections, nil
	}

	phones := client.New(client.Config{Servers: []string{url}, Codec: codec, Silence: -1})
	send = func(p *pair) error { return p.sendFix(p.after(fixStep)) }
	return send, phones.Close, t.reconnectPhones(phones, url)
}

// reconnectPhones gives each driver a new socket.
func (t *town) reconnectPhones(phones *client.Client, url string) error {
	return t.forEach(func(ctx context.Context, p *pair) error {
		conn, err := dialSocket(ctx, phones, url, p.driverToken)
		if err != nil {
			return err
		}
		p.driver.Drop()
		p.driver = conn
		return nil
	})
}

// postFix sends the car's next fix without a socket.
func (p *pair) postFix(ctx context.Context, phone *http.Client, url string) error {
	body, err := wire.JSON.Append(nil, client.NewFrame(p.nextFix(p.after(fixStep))))
	if err != nil {
		return err
	}
	res, err := ask(ctx, phone, http.MethodPost, url+pathFix, p.driverToken, body)
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
	c := newCrowd(d, t.pairs, d.serverURL(t, s))
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

	before := usedMicroseconds()
	for range costFixes {
		for _, p := range t.pairs {
			if err := p.sendFix(p.after(fixStep)); err != nil {
				return 0, err
			}
		}
		if err := await(); err != nil {
			return 0, err
		}
	}
	return (usedMicroseconds() - before) / float64(costFixes*len(t.pairs)), nil
}

// measurePolls asks for positions with and without news.
func measurePolls(ctx context.Context, t *town, s *server) (fresh, none float64, err error) {
	c := newCrowd(doors[slowPoll], t.pairs, s.url)
	defer c.http.CloseIdleConnections()
	measure := func(isKnown bool) float64 {
		before := usedMicroseconds()
		for range costFixes {
			for _, v := range c.viewers {
				v.pretendKnown(isKnown)
				if !v.get(ctx, "") && err == nil {
					err = fmt.Errorf("%s got no answer", v.pair.riderID)
				}
			}
		}
		return (usedMicroseconds() - before) / float64(costFixes*len(c.viewers))
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
		all[i].BytesUp, all[i].CPUUp, all[i].CPUDown = c.bytesUp[d.codec], c.cpuUp[d.codec], c.cpuDown[d.name]
		if d.every > 0 {
			// Each position that a rider saw had one poll with news; the others
			// brought none.
			empty := float64(all[i].Requests-all[i].Shown) / float64(max(1, all[i].Shown))
			all[i].CPUDown = c.fresh + max(0, empty)*c.none
		}
	}
}

// usedMicroseconds is the processor time that this process has used.
func usedMicroseconds() float64 { return float64(processCPU()) / float64(time.Microsecond) }
