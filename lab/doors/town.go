package doors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/wire"
)

// secret signs the tokens of a run. It guards nothing: the node ends with it.
var secret = []byte("a secret of the lab, for one run only")

// town is a node with drivers, each on a trip with a rider. Everything in it is
// real but the people.
type town struct {
	node   *node.Node
	client *client.Client // of the drivers, in protobuf
	pairs  []*pair
	events *eventLog
	log    *slog.Logger

	ctx    context.Context // of the work
	stop   context.CancelFunc
	work   sync.WaitGroup
	folder string
}

// pair is a driver and the rider who waits for that car.
type pair struct {
	at          location.Point
	driverID    string
	driverToken string
	riderID     string
	riderToken  string
	reserved    chan struct{} // closed when the rider knows the car

	driver  *client.Conn
	booking *client.Conn // the rider's socket until the car is known

	// Of the goroutine that drives: the last fix.
	seq   uint32
	taken time.Time
}

// openTown starts a node and brings each rider on a trip with a driver of the
// same number. Nothing is left running beside an error.
func openTown(ctx context.Context, run *finding.Run, pairs int) (t *town, err error) {
	t = &town{events: new(eventLog), log: cmp.Or(run.Log, slog.New(slog.DiscardHandler))}
	t.ctx, t.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			t.close()
		}
	}()

	if err := t.startNode(); err != nil {
		return nil, err
	}

	t.client = client.New(client.Config{Servers: []string{t.node.PublicURL()}, Silence: -1})
	places := rand.New(rand.NewPCG(run.Seed, 1))
	for i := range pairs {
		t.pairs = append(t.pairs, &pair{at: t.node.City().RandomPoint(places), driverID: fmt.Sprintf("driver-%d", i),
			riderID: fmt.Sprintf("rider-%d", i), reserved: make(chan struct{})})
	}
	return t, t.bookAll()
}

func (t *town) startNode() (err error) {
	if t.folder, err = os.MkdirTemp("", "ridehail-doors-"); err != nil {
		return err
	}
	n, err := node.Open(t.ctx, node.Config{Name: "doors", Listen: "127.0.0.1:0", Database: filepath.Join(t.folder, "ridehail.db"),
		City: "1", Policy: "greedy", DevTokens: true, Secret: secret, Log: t.log})
	if err != nil {
		return errors.Join(err, n.Close())
	}

	t.node = n
	ready, ended := make(chan struct{}), make(chan error, 1)
	t.work.Go(func() { ended <- n.Run(t.ctx, func() { close(ready) }) })
	select {
	case <-ready:
		return nil
	case err := <-ended:
		return errors.Join(err, t.ctx.Err(), errors.New("the node did not start"))
	}
}

// close ends the phones and the node, and waits for both.
func (t *town) close() {
	for _, p := range t.pairs {
		for _, conn := range []*client.Conn{p.driver, p.booking} {
			if conn != nil {
				conn.Drop()
			}
		}
	}

	t.stop()
	t.work.Wait()
	if t.client != nil {
		t.client.Close()
	}
	if t.node != nil {
		_ = t.node.Close()
	}
	if t.folder != "" {
		_ = os.RemoveAll(t.folder)
	}
}

// phonesAtOnce bounds how many phones connect at a time.
const phonesAtOnce = 16

// forEach calls f for all pairs, some at a time, until the first error.
func (t *town) forEach(f func(ctx context.Context, p *pair) error) error {
	g, ctx := errgroup.WithContext(t.ctx)
	g.SetLimit(phonesAtOnce)
	for _, p := range t.pairs {
		g.Go(func() error { return f(ctx, p) })
	}
	return g.Wait()
}

// bookAll brings all drivers on duty and then each rider on a trip.
func (t *town) bookAll() error {
	if err := t.forEach(t.bringOnDuty); err != nil {
		return fmt.Errorf("bring the drivers on duty: %w", err)
	}

	// The one pair after the other, so that the nearest free driver is the
	// rider's own.
	for _, p := range t.pairs {
		if err := t.book(t.ctx, p); err != nil {
			return fmt.Errorf("book a car for %s: %w", p.riderID, err)
		}
	}
	return nil
}

func (t *town) bringOnDuty(ctx context.Context, p *pair) (err error) {
	if p.driverToken, p.driver, err = t.connect(ctx, t.client, client.RoleDriver, p.driverID); err != nil {
		return err
	}
	t.work.Go(func() { p.answerOffers(t.events, p.driver) })

	duty := client.NewFrame(&wire.SetAvailable{Available: true})
	duty.Id = "duty"
	if err := p.driver.Send(duty); err != nil {
		return err
	}
	return p.sendFix(time.Now())
}

// connect opens a socket and says hello.
func (t *town) connect(ctx context.Context, phones *client.Client, role, id string) (token string, conn *client.Conn, err error) {
	if token, err = phones.DevToken(ctx, t.node.PublicURL(), role, id); err != nil {
		return "", nil, err
	}
	conn, err = dial(ctx, phones, t.node.PublicURL(), token)
	return token, conn, err
}

func dial(ctx context.Context, phones *client.Client, url, token string) (*client.Conn, error) {
	conn, err := phones.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	if _, err := conn.SayHello(token, nil); err != nil {
		conn.Drop()
		return nil, err
	}
	return conn, nil
}

// book lets the rider ask for a car where the driver stands, and waits until
// that driver comes.
func (t *town) book(ctx context.Context, p *pair) (err error) {
	if p.riderToken, p.booking, err = t.connect(ctx, t.client, client.RoleRider, p.riderID); err != nil {
		return err
	}
	t.work.Go(func() { p.followTrip(t.events, p.booking) })

	if err := p.sendFix(time.Now()); err != nil { // a driver silent for 3 s gets no offer
		return err
	}
	ask := client.NewFrame(&wire.RequestTrip{Pickup: &wire.Point{Lng: p.at.Lng, Lat: p.at.Lat},
		Dropoff: &wire.Point{Lng: p.at.Lng, Lat: p.at.Lat + .01}})
	ask.Id = uuid.NewString()
	if err := p.booking.Send(ask); err != nil {
		return err
	}

	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-p.reserved:
		p.booking.Close()
		return nil
	case <-limit.C:
		return fmt.Errorf("no car came within %v; run it again on a quieter machine", patience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// patience bounds the wait for what must come.
const patience = 20 * time.Second

// answerOffers accepts each offer, until the socket ends.
func (p *pair) answerOffers(log *eventLog, conn *client.Conn) {
	var f wire.ServerFrame
	for {
		at, err := conn.ReadFrame(&f)
		if err != nil {
			return
		}
		log.noteFrame(p.driverID, &f, at)
		if o := f.GetOffer(); o != nil {
			answer := client.NewFrame(&wire.AnswerOffer{OfferId: o.Id, Accept: true})
			answer.Id = "answer-" + o.Id
			_ = conn.Send(answer) // a dead socket shows when no car comes
		}
	}
}

// followTrip waits for the event that names the driver.
func (p *pair) followTrip(log *eventLog, conn *client.Conn) {
	var f wire.ServerFrame
	for {
		at, err := conn.ReadFrame(&f)
		if err != nil {
			return
		}
		log.noteFrame(p.riderID, &f, at)
		if trip := f.GetTripEvent().GetTrip(); trip.GetState() == client.StateReserved && trip.GetDriverId() == p.driverID {
			close(p.reserved)
			return
		}
	}
}

// sendFix sends where the car is at a moment.
func (p *pair) sendFix(at time.Time) error { return p.driver.Send(client.NewFrame(p.nextFix(at))) }

// nextFix returns the car's next position. It creeps, so that each is another.
func (p *pair) nextFix(at time.Time) *wire.Fix {
	p.seq++
	p.taken = at
	return &wire.Fix{Seq: p.seq, AtMs: wire.ToMillis(at), Heading: 90, Speed: 5, Accuracy: 5,
		Point: &wire.Point{Lng: p.at.Lng + 1e-5*float64(p.seq%100), Lat: p.at.Lat}}
}

// after returns now, or a step after the last fix if that is later.
func (p *pair) after(step time.Duration) time.Time {
	if next, now := p.taken.Add(step), time.Now(); next.After(now) {
		return next
	} else {
		return now
	}
}
