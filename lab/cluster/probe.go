package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

const (
	probeFixEvery  = 100 * time.Millisecond
	probeChatEvery = 250 * time.Millisecond
	probeAskPause  = 200 * time.Millisecond // between two requests of a rider

	pairWithin = 15 * time.Second
	askWithin  = 8 * time.Second // until a trip has a driver
	endWithin  = 20 * time.Second
	resend     = time.Second
)

// interval is a stretch of time.
type interval struct{ from, to time.Time }

// arrivals is when something came to one phone.
type arrivals struct {
	mu sync.Mutex
	at []time.Time // in order
}

func (a *arrivals) add(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, at)
}

// longestGap returns the longest part of the interval without an arrival.
func (a *arrivals) longestGap(in interval) (longest time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := in.from
	for _, at := range a.at {
		if at.Before(in.from) || at.After(in.to) {
			continue
		}
		longest, last = max(longest, at.Sub(last)), at
	}
	return max(longest, in.to.Sub(last))
}

// prober is the phones that see how long something stays away. Each pair has a
// driver at one node and a rider at the next, on a ride that lasts until
// endTrips.
type prober struct {
	client  *client.Client
	city    *routing.City
	rng     *rand.Rand
	running sync.WaitGroup
	ctx     context.Context // of the sessions
	cancel  context.CancelFunc

	asking    errgroup.Group // the askers
	askCtx    context.Context
	stopAsker context.CancelFunc

	pairs  []*probePair
	askers []*asker
}

// startProbes starts the phones, and the rides of the pairs. Close the prober,
// also after an error.
func (m *measurement) startProbes(ctx context.Context) (p *prober, err error) {
	p = &prober{client: client.New(client.Config{Servers: m.stage.urls(), Name: "ridehail cluster"}), rng: rand.New(rand.NewPCG(m.cfg.Seed, 11))}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.askCtx, p.stopAsker = context.WithCancel(p.ctx)
	if p.city, err = routing.Open("1"); err != nil {
		return p, err
	}

	limited, cancel := context.WithTimeout(ctx, pairWithin*time.Duration(2*m.size.Nodes))
	defer cancel()
	for i := range 2 * m.size.Nodes {
		if err := p.startPair(limited, i); err != nil {
			return p, fmt.Errorf("a probe's ride: %w", err)
		}
		p.startAsker(i)
	}
	return p, nil
}

// close ends all phones.
func (p *prober) close() {
	p.cancel()
	_ = p.asking.Wait() // askers return no errors
	p.running.Wait()
	p.client.Close()
}

// startSession connects a phone, which begins at a node by its number.
func (p *prober) startSession(role, id string, node int, onFrame func(*wire.ServerFrame, time.Time), onWelcome func(*wire.Welcome, bool)) *client.Session {
	s := p.client.NewSession(client.SessionConfig{Token: p.client.DevTokens(role, id), FirstServer: node, ResendAfter: resend,
		OnFrame: onFrame, OnWelcome: onWelcome})
	p.running.Go(func() { _ = s.Run(p.ctx) }) // it ends with the prober
	return s
}

// describeKill compares the time after a kill with the calm.
func (p *prober) describeKill(killed string, calm, after interval) Kill {
	out := Kill{Killed: killed}
	widen := func(g *Gap, a *arrivals) {
		g.CalmS, g.AfterS = max(g.CalmS, a.longestGap(calm).Seconds()), max(g.AfterS, a.longestGap(after).Seconds())
	}
	for _, pair := range p.pairs {
		widen(&out.Positions, &pair.positions)
		widen(&out.News, &pair.news)
	}
	for _, a := range p.askers {
		widen(&out.Offers, &a.offers)
	}
	return out
}

// probePair is a driver and a rider on a ride.
type probePair struct {
	driver, rider *client.Session
	place         atomic.Pointer[location.Point] // of the car
	offers        chan *wire.Offer
	trip          *wire.Trip

	positions, news arrivals // at the rider
}

// startPair brings a rider into a car. There must not be other free drivers.
func (p *prober) startPair(ctx context.Context, i int) error {
	pair := &probePair{offers: make(chan *wire.Offer, 4)}
	place := p.city.RandomPoint(p.rng)
	pair.place.Store(&place)
	onDuty := func(*wire.Welcome, bool) {
		pair.driver.StartCommand(client.NewFrame(&wire.SetAvailable{Available: true}), func(*wire.Ack, error) {})
	}
	pair.driver = p.startSession(client.RoleDriver, fmt.Sprintf("probe-driver-%d", i), i, pair.onDriverFrame, onDuty)
	pair.rider = p.startSession(client.RoleRider, fmt.Sprintf("probe-rider-%d", i), i+1, pair.onRiderFrame, nil)
	p.running.Go(func() { pair.sendFixes(p.ctx) })

	ack, err := pair.rider.Do(ctx, client.NewFrame(&wire.RequestTrip{Pickup: wirePoint(place), Dropoff: wirePoint(nearby(place))}))
	if err != nil {
		return err
	}
	pair.trip = ack.Trip
	select {
	case o := <-pair.offers:
		if _, err := pair.driver.Do(ctx, client.NewFrame(&wire.AnswerOffer{OfferId: o.Id, Accept: true})); err != nil {
			return err
		}
	case <-ctx.Done():
		return errors.New("no offer came to its driver")
	}

	for _, step := range []wire.Step{wire.Step_ARRIVE, wire.Step_START} {
		if _, err := pair.driver.Do(ctx, client.NewFrame(&wire.MoveTrip{TripId: pair.trip.Id, Step: step})); err != nil {
			return err
		}
	}
	p.running.Go(func() { pair.sendChats(p.askCtx) })
	p.pairs = append(p.pairs, pair)
	return nil
}

// nearby is where a ride from a place leads: some 300 m east.
func nearby(p location.Point) location.Point { return location.Point{Lng: p.Lng + 0.003, Lat: p.Lat} }

func wirePoint(p location.Point) *wire.Point { return &wire.Point{Lng: p.Lng, Lat: p.Lat} }

func (pair *probePair) onDriverFrame(f *wire.ServerFrame, _ time.Time) {
	if o := f.GetOffer(); o != nil {
		select {
		case pair.offers <- o:
		default: // the car is on its ride
		}
	}
}

func (pair *probePair) onRiderFrame(f *wire.ServerFrame, at time.Time) {
	switch {
	case f.GetPosition() != nil:
		pair.positions.add(at)
	case f.GetChat() != nil:
		pair.news.add(at)
	}
}

// sendFixes sends where the car is until ctx ends. A fix that finds no
// connection is lost.
func (pair *probePair) sendFixes(ctx context.Context) {
	for seq := uint32(1); sleep.For(ctx, probeFixEvery); seq++ {
		_ = pair.driver.Send(client.NewFrame(&wire.Fix{Seq: seq, AtMs: wire.ToMillis(time.Now()), Point: wirePoint(*pair.place.Load()), Accuracy: 5}))
	}
}

// sendChats sends messages until ctx ends, one after the other is acked.
func (pair *probePair) sendChats(ctx context.Context) {
	for n := 1; sleep.For(ctx, probeChatEvery); n++ {
		_, _ = pair.driver.Do(ctx, client.NewFrame(&wire.SendChat{TripId: pair.trip.Id, Text: fmt.Sprint(n)}))
	}
}

// endTrips ends what the probes began. It returns an error for a ride that
// could not be ended.
func (p *prober) endTrips(ctx context.Context) error {
	p.stopAsker()
	_ = p.asking.Wait()
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()

	var team errgroup.Group
	for _, pair := range p.pairs {
		team.Go(func() error { return pair.complete(ctx) })
	}
	return team.Wait()
}

// complete drives to the dropoff.
func (pair *probePair) complete(ctx context.Context) error {
	const hops = 10
	from, to := *pair.place.Load(), location.Point{Lng: pair.trip.GetDropoff().GetLng(), Lat: pair.trip.GetDropoff().GetLat()}
	for i := range hops {
		part := float64(i+1) / hops
		at := location.Point{Lng: from.Lng + part*(to.Lng-from.Lng), Lat: from.Lat + part*(to.Lat-from.Lat)}
		pair.place.Store(&at)
		sleep.For(ctx, probeFixEvery)
	}

	for {
		_, err := pair.driver.Do(ctx, client.NewFrame(&wire.MoveTrip{TripId: pair.trip.Id, Step: wire.Step_COMPLETE}))
		if _, refused := errors.AsType[*client.CommandError](err); refused && sleep.For(ctx, probeFixEvery) {
			continue // the node has not seen the car there yet
		}
		if err != nil {
			return fmt.Errorf("end the ride %s of a probe: %w", pair.trip.Id, err)
		}
		return nil
	}
}

// asker is a rider who requests a trip, cancels it as soon as a driver has
// taken it, and requests the next.
type asker struct {
	session  *client.Session
	from, to location.Point
	reserved chan string // trips that a driver has taken
	trip     atomic.Pointer[wire.Trip]
	offers   arrivals
}

func (p *prober) startAsker(i int) {
	a := &asker{from: p.city.RandomPoint(p.rng), to: p.city.RandomPoint(p.rng), reserved: make(chan string, 1)}
	a.session = p.startSession(client.RoleRider, fmt.Sprintf("probe-asker-%d", i), i, func(f *wire.ServerFrame, at time.Time) {
		if t := f.GetTripEvent().GetTrip(); t != nil {
			a.followTrip(t)
		}
	}, func(w *wire.Welcome, _ bool) {
		if w.Trip != nil {
			a.followTrip(w.Trip)
		}
	})
	p.askers = append(p.askers, a)
}

// followTrip runs on the session's goroutine.
func (a *asker) followTrip(t *wire.Trip) {
	a.trip.Store(t)
	if t.State != client.StateReserved {
		return
	}
	select {
	case a.reserved <- t.Id:
	default:
	}
}

// startAsking lets the askers begin.
func (p *prober) startAsking() {
	for _, a := range p.askers {
		p.asking.Go(func() error { a.run(p.askCtx, p.ctx); return nil })
	}
}

// run asks until ctx ends, and then cancels the last trip.
func (a *asker) run(ctx, after context.Context) {
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, askWithin)
		ack, err := a.session.Do(limited, client.NewFrame(&wire.RequestTrip{Pickup: wirePoint(a.from), Dropoff: wirePoint(a.to)}))
		if err == nil && a.awaitDriver(limited, ack.Trip.Id) {
			a.offers.add(time.Now())
		}
		cancel()
		a.cancelTrip(after)
		sleep.For(ctx, probeAskPause)
	}
}

func (a *asker) awaitDriver(ctx context.Context, trip string) bool {
	for {
		select {
		case id := <-a.reserved:
			if id == trip {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// cancelTrip cancels the trip if there is one. A trip that moves on meanwhile
// is ended by its driver.
func (a *asker) cancelTrip(ctx context.Context) {
	t := a.trip.Load()
	if t == nil || !client.IsActive(t.State) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	_, _ = a.session.Do(ctx, client.NewFrame(&wire.CancelTrip{TripId: t.Id, Reason: "a probe"}))
}
