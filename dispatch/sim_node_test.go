package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// node is one server. A crash loses all of life; what comes after it is a new
// one under the old name.
type node struct {
	c    *city
	name string
	owns atomic.Bool // thinks that the region is its own

	mu   sync.Mutex // guards all below
	life *life
}

// life is what a process holds in memory.
type life struct {
	n       *node
	drivers *sharedstate.Drivers
	inbox   *dispatch.Inbox
	d       *dispatch.Dispatcher
	metrics *prometheus.Registry
	ctx     context.Context
	stop    context.CancelFunc
	done    chan struct{}

	// guards all below, and is held over the inbox's calls, so that their order
	// is known
	mu       sync.Mutex
	sessions map[trips.DriverID]int
	live     map[string]dispatch.Offer // that may be taken
	fenced   map[string]bool           // voided by a newer dispatcher's
}

// start brings the node up.
func (n *node) start() {
	l := &life{n: n, inbox: dispatch.NewInbox(time.Now), done: make(chan struct{}), metrics: prometheus.NewRegistry(),
		drivers:  sharedstate.NewDrivers(sharedstate.DriverOptions{SuspectAfter: 1000 * time.Hour, Shards: 4}),
		sessions: map[trips.DriverID]int{}, live: map[string]dispatch.Offer{}, fenced: map[string]bool{}}
	l.ctx, l.stop = context.WithCancel(n.c.ctx)
	n.mu.Lock()
	n.life = l
	n.mu.Unlock()

	l.open()
	n.c.wg.Go(func() { l.sync() })
	n.c.wg.Go(l.mirror)
}

// open starts a dispatcher.
func (l *life) open() {
	c := l.n.c
	l.metrics = prometheus.NewRegistry()
	d := dispatch.New(dispatch.Config{Node: l.n.name, Desk: c.desk, Store: c.store, Drivers: l.drivers, Courier: l,
		Owns: func(location.Region) bool { return l.n.owns.Load() }, Policy: c.policy(),
		Rules:     dispatch.Rules{OfferFor: offerFor, GiveUpAfter: giveUp, RetryEvery: c.between(time.Second, 4*time.Second)},
		ScanEvery: c.between(2*time.Second, 15*time.Second),
		Epoch:     uint64(time.Now().UnixNano()), Log: quiet, Registerer: l.metrics})

	l.mu.Lock()
	l.d = d
	l.mu.Unlock()

	done := make(chan struct{})
	l.done = done

	c.wg.Go(func() {
		if err := d.Run(l.ctx); err != nil {
			c.complain("%s: Run ended with %v", l.n.name, err)
		}
		close(done)
	})
}

func (n *node) now() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life
}

func (n *node) other() *node {
	if n.c.nodes[0] == n {
		return n.c.nodes[1]
	}
	return n.c.nodes[0]
}

// stopWithin bounds how long a dispatcher takes to stop: two withdrawals of a
// second each, one after the other.
const stopWithin = 2 * time.Second

// staleAfter bounds how long offers are made for a trip that waits no more,
// when the news of that was lost: the next scan must see it, as soon as the
// store can be read.
const staleAfter = 90 * time.Second

// crash loses the node's memory and its sockets; a new process follows.
func (n *node) crash() {
	l, began := n.now(), time.Now()
	l.stop()
	<-l.done
	if took := time.Since(began); took > stopWithin {
		n.c.complain("the dispatcher of %s took %s to stop", n.name, took)
	}
	n.c.rest(n.c.between(time.Second, 20*time.Second))
	peer := n.other().now()
	lost, _ := peer.drivers.Changed(n.name, 0, nil)
	for _, d := range lost {
		peer.drivers.Leave(d.ID, n.name)
	}
	n.start()
}

// deliver is a trip's event from Redis.
func (n *node) deliver(ev trips.Event) {
	l := n.now()
	l.track(ev.Trip)
	l.mu.Lock()
	d := l.d
	l.mu.Unlock()
	d.Hint(ev)
}

// track makes the shared state follow a trip.
func (l *life) track(t trips.Trip) {
	switch {
	case t.Driver == "":
	case t.State == trips.OnTrip:
		l.drivers.Assign(t.Driver, t.ID, sharedstate.OnTrip)
	case t.State.Active():
		l.drivers.Assign(t.Driver, t.ID, sharedstate.Reserved)
	default:
		l.drivers.Free(t.Driver, t.ID)
	}
}

// sync reads who is on a trip after messages may have been missed, until it
// knows.
func (l *life) sync() {
	for l.ctx.Err() == nil && !l.synced() {
		l.n.c.rest(time.Second)
	}
}

func (l *life) synced() bool {
	known, _ := l.drivers.Changed(l.n.name, 0, nil)
	driven, err := l.n.c.store.Driven(l.ctx)
	if err != nil {
		return false
	}

	active := map[trips.TripID]bool{}
	for _, t := range driven {
		active[t.ID] = true
		l.track(t)
	}

	for _, d := range known {
		if d.Trip == "" || active[d.Trip] {
			continue
		}
		t, err := l.n.c.store.Trip(l.ctx, d.Trip)
		if err != nil {
			return false
		}
		l.track(t)
	}

	return true
}

// mirror shows the other node this one's drivers, full pictures only.
func (l *life) mirror() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(30 * time.Second):
		}

		all, _ := l.drivers.Changed(l.n.name, 0, nil)
		l.n.c.send(func() {
			peer := l.n.other().now()
			for _, d := range all {
				d.Hold = ""
				peer.drivers.Place(d)
			}
		})
	}
}

// Offer is the courier's: to a socket here, or by a message to the other node.
func (l *life) Offer(ctx context.Context, o dispatch.Offer) error {
	c := l.n.c
	c.mu.Lock()
	c.offers[o.Trip.ID]++
	left, gone := c.left[o.Trip.ID]
	c.mu.Unlock()

	if late := time.Since(left); gone && late > staleAfter {
		c.complain("%s offers trip %s, which waits for nobody since %s", l.n.name, o.Trip.ID, late)
	}
	d, ok := l.drivers.Get(o.Driver)
	if d.Hold != o.ID && d.Trip == "" {
		c.complain("%s offers trip %s to %s, who is held by %q and not by offer %s",
			l.n.name, o.Trip.ID, o.Driver, d.Hold, o.ID)
	}
	if !ok || !d.Connected {
		return dispatch.ErrUnreachable
	}

	if c.troubled.Load() && c.chance(.1) {
		// a publish that hangs, and fails in the end
		select {
		case <-ctx.Done():
		case <-time.After(c.between(time.Millisecond, offerFor)):
		}
		return errors.New("Redis does not answer")
	}

	if d.Node == l.n.name {
		return l.hand(o)
	}

	c.send(func() {
		if l.n.other().now().hand(o) != nil {
			c.send(func() { l.n.now().dispatcher().DriverGone(o.Driver) })
		}
	})
	return nil
}

// Withdraw is the courier's.
func (l *life) Withdraw(_ context.Context, o dispatch.Offer, _ string) {
	if d, ok := l.drivers.Get(o.Driver); ok && d.Node == l.n.name {
		l.drop(o)
	} else if ok {
		l.n.c.send(func() { l.n.other().now().drop(o) })
	}
}

func (l *life) dispatcher() *dispatch.Dispatcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.d
}

// declined goes to the node that made the offer.
func (l *life) declined(o dispatch.Offer) {
	for _, n := range l.n.c.nodes {
		if n.name == o.Node {
			l.n.c.send(func() { n.now().dispatcher().Declined(o.ID, o.Driver) })
		}
	}
}

// hand puts the offer into the inbox and on its way to the phone. Books are
// kept of what the inbox may still give.
func (l *life) hand(o dispatch.Offer) error {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.sessions[o.Driver] == 0 || l.ctx.Err() != nil {
		return dispatch.ErrUnreachable
	}
	l.putLocked(o)
	d := l.n.c.fleet[o.Driver]
	l.n.c.send(func() { d.got(l, o) })
	return nil
}

func (l *life) putLocked(o dispatch.Offer) {
	l.inbox.Put(o)
	old := false
	for id, held := range l.live {
		switch {
		case held.Trip.ID != o.Trip.ID || !time.Now().Before(held.ExpiresAt):
		case held.Epoch > o.Epoch:
			old = true
		case held.Epoch < o.Epoch:
			l.fenced[id] = true
			delete(l.live, id)
		}
	}

	if l.fenced[o.ID] = old; !old {
		l.live[o.ID] = o
	}
}

func (l *life) drop(o dispatch.Offer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inbox.Drop(o.ID)
	delete(l.live, o.ID)
}

// take is a driver's grip at an offer.
func (l *life) take(id trips.DriverID, offer string) (dispatch.Offer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	o, err := l.inbox.Take(id, offer)
	if err != nil {
		return o, err
	}

	switch _, live := l.live[offer]; {
	case l.fenced[offer]:
		l.n.c.complain("%s took offer %s of trip %s, which a newer dispatcher had voided", id, offer, o.Trip.ID)
	case !time.Now().Before(o.ExpiresAt):
		l.n.c.complain("%s took offer %s %s after its end", id, offer, time.Since(o.ExpiresAt))
	case !live:
		l.n.c.complain("%s took offer %s, which was taken or withdrawn before", id, offer)
	}

	delete(l.live, offer)
	return o, nil
}

// searches is how many searches run here.
func (l *life) searches() (float64, error) {
	l.mu.Lock()
	metrics := l.metrics
	l.mu.Unlock()

	found, err := metrics.Gather()
	if err != nil {
		return 0, err
	}

	for _, f := range found {
		if f.GetName() == "ridehail_dispatch_searches" {
			return f.GetMetric()[0].GetGauge().GetValue(), nil
		}
	}

	return 0, fmt.Errorf("%s has no gauge of searches", l.n.name)
}
