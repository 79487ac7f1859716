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
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/store/faulty"
	"github.com/ridehail/ridehail/trips"
)

// city is two nodes over one store, with simulated people, in a bubble of fake
// time. What a node is made of besides its dispatcher and its shared state
// (doors, relay, Redis) is retold here in a few lines each, with losses on
// every way.
type city struct {
	t     *testing.T
	seed  uint64
	store *faulty.Store
	desk  *trips.Desk
	nodes [2]*node
	fleet map[trips.DriverID]*driver
	stop  context.CancelFunc
	ctx   context.Context
	wg    sync.WaitGroup
	post  post

	troubled atomic.Bool

	mu     sync.Mutex // guards all below
	rng    *rand.Rand
	told   map[trips.TripID]uint32 // the newest event relayed
	offers map[trips.TripID]int
	// when it was told that the trip waits no more
	left    map[trips.TripID]time.Time
	driving int
	broken  []string
	riders  int
}

const (
	offerFor = 15 * time.Second
	giveUp   = 3 * time.Minute
)

var center = location.Point{Lng: 3.40, Lat: 6.45}

func newCity(t *testing.T, seed uint64) *city {
	c := &city{t: t, seed: seed, store: faulty.New(seed), rng: rand.New(rand.NewPCG(seed, 1)),
		fleet: map[trips.DriverID]*driver{},
		told:  map[trips.TripID]uint32{}, left: map[trips.TripID]time.Time{}, offers: map[trips.TripID]int{}}
	c.desk = &trips.Desk{Store: c.store, Now: time.Now}
	c.post.woken = make(chan struct{}, 1)
	c.ctx, c.stop = context.WithCancel(t.Context())
	for i, name := range []string{"north", "south"} {
		c.nodes[i] = &node{c: c, name: name}
	}
	for _, n := range c.nodes {
		n.start()
	}
	c.wg.Go(c.relay)
	c.wg.Go(func() { c.post.run(c.ctx) })

	for i := range c.number(4, 10) {
		d := &driver{c: c, id: trips.DriverID(fmt.Sprint("driver-", i)), at: c.somewhere()}
		c.fleet[d.id] = d
		c.wg.Go(d.shift)
	}

	return c
}

// policy serves trips one by one in cities with an even seed, in windows in the
// others. Nobody can say how long a way takes, so that both guess.
func (c *city) policy() dispatch.Policy {
	p, err := dispatch.PolicyNamed([]string{dispatch.GreedyPolicy, dispatch.BatchedPolicy}[c.seed%2], nil, 1)
	if err != nil {
		c.complain("%v", err)
	}
	return p
}

// complain notes a broken invariant.
func (c *city) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.broken) < 10 {
		c.broken = append(c.broken, fmt.Sprintf(format, args...))
	}
}

func (c *city) chance(p float64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.Float64() < p
}

// number is in [from, to).
func (c *city) number(from, to int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return from + c.rng.IntN(to-from)
}

func (c *city) between(from, to time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return from + time.Duration(c.rng.Int64N(int64(to-from)))
}

func (c *city) somewhere() location.Point {
	c.mu.Lock()
	defer c.mu.Unlock()
	return location.Point{Lng: center.Lng + (c.rng.Float64()-.5)*.06, Lat: center.Lat + (c.rng.Float64()-.5)*.06}
}

// rest is false when the story is over.
func (c *city) rest(d time.Duration) bool {
	select {
	case <-c.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// send lets a message arrive a little later; in troubled times never, twice, or
// so late that others overtake it.
func (c *city) send(arrive func()) {
	copies, late := 1, 50*time.Millisecond
	if c.troubled.Load() {
		switch c.number(0, 10) {
		case 0, 1:
			copies = 0
		case 2, 3:
			copies, late = 2, 20*time.Second
		case 4:
			late = 8 * time.Second
		}
	}

	for range copies {
		c.post.at(time.Now().Add(c.between(time.Millisecond, late)), arrive)
	}
}

// post delivers messages in the order of their arrival. One goroutine for all
// of them is much cheaper under the race detector than one each.
type post struct {
	woken chan struct{}

	mu   sync.Mutex // guards bags
	bags []bag      // the next one last
}

type bag struct {
	due time.Time
	act func()
}

// at has act called at a time. It must not block.
func (p *post) at(due time.Time, act func()) {
	p.mu.Lock()
	i, _ := slices.BinarySearchFunc(p.bags, due, func(b bag, due time.Time) int { return due.Compare(b.due) })
	p.bags = slices.Insert(p.bags, i, bag{due, act})
	first := i == len(p.bags)-1
	p.mu.Unlock()

	if first {
		select {
		case p.woken <- struct{}{}:
		default:
		}
	}
}

func (p *post) run(ctx context.Context) {
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
			act, wait := p.next()
			if act == nil {
				timer.Reset(wait)
				break
			}
			act()
		}
	}
}

// next returns what is due, or how long to wait.
func (p *post) next() (func(), time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()

	last := len(p.bags) - 1
	if last < 0 {
		return nil, time.Hour
	}
	if wait := time.Until(p.bags[last].due); wait > 0 {
		return nil, wait
	}

	act := p.bags[last].act
	p.bags = p.bags[:last]
	return act, 0
}

// relay tells every node what was committed, as the outbox has it.
func (c *city) relay() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.store.Wake():
		}

		for !c.relayed() {
			if !c.rest(time.Second) {
				return
			}
		}
	}
}

// relayed is false when something may be left.
func (c *city) relayed() bool {
	if ok, err := c.store.Lease(c.ctx, "relay", time.Minute); err != nil || !ok {
		return false
	}
	notices, err := c.store.Pending(c.ctx, 100)
	if err != nil || len(notices) == 0 {
		return err == nil
	}

	for _, n := range notices {
		var ev trips.Event
		if err := json.Unmarshal(n.Payload, &ev); err != nil {
			c.complain("notice %d: %v", n.ID, err)
			continue
		}
		for _, to := range c.nodes {
			c.send(func() { to.deliver(ev) })
		}
		c.learn(ev)
	}

	return c.store.Advance(c.ctx, "relay", notices[len(notices)-1]) == nil && len(notices) < 100
}

// learn sets the people of a trip going: sooner or later their phones have it,
// if not from a message then by asking.
func (c *city) learn(ev trips.Event) {
	c.mu.Lock()
	news := ev.Seq() > c.told[ev.Trip.ID]
	if news {
		c.told[ev.Trip.ID] = ev.Seq()
		if ev.Seq() == 2 {
			c.left[ev.Trip.ID] = time.Now()
		}
	}

	if begins := news && ev.Kind == trips.KindReserved; begins {
		c.driving++
		d := c.fleet[ev.Trip.Driver]
		c.wg.Go(func() {
			d.drive(ev.Trip)
			c.mu.Lock()
			c.driving--
			c.mu.Unlock()
		})
	}
	c.mu.Unlock()
}

// request opens a trip for a new rider and says which; the phone tries until it
// knows.
func (c *city) request() (trips.TripID, trips.RiderID) {
	c.mu.Lock()
	c.riders++
	name := fmt.Sprint(c.riders)
	c.mu.Unlock()

	rider, id := trips.RiderID("rider-"+name), trips.TripID("trip-"+name)
	ev, err := trips.Request(id, rider, c.somewhere(), center, trips.Quote{}, time.Now())
	if err != nil {
		c.complain("request: %v", err)
	}

	key := trips.Key{Actor: ev.By, ID: "request-" + name}
	for c.ctx.Err() == nil {
		if _, err = c.store.Apply(c.ctx, trips.Move{Key: key, Event: ev}); err == nil || final(err) {
			break
		}
		c.rest(time.Second)
	}

	if err != nil && c.ctx.Err() == nil {
		c.complain("request of %s refused: %v", id, err)
	}

	return id, rider
}

// ride is a rider from the request until they give up waiting, which some do.
func (c *city) ride() {
	id, rider := c.request()
	if !c.chance(.2) || !c.rest(c.between(time.Second, 4*time.Minute)) {
		return
	}
	by := trips.Rider(rider)
	c.insist(by, "cancel", id, func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Cancel(by, "tired", at) })
}

// insist sends one command until it is known what became of it; false when it
// was refused.
func (c *city) insist(by trips.Actor, what string, id trips.TripID, verb trips.Verb) (trips.Trip, bool) {
	key := trips.Key{Actor: by, ID: what + string(id), Print: what}
	for c.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
		ev, err := c.desk.Move(ctx, key, id, verb)
		cancel()
		if err == nil || final(err) {
			return ev.Trip, err == nil
		}
		c.rest(c.between(time.Second, 3*time.Second))
	}
	return trips.Trip{}, false
}

var quiet = slog.New(slog.DiscardHandler)
