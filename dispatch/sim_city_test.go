package dispatch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/store/faulty"
	"github.com/ridehail/ridehail/trips"
)

// simCity is two nodes over one store, with simulated people, in a bubble of
// fake time. The other parts of a node (API, relay, Redis) are retold here in a
// few lines each, and every message may get lost.
type simCity struct {
	// Fixed at creation.
	t       *testing.T
	seed    uint64
	store   *faulty.Store
	service *trips.Service
	nodes   [2]*simNode
	fleet   map[trips.DriverID]*simDriver
	stop    context.CancelFunc
	ctx     context.Context
	wg      sync.WaitGroup
	mailbox mailbox

	isTroubled atomic.Bool

	mu           sync.Mutex // Guards all below.
	rng          *rand.Rand
	lastRelayed  map[trips.TripID]uint32 // Number of the newest event.
	offers       map[trips.TripID]int
	noLongerOpen map[trips.TripID]time.Time // When the relay said so.
	driving      int
	violations   []string
	riders       int
}

const (
	offerFor    = 15 * time.Second
	giveUpAfter = 3 * time.Minute
)

var center = location.Point{Lng: 3.40, Lat: 6.45}

func newCity(t *testing.T, seed uint64) *simCity {
	c := &simCity{t: t, seed: seed, store: faulty.New(seed), rng: rand.New(rand.NewPCG(seed, 1)),
		fleet:       map[trips.DriverID]*simDriver{},
		lastRelayed: map[trips.TripID]uint32{}, noLongerOpen: map[trips.TripID]time.Time{}, offers: map[trips.TripID]int{}}
	c.service = &trips.Service{Store: c.store, Now: time.Now}
	c.mailbox.woken = make(chan struct{}, 1)
	c.ctx, c.stop = context.WithCancel(t.Context())
	for i, name := range []string{"north", "south"} {
		c.nodes[i] = &simNode{city: c, name: name}
	}
	for _, n := range c.nodes {
		n.startProcess()
	}
	c.wg.Go(c.runRelay)
	c.wg.Go(func() { c.mailbox.deliverAll(c.ctx) })

	for i := range c.drawNumber(4, 10) {
		d := &simDriver{city: c, id: trips.DriverID(fmt.Sprint("driver-", i)), at: c.drawPoint()}
		c.fleet[d.id] = d
		c.wg.Go(d.runShift)
	}

	return c
}

// policy serves trips one by one in cities with an even seed, and in windows in
// the others. There are no travel times, so both policies estimate them.
func (c *simCity) policy() dispatch.Policy {
	p, err := dispatch.NewPolicy([]string{dispatch.GreedyPolicy, dispatch.BatchedPolicy}[c.seed%2], nil, 1)
	if err != nil {
		c.reportViolation("%v", err)
	}
	return p
}

// reportViolation notes a broken invariant.
func (c *simCity) reportViolation(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.violations) < 10 {
		c.violations = append(c.violations, fmt.Sprintf(format, args...))
	}
}

func (c *simCity) drawChance(p float64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.Float64() < p
}

// drawNumber returns a number in [from, to).
func (c *simCity) drawNumber(from, to int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return from + c.rng.IntN(to-from)
}

func (c *simCity) drawDuration(from, to time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return from + time.Duration(c.rng.Int64N(int64(to-from)))
}

func (c *simCity) drawPoint() location.Point {
	c.mu.Lock()
	defer c.mu.Unlock()
	return location.Point{Lng: center.Lng + (c.rng.Float64()-.5)*.06, Lat: center.Lat + (c.rng.Float64()-.5)*.06}
}

// pause waits for d. It returns false when the story is over.
func (c *simCity) pause(d time.Duration) bool {
	return sleep.For(c.ctx, d)
}

// sendMessage lets a message arrive a little later. In troubled times it may
// never arrive, arrive twice, or so late that others overtake it.
func (c *simCity) sendMessage(arrive func()) {
	copies, late := 1, 50*time.Millisecond
	if c.isTroubled.Load() {
		switch c.drawNumber(0, 10) {
		case 0, 1:
			copies = 0
		case 2, 3:
			copies, late = 2, 20*time.Second
		case 4:
			late = 8 * time.Second
		}
	}

	for range copies {
		c.mailbox.deliverAt(time.Now().Add(c.drawDuration(time.Millisecond, late)), arrive)
	}
}

// mailbox delivers messages in the order of their arrival. One goroutine for
// all of them costs much less under the race detector than one for each.
type mailbox struct {
	woken chan struct{}

	mu         sync.Mutex // Guards deliveries.
	deliveries []delivery // The next one last.
}

type delivery struct {
	due time.Time
	run func()
}

// deliverAt has act called at a time. act must not block.
func (p *mailbox) deliverAt(due time.Time, act func()) {
	p.mu.Lock()
	i, _ := slices.BinarySearchFunc(p.deliveries, due, func(b delivery, due time.Time) int { return due.Compare(b.due) })
	p.deliveries = slices.Insert(p.deliveries, i, delivery{due, act})
	first := i == len(p.deliveries)-1
	p.mu.Unlock()

	if first {
		select {
		case p.woken <- struct{}{}:
		default:
		}
	}
}

func (p *mailbox) deliverAll(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.woken:
		case <-timer.C:
		}

		for {
			act, wait := p.takeDue()
			if act == nil {
				timer.Reset(wait)
				break
			}
			act()
		}
	}
}

// takeDue returns what is due, or how long to wait.
func (p *mailbox) takeDue() (func(), time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()

	last := len(p.deliveries) - 1
	if last < 0 {
		return nil, time.Hour
	}
	if wait := time.Until(p.deliveries[last].due); wait > 0 {
		return nil, wait
	}

	act := p.deliveries[last].run
	p.deliveries = p.deliveries[:last]
	return act, 0
}

// runRelay passes every committed event to every node, as the outbox relay
// does.
func (c *simCity) runRelay() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.store.CommitSignal():
		}

		for !c.relayBatch() {
			if !c.pause(time.Second) {
				return
			}
		}
	}
}

// relayBatch relays a batch. It returns false when something may be left.
func (c *simCity) relayBatch() bool {
	if _, err := c.store.AcquireShards(c.ctx, trips.ShardClaim{Holder: "relay", TTL: time.Minute}); err != nil {
		return false
	}
	notices, err := c.store.PendingMessages(c.ctx, trips.AllShards(c.store), 100)
	if err != nil || len(notices) == 0 {
		return err == nil
	}

	for _, n := range notices {
		var ev trips.Event
		if err := json.Unmarshal(n.Payload, &ev); err != nil {
			c.reportViolation("notice %d: %v", n.ID, err)
			continue
		}
		for _, to := range c.nodes {
			c.sendMessage(func() { to.deliverEvent(ev) })
		}
		c.startDrive(ev)
	}

	return c.store.AdvanceCursor(c.ctx, "relay", notices) == nil && len(notices) < 100
}

// startDrive notes a relayed event. At a reservation it starts the driver's
// part: sooner or later the phone learns of it, if not from a message then by
// asking.
func (c *simCity) startDrive(ev trips.Event) {
	c.mu.Lock()
	news := ev.Seq() > c.lastRelayed[ev.Trip.ID]
	if news {
		c.lastRelayed[ev.Trip.ID] = ev.Seq()
		if ev.Seq() == 2 {
			c.noLongerOpen[ev.Trip.ID] = time.Now()
		}
	}

	if begins := news && ev.Kind == trips.KindReserved; begins {
		c.driving++
		d := c.fleet[ev.Trip.Driver]
		c.wg.Go(func() {
			d.driveTrip(ev.Trip)
			c.mu.Lock()
			c.driving--
			c.mu.Unlock()
		})
	}
	c.mu.Unlock()
}

// requestTrip opens a trip for a new rider and returns both ids. The phone
// repeats the request until it has an answer.
func (c *simCity) requestTrip() (trips.TripID, trips.RiderID) {
	c.mu.Lock()
	c.riders++
	name := fmt.Sprint(c.riders)
	c.mu.Unlock()

	rider, id := trips.RiderID("rider-"+name), trips.TripID("trip-"+name)
	ev, err := trips.Request(id, rider, c.drawPoint(), center, trips.Quote{}, time.Now())
	if err != nil {
		c.reportViolation("request: %v", err)
	}

	key := trips.IdempotencyKey{Actor: ev.By, ID: "request-" + name}
	for c.ctx.Err() == nil {
		if _, err = c.store.Apply(c.ctx, trips.Command{Key: key, Event: ev}); err == nil || isRefusal(err) {
			break
		}
		c.pause(time.Second)
	}

	if err != nil && c.ctx.Err() == nil {
		c.reportViolation("request of %s refused: %v", id, err)
	}

	return id, rider
}

// runRider is a rider from the request until the wait ends. Some riders cancel.
func (c *simCity) runRider() {
	id, rider := c.requestTrip()
	if !c.drawChance(.2) || !c.pause(c.drawDuration(time.Second, 4*time.Minute)) {
		return
	}
	by := trips.Rider(rider)
	c.sendUntilKnown(by, "cancel", id, func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Cancel(by, "tired", at) })
}

// sendUntilKnown repeats one command until its result is known. It returns
// false when the command was refused.
func (c *simCity) sendUntilKnown(by trips.Actor, what string, id trips.TripID, verb trips.Transition) (trips.Trip, bool) {
	key := trips.IdempotencyKey{Actor: by, ID: what + string(id), Fingerprint: what}
	for c.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
		ev, err := c.service.Apply(ctx, key, id, verb)
		cancel()
		if err == nil || isRefusal(err) {
			return ev.Trip, err == nil
		}
		c.pause(c.drawDuration(time.Second, 3*time.Second))
	}
	return trips.Trip{}, false
}

var discardLog = slog.New(slog.DiscardHandler)
