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

// simNode is one server. A crash loses its process. A new process follows under
// the old name.
type simNode struct {
	city       *simCity
	name       string
	ownsRegion atomic.Bool // It thinks that the region is its own.

	mu      sync.Mutex // Guards all below.
	process *simProcess
}

// simProcess is what a process holds in memory.
type simProcess struct {
	node          *simNode
	drivers       *sharedstate.Drivers
	inbox         *dispatch.Inbox
	dispatcherNow *dispatch.Dispatcher
	metrics       *prometheus.Registry
	ctx           context.Context
	stop          context.CancelFunc
	done          chan struct{}

	// mu guards all below. It is held during calls of the inbox, so that their
	// order is known.
	mu           sync.Mutex
	sessions     map[trips.DriverID]int
	liveOffers   map[string]dispatch.Offer // That may be taken.
	fencedOffers map[string]bool           // Voided by a newer dispatcher.
}

// startProcess starts a new process.
func (n *simNode) startProcess() {
	l := &simProcess{node: n, inbox: dispatch.NewInbox(time.Now), done: make(chan struct{}), metrics: prometheus.NewRegistry(),
		drivers:  sharedstate.NewDrivers(sharedstate.DriverOptions{SuspectAfter: 1000 * time.Hour, Shards: 4}),
		sessions: map[trips.DriverID]int{}, liveOffers: map[string]dispatch.Offer{}, fencedOffers: map[string]bool{}}
	l.ctx, l.stop = context.WithCancel(n.city.ctx)
	n.mu.Lock()
	n.process = l
	n.mu.Unlock()

	l.startDispatcher()
	n.city.wg.Go(func() { l.resyncUntilKnown() })
	n.city.wg.Go(l.replicateDrivers)
}

// startDispatcher starts a dispatcher in the process.
func (l *simProcess) startDispatcher() {
	c := l.node.city
	l.metrics = prometheus.NewRegistry()
	d := dispatch.New(dispatch.Config{Node: l.node.name, Trips: c.service, Store: c.store, Drivers: l.drivers, Transport: l,
		OwnsRegion: func(location.Region) bool { return l.node.ownsRegion.Load() }, Policy: c.policy(),
		Rules:     dispatch.Rules{OfferTimeout: offerFor, GiveUpAfter: giveUpAfter, RetryEvery: c.drawDuration(time.Second, 4*time.Second)},
		ScanEvery: c.drawDuration(2*time.Second, 15*time.Second),
		Epoch:     uint64(time.Now().UnixNano()), Log: discardLog, Registerer: l.metrics})

	l.mu.Lock()
	l.dispatcherNow = d
	l.mu.Unlock()

	done := make(chan struct{})
	l.done = done

	c.wg.Go(func() {
		if err := d.Run(l.ctx); err != nil {
			c.reportViolation("%s: Run ended with %v", l.node.name, err)
		}
		close(done)
	})
}

func (n *simNode) currentProcess() *simProcess {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process
}

func (n *simNode) otherNode() *simNode {
	if n.city.nodes[0] == n {
		return n.city.nodes[1]
	}
	return n.city.nodes[0]
}

// stopWithin bounds how long a dispatcher takes to stop: two withdrawals of a
// second each, one after the other.
const stopWithin = 2 * time.Second

// staleAfter bounds how long a trip that is no longer open is still offered
// when that event was lost. The next scan must see it, as soon as the store can
// be read.
const staleAfter = 90 * time.Second

// crashAndRestart loses the node's memory and sockets, and starts a new
// process.
func (n *simNode) crashAndRestart() {
	l, began := n.currentProcess(), time.Now()
	l.stop()
	<-l.done
	if took := time.Since(began); took > stopWithin {
		n.city.reportViolation("the dispatcher of %s took %s to stop", n.name, took)
	}
	n.city.pause(n.city.drawDuration(time.Second, 20*time.Second))
	peer := n.otherNode().currentProcess()
	lost := peer.drivers.DriversOf(n.name, nil)
	for _, d := range lost {
		peer.drivers.Disconnect(d.ID, n.name)
	}
	n.startProcess()
}

// deliverEvent receives a trip's event from Redis.
func (n *simNode) deliverEvent(ev trips.Event) {
	l := n.currentProcess()
	l.drivers.Follow(ev.Trip)
	l.mu.Lock()
	d := l.dispatcherNow
	l.mu.Unlock()
	d.Hint(ev)
}

// resyncUntilKnown reads which drivers are on a trip, after messages may have
// been lost. It repeats until the store answers.
func (l *simProcess) resyncUntilKnown() {
	follower := sharedstate.NewTripFollower(l.drivers, l.node.city.store, l.node.name, discardLog)
	for l.ctx.Err() == nil && follower.Resync(l.ctx) != nil {
		l.node.city.pause(time.Second)
	}
}

// replicateDrivers sends this node's drivers to the other node, always all of
// them.
func (l *simProcess) replicateDrivers() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(30 * time.Second):
		}

		all := l.drivers.DriversOf(l.node.name, nil)
		l.node.city.sendMessage(func() {
			peer := l.node.otherNode().currentProcess()
			for _, d := range all {
				d.Hold = ""
				peer.drivers.ApplyReplica(d)
			}
		})
	}
}

// SendOffer implements dispatch.OfferTransport: it hands the offer to a socket
// here, or sends a message to the other node.
func (l *simProcess) SendOffer(ctx context.Context, o dispatch.Offer) error {
	c := l.node.city
	c.mu.Lock()
	c.offers[o.Trip.ID]++
	left, gone := c.noLongerOpen[o.Trip.ID]
	c.mu.Unlock()

	if late := time.Since(left); gone && late > staleAfter {
		c.reportViolation("%s offers trip %s, which is no longer open since %s", l.node.name, o.Trip.ID, late)
	}
	d, ok := l.drivers.Get(o.Driver)
	if d.Hold != o.ID && d.Trip == "" {
		c.reportViolation("%s offers trip %s to %s, who is held by %q and not by offer %s",
			l.node.name, o.Trip.ID, o.Driver, d.Hold, o.ID)
	}
	if !ok || !d.Connected {
		return dispatch.ErrUnreachable
	}

	if c.isTroubled.Load() && c.drawChance(.1) {
		// A publish that hangs and fails in the end.
		select {
		case <-ctx.Done():
		case <-time.After(c.drawDuration(time.Millisecond, offerFor)):
		}
		return errors.New("Redis does not answer")
	}

	if d.Node == l.node.name {
		return l.handOffer(o)
	}

	c.sendMessage(func() {
		if l.node.otherNode().currentProcess().handOffer(o) != nil {
			c.sendMessage(func() { l.node.currentProcess().currentDispatcher().OnDriverGone(o.Driver) })
		}
	})
	return nil
}

// WithdrawOffer implements dispatch.OfferTransport.
func (l *simProcess) WithdrawOffer(_ context.Context, o dispatch.Offer, _ string) {
	if d, ok := l.drivers.Get(o.Driver); ok && d.Node == l.node.name {
		l.dropOffer(o)
	} else if ok {
		l.node.city.sendMessage(func() { l.node.otherNode().currentProcess().dropOffer(o) })
	}
}

func (l *simProcess) currentDispatcher() *dispatch.Dispatcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dispatcherNow
}

// forwardDecline tells the node that made the offer.
func (l *simProcess) forwardDecline(o dispatch.Offer) {
	for _, n := range l.node.city.nodes {
		if n.name == o.Node {
			l.node.city.sendMessage(func() { n.currentProcess().currentDispatcher().OnOfferDeclined(o.ID, o.Driver) })
		}
	}
}

// handOffer puts the offer into the inbox and sends it to the phone. It keeps
// account of what the inbox may still give out.
func (l *simProcess) handOffer(o dispatch.Offer) error {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.sessions[o.Driver] == 0 || l.ctx.Err() != nil {
		return dispatch.ErrUnreachable
	}
	l.putOfferLocked(o)
	d := l.node.city.fleet[o.Driver]
	l.node.city.sendMessage(func() { d.receiveOffer(l, o) })
	return nil
}

func (l *simProcess) putOfferLocked(o dispatch.Offer) {
	l.inbox.Put(o)
	old := false
	for id, held := range l.liveOffers {
		switch {
		case held.Trip.ID != o.Trip.ID || !time.Now().Before(held.ExpiresAt):
		case held.Epoch > o.Epoch:
			old = true
		case held.Epoch < o.Epoch:
			l.fencedOffers[id] = true
			delete(l.liveOffers, id)
		}
	}

	if l.fencedOffers[o.ID] = old; !old {
		l.liveOffers[o.ID] = o
	}
}

func (l *simProcess) dropOffer(o dispatch.Offer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inbox.Drop(o.ID)
	delete(l.liveOffers, o.ID)
}

// takeOffer takes an offer for a driver, and checks that the inbox may give it
// out.
func (l *simProcess) takeOffer(id trips.DriverID, offer string) (dispatch.Offer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	o, err := l.inbox.Take(id, offer)
	if err != nil {
		return o, err
	}

	switch _, live := l.liveOffers[offer]; {
	case l.fencedOffers[offer]:
		l.node.city.reportViolation("%s took offer %s of trip %s, which a newer dispatcher had voided", id, offer, o.Trip.ID)
	case !time.Now().Before(o.ExpiresAt):
		l.node.city.reportViolation("%s took offer %s %s after its end", id, offer, time.Since(o.ExpiresAt))
	case !live:
		l.node.city.reportViolation("%s took offer %s, which was taken or withdrawn before", id, offer)
	}

	delete(l.liveOffers, offer)
	return o, nil
}

// countSearches returns how many searches run here.
func (l *simProcess) countSearches() (float64, error) {
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

	return 0, fmt.Errorf("%s has no gauge of searches", l.node.name)
}
