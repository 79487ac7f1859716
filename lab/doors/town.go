package doors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/scratch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// secret signs the tokens of a run. It guards nothing: the node ends with it.
var secret = []byte("a secret of the lab, for one run only")

// town is a node with drivers, each on a trip with a rider. Everything in it is
// real but the people.
type town struct {
	node   *node.Node
	client *client.Client // of all who book, in protobuf
	pairs  []*pair
	events *eventLog
	log    *slog.Logger

	ctx    context.Context // of the work
	stop   context.CancelFunc
	work   sync.WaitGroup
	stored *scratch.Database
}

// pair is a driver and the rider who waits for that car.
type pair struct {
	at, goal    location.Point
	driverID    string
	driverToken string
	riderID     string
	riderToken  string

	driver *client.Conn

	// Of the goroutine that drives: the last fix.
	seq   uint32
	taken time.Time
}

// openTown starts a node and brings each rider on a trip with a driver of the
// same number. Nothing is left running beside an error.
func openTown(ctx context.Context, run *finding.Run, pairs int) (t *town, err error) {
	t = &town{events: &eventLog{last: map[string]uint32{}}, log: slog.New(slog.DiscardHandler)}
	t.ctx, t.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			t.close()
		}
	}()

	if err := t.startNode(); err != nil {
		return t, err
	}

	t.client = client.New(client.Config{Servers: []string{t.node.PublicURL()}, Silence: -1})
	places := rand.New(rand.NewPCG(run.Seed, 1))
	for i := range pairs {
		t.pairs = append(t.pairs, &pair{at: t.node.City().RandomPoint(places), goal: t.node.City().RandomPoint(places),
			driverID: fmt.Sprintf("driver-%d", i), riderID: fmt.Sprintf("rider-%d", i)})
	}
	return t, t.bookAll()
}

func (t *town) startNode() (err error) {
	if t.stored, err = scratch.Create(t.ctx, ""); err != nil {
		return err
	}
	n, err := node.Open(t.ctx, node.Config{Name: "doors", Listen: "127.0.0.1:0", Database: t.stored.URL,
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
		if p.driver != nil {
			p.driver.Drop()
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
	if t.stored != nil {
		_ = t.stored.Close()
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

	driving, stop := context.WithCancel(t.ctx)
	var work sync.WaitGroup
	work.Go(func() { t.keepDriving(driving) })
	defer work.Wait()
	defer stop()

	var mu sync.Mutex // guards riders
	riders := map[string]*rider{}
	err := t.forEach(func(ctx context.Context, p *pair) error {
		r := &rider{id: p.riderID}
		driver, err := t.bookRide(ctx, p, r)
		if err != nil {
			return fmt.Errorf("book a car for %s: %w", r.id, err)
		}
		mu.Lock()
		defer mu.Unlock()
		riders[driver] = r
		return nil
	})
	if err != nil {
		return err
	}

	for _, p := range t.pairs { // the nearest by road may have been another's
		r, ok := riders[p.driverID]
		if !ok {
			return fmt.Errorf("no rider has %s", p.driverID)
		}
		p.riderID, p.riderToken = r.id, r.token
	}
	return nil
}

// keepDriving sends the cars' positions each second: a driver who is silent for
// 3 s gets no offers.
func (t *town) keepDriving(ctx context.Context) {
	for {
		for _, p := range t.pairs {
			if p.sendFix(time.Now()) != nil {
				return // no car will come, and the rider says so
			}
		}
		if !sleep.For(ctx, time.Second) {
			return
		}
	}
}

func (t *town) bringOnDuty(ctx context.Context, p *pair) (err error) {
	if p.driverToken, p.driver, err = t.connectPhone(ctx, client.RoleDriver, p.driverID); err != nil {
		return err
	}
	t.work.Go(func() { p.answerOffers(t.events, p.driver) })

	duty := client.NewFrame(&wire.SetAvailable{Available: true})
	duty.Id = "duty"
	return p.driver.Send(duty)
}

// connectPhone opens a socket and says hello.
func (t *town) connectPhone(ctx context.Context, role, id string) (token string, conn *client.Conn, err error) {
	if token, err = t.client.DevToken(ctx, t.node.PublicURL(), role, id); err != nil {
		return "", nil, err
	}
	conn, err = dialSocket(ctx, t.client, t.node.PublicURL(), token)
	return token, conn, err
}

func dialSocket(ctx context.Context, phones *client.Client, url, token string) (*client.Conn, error) {
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

// rider is a person who waits for a car.
type rider struct{ id, token string }

// bookRide lets the rider ask for a car and waits until one comes. It returns
// the driver.
func (t *town) bookRide(ctx context.Context, p *pair, r *rider) (driver string, err error) {
	token, conn, err := t.connectPhone(ctx, client.RoleRider, r.id)
	if err != nil {
		return "", err
	}
	r.token = token
	defer conn.Close()
	defer context.AfterFunc(ctx, conn.Drop)()

	request := client.NewFrame(&wire.RequestTrip{Pickup: translate.EncodePoint(p.at), Dropoff: translate.EncodePoint(p.goal)})
	request.Id = uuid.NewString()
	if err := conn.Send(request); err != nil {
		return "", err
	}
	return awaitCar(conn, r.id, t.events)
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

// awaitCar reads until the event that names the driver.
func awaitCar(conn *client.Conn, rider string, log *eventLog) (driver string, err error) {
	var f wire.ServerFrame
	for end := time.Now().Add(patience); ; {
		at, err := conn.ReadFrameWithin(time.Until(end), &f)
		if err != nil {
			return "", fmt.Errorf("no car came within %v; run it again on a quieter machine: %w", patience, err)
		}
		log.noteFrame(rider, &f, at)
		if a := f.GetAck(); a != nil && a.Code != "" {
			return "", fmt.Errorf("the node refuses: %s: %s", a.Code, a.Message)
		}
		if trip := f.GetTripEvent().GetTrip(); trip.GetState() == client.StateReserved {
			return trip.DriverId, nil
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
	next, now := p.taken.Add(step), time.Now()
	if next.After(now) {
		return next
	}
	return now
}
