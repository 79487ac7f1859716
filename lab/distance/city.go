package distance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/lab/scratch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// citySpec names the generated city of all runs.
const citySpec = "1"

// city is a node in this process, for one run.
type city struct {
	url   string
	roads *routing.City
	stop  func() error
}

// openCity starts a node on the servers that are named; empty: an embedded
// Redis, and a SQLite file of its own.
func openCity(ctx context.Context, redis, database string) (*city, error) {
	file, err := scratch.Create(ctx, "")
	if err != nil {
		return nil, err
	}

	// The greedy policy answers a request at once. Its wait is not the subject.
	n, err := node.Open(ctx, node.Config{Name: "lab-" + uuid.NewString()[:8], Listen: "127.0.0.1:0", Database: cmp.Or(database, file.URL),
		Redis: redis, City: citySpec, Policy: "greedy", DevTokens: true, Secret: []byte(uuid.NewString()), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, errors.Join(err, n.Close(), file.Close())
	}

	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- n.Run(serving, func() { close(ready) }) }()
	c := &city{url: n.PublicURL(), roads: n.City(), stop: func() error {
		cancel()
		return errors.Join(<-ended, n.Close(), file.Close())
	}}

	select {
	case <-ready:
		return c, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), c.stop())
	case err := <-ended:
		ended <- err
		return nil, errors.Join(errors.New("the node ended before it was ready"), c.stop())
	}
}

// rideEnds returns a place on a road of the city, and one so near that a car at
// either counts as being at both: driving is not the subject. They are the same
// for each seed, because not every place has a road to such another.
func (c *city) rideEnds() (from, to location.Point) {
	from = c.roads.RandomPoint(rand.New(rand.NewPCG(1, 0)))
	to = from
	to.Lat += 90 * degreesPerMetre
	return from, to
}

const degreesPerMetre = 1 / 111_000.0

// completedAt is the number of the last event of a ride: after its request,
// acceptance, arrival and start.
const completedAt = 5

// answerWithin bounds the wait for one answer of the node.
const answerWithin = 10 * time.Second

// person is a driver or a rider with one socket. One goroutine at a time reads;
// what comes meanwhile waits in the socket.
type person struct {
	*client.Conn
	api     *client.Client
	server  string
	token   string
	unwatch func() bool
}

// logIn connects a person to the node behind a URL until ctx ends.
func logIn(ctx context.Context, url, role, id string) (p *person, err error) {
	p = &person{api: client.New(client.Config{Servers: []string{url}, Name: "lab", Silence: -1}), server: url}
	defer func() {
		if err != nil {
			p.api.Close()
		}
	}()

	if p.token, err = p.api.DevToken(ctx, url, role, id); err != nil {
		return p, err
	}
	if p.Conn, err = p.api.Dial(ctx, url); err != nil {
		return p, err
	}

	p.unwatch = context.AfterFunc(ctx, p.Drop)
	if _, err := p.SayHello(p.token, nil); err != nil {
		p.logOut()
		return p, fmt.Errorf("%s %s: %w", role, id, err)
	}
	return p, nil
}

func (p *person) logOut() {
	p.unwatch()
	p.Drop()
	p.api.Close()
}

// awaitFrame reads until a frame is the wanted one.
func (p *person) awaitFrame(isWanted func(*wire.ServerFrame) bool) error {
	for {
		var f wire.ServerFrame
		if _, err := p.ReadFrameWithin(answerWithin, &f); err != nil {
			return err
		}
		if isWanted(&f) {
			return nil
		}
	}
}

// sendCommand sends a command and awaits its answer, which must not be a
// refusal.
func (p *person) sendCommand(f *wire.ClientFrame) (ack *wire.Ack, err error) {
	f.Id = uuid.NewString()
	if err := p.Send(f); err != nil {
		return nil, err
	}

	err = p.awaitFrame(func(got *wire.ServerFrame) bool {
		ack = got.GetAck()
		return ack.GetId() == f.Id
	})
	if err == nil && ack.Code != "" {
		err = fmt.Errorf("%s: %s", ack.Code, ack.Message)
	}
	return ack, err
}

// sendFix sends where a car stands, or drives.
func (p *person) sendFix(seq uint32, at location.Point, due time.Time) error {
	return p.Send(client.NewFrame(&wire.Fix{Seq: seq, AtMs: wire.ToMillis(due), Point: encodePoint(at), Accuracy: 5}))
}

func encodePoint(p location.Point) *wire.Point { return &wire.Point{Lng: p.Lng, Lat: p.Lat} }

// goOnDuty makes a driver at a place ready for offers.
func (p *person) goOnDuty(at location.Point) error {
	if err := p.sendFix(1, at, time.Now()); err != nil {
		return err
	}
	_, err := p.sendCommand(client.NewFrame(&wire.SetAvailable{Available: true}))
	return err
}

// makeTrip brings a rider and a driver together, up to the driver's acceptance,
// and returns their trip.
func makeTrip(ctx context.Context, rider, driver *person, from, to location.Point) (*wire.Trip, error) {
	var quote struct {
		Quote string `json:"quote"`
	}
	ends := map[string]location.Point{"pickup": from, "dropoff": to}
	if err := rider.api.CallAPI(ctx, rider.server, client.Request{Method: "POST", Path: "/v1/quotes", Token: rider.token, Body: ends}, &quote); err != nil {
		return nil, fmt.Errorf("a quote: %w", err)
	}

	// Its ack is read later: the offer is on its way to the driver.
	request := client.NewFrame(&wire.RequestTrip{Quote: quote.Quote})
	request.Id = uuid.NewString()
	if err := rider.Send(request); err != nil {
		return nil, err
	}

	var offer *wire.Offer
	if err := driver.awaitFrame(func(f *wire.ServerFrame) bool { offer = f.GetOffer(); return offer != nil }); err != nil {
		return nil, fmt.Errorf("an offer: %w", err)
	}

	ack, err := driver.sendCommand(client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true}))
	return ack.GetTrip(), err
}

// makeStep makes one step of the driver's trip.
func (p *person) makeStep(trip string, s wire.Step) error {
	_, err := p.sendCommand(client.NewFrame(&wire.MoveTrip{TripId: trip, Step: s}))
	if err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
}
