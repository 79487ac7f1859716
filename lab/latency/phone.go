package latency

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

const (
	// answerTimeout is the node's.
	answerTimeout = 10 * time.Second
	pings         = 5 // to estimate a clock offset; the quickest counts
)

// phone is one socket with a reader goroutine. Any goroutine may send.
type phone struct {
	*client.Conn
	id     string
	server string
	// offset is the node's clock minus ours, in ms, set before the reader
	// starts.
	offset float64
	base   location.Point

	// moving is false while the car waits at its base for its trip. No other
	// car is nearer to the rider there.
	moving atomic.Bool
	seq    atomic.Uint32
}

// newClient returns a client without a read deadline, which would be set for
// each frame.
func newClient(cfg Config) *client.Client {
	return client.New(client.Config{Servers: cfg.servers(), Codec: cfg.Codec, Name: "latency", Timeout: answerTimeout, Silence: -1})
}

// dialWithRetry tries again while the node accepts no more sockets, for at most
// answerTimeout.
func dialWithRetry(ctx context.Context, dial func() (*client.Conn, error)) (*phone, error) {
	for end := time.Now().Add(answerTimeout); ; {
		conn, err := dial()
		if err == nil {
			return &phone{Conn: conn}, nil
		}

		full, ok := errors.AsType[*client.StatusError](err)
		if !ok || full.Status != http.StatusServiceUnavailable || time.Now().After(end) {
			return nil, err
		}

		if !sleep.For(ctx, time.Second) {
			return nil, ctx.Err()
		}
	}
}

// logIn opens a socket to a server, says hello with a development token, and
// compares clocks.
func (c *crew) logIn(ctx context.Context, server, role, id string) (*phone, error) {
	token, err := c.client.DevToken(ctx, server, role, id)
	if err != nil {
		return nil, err
	}

	p, err := dialWithRetry(ctx, func() (*client.Conn, error) { return c.client.Dial(ctx, server) })
	if err != nil {
		return nil, err
	}

	p.id, p.server = id, server
	if _, err = p.SayHello(token, nil); err == nil {
		err = p.compareClocks()
	}
	if err != nil {
		p.Drop()
		return nil, fmt.Errorf("%s %s: %w", role, id, err)
	}

	return p, nil
}

// compareClocks must run before the reader starts.
func (p *phone) compareClocks() error {
	best := -1.0
	for range pings {
		if err := p.Send(client.NewFrame(&wire.Ping{T1Ms: wire.ToMillis(time.Now())})); err != nil {
			return err
		}
		pong, got, err := p.awaitPong()
		if err != nil {
			return fmt.Errorf("compare clocks: %w", err)
		}
		if offset, trip := client.ClockOffset(pong, got); best < 0 || trip < best {
			best, p.offset = trip, offset
		}
	}
	return nil
}

func (p *phone) awaitPong() (*wire.Pong, time.Time, error) {
	var f wire.ServerFrame
	for {
		at, err := p.ReadFrameWithin(answerTimeout, &f)
		if err != nil || f.GetPong() != nil {
			return f.GetPong(), at, err
		}
	}
}

// sendCommand sends a frame under an id. It does not retry: a dead socket shows
// in the count.
func (p *phone) sendCommand(id string, f *wire.ClientFrame) error {
	f.Id = id
	return p.Send(f)
}

// sendFix sends the car's position at the time when the update is due.
func (p *phone) sendFix(due time.Time) error {
	at, speed := p.base, float32(0)
	if p.moving.Load() {
		at, speed = circlePoint(p.base, due), 5
	}
	return p.Send(client.NewFrame(&wire.Fix{Seq: p.seq.Add(1), AtMs: wire.ToMillis(due),
		Point: &wire.Point{Lng: at.Lng, Lat: at.Lat}, Speed: speed, Accuracy: 5}))
}

// driveTowards moves a car so many metres and sends its fix. The car stands
// there from now on.
func (p *phone) driveTowards(to *wire.Point, metres float64) error {
	goal := location.Point{Lng: to.GetLng(), Lat: to.GetLat()}
	part := min(1, metres/max(metres, location.MetresBetween(p.base, goal)))
	p.base.Lng += part * (goal.Lng - p.base.Lng)
	p.base.Lat += part * (goal.Lat - p.base.Lat)
	p.moving.Store(false)
	return p.sendFix(time.Now())
}

// readFrames calls handle for every frame with its time of arrival until the
// socket ends. All frames are read into f.
func (p *phone) readFrames(f proto.Message, handle func(at time.Time) error) error {
	for {
		at, err := p.ReadFrame(f)
		if err != nil {
			return err
		}
		if err := handle(at); err != nil {
			return err
		}
	}
}
