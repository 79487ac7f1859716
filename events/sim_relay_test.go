package events

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// post is an outbox in a database that fails, and the books of what came out of
// it.
type post struct {
	*world
	box

	mu     sync.Mutex     // guards all below; box has its own
	told   map[int64]bool // published
	queued map[trips.TripID]bool
	top    map[string]int // the newest that was heard, by trip
	newest map[string]int // the newest that was written, by trip
	nodes  map[string]*machine
}

// The order of a trip's notices holds, none is passed over, and what the outbox
// forgets was told; whoever stops in the midst of it and goes on, however late
// answers come, and whatever the clocks of the nodes say.
func TestSimulatedRelaysTellEverythingInOrder(t *testing.T) {
	simulate(t, 20, func(w *world) {
		p := &post{world: w, told: map[int64]bool{}, queued: map[trips.TripID]bool{}, top: map[string]int{},
			newest: map[string]int{}, nodes: map[string]*machine{}}
		w.seen = p.hear
		names := []string{"a", "b", "c"}
		for _, name := range names {
			p.start(name)
		}
		p.trouble(names)
		p.heal(names)
		p.takeOver(names)
	})
}

func (p *post) start(name string) {
	m := p.boot(name)
	off := p.between(-5*time.Minute, 5*time.Minute)
	var jump time.Duration // of this process's clock, once, backwards
	after := time.Now().Add(p.between(0, 4*time.Minute))
	if p.chance(.3) {
		jump = p.between(10*time.Second, 5*time.Minute)
	}

	now := func() time.Time {
		at := time.Now().Add(off)
		if time.Now().After(after) {
			at = at.Add(-jump)
		}
		return at
	}

	// four are far below 4 KB
	rl := NewRelay(m.r, &hand{p, m}, RelayConfig{Node: name, Batch: 4, Now: now,
		Streams: map[trips.Kind]string{trips.KindCompleted: "settlements"}})
	m.run(func(ctx context.Context) error { return rl.work(ctx, nil) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes[name] = m
}

// write commits some notices, the last of a trip now and then.
func (p *post) write() {
	for range 1 + p.number(6) {
		trip := fmt.Sprint("trip", p.number(5))
		p.mu.Lock()
		p.newest[trip]++
		n := p.newest[trip]
		p.mu.Unlock()

		kind := trips.KindReserved
		if n%4 == 0 {
			kind = trips.KindCompleted
		}

		p.add(kind, trip, n)
	}
}

func (p *post) trouble(names []string) {
	for end := time.Now().Add(100 * time.Second); time.Now().Before(end); time.Sleep(p.between(10*time.Millisecond, 4*time.Second)) {
		p.write()
		name := names[p.number(len(names))]
		p.mu.Lock()
		m := p.nodes[name]
		p.mu.Unlock()

		switch p.number(10) {
		case 0:
			m.die()
			p.start(name)
		case 1:
			m.end()
			m.work.Wait() // two of one name would hold the same lease
			p.start(name)
		case 2, 3, 4:
			m.pause(p.between(10*time.Millisecond, 9*time.Second))
		case 5:
			m.cut(p.between(time.Second, 9*time.Second))
		case 6, 7:
			m.trouble(.3)
		case 8:
			m.trouble(0)
		}
	}
}

// telling is how long the newest notice waits at most when nothing fails any
// more: until the lease of one who died is over, the next node looks, and its
// last backoff ends.
const telling = 3*time.Second + time.Second + 2*time.Second

func (p *post) heal(names []string) {
	for _, name := range names {
		p.nodes[name].recover() // nobody else changes the nodes
	}
	time.Sleep(telling)
	p.done("after everything was well again")
}

// takeOver ends the process of the node that holds the lease.
func (p *post) takeOver(names []string) {
	for _, name := range names {
		if p.leader() == name {
			p.nodes[name].die()
		}
	}

	p.write()
	time.Sleep(telling)
	p.done("after the holder died")
}

func (p *post) done(when string) {
	if !p.empty() {
		p.complain("notices wait " + telling.String() + " " + when)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for trip, n := range p.newest {
		if p.top[trip] != n {
			p.complain(fmt.Sprintf("of %s %d was heard %s, want %d", trip, p.top[trip], when, n))
		}
	}
}

// hear keeps books of what reaches Redis.
func (p *post) hear(cmd string, args []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case cmd == "XADD":
		p.queued[trips.TripID(args[3])] = true
	case cmd == "PUBLISH" && strings.Contains(args[0], "region:"):
		var trip string
		var n int
		m, err := decode([]byte(args[1]))
		if err == nil {
			_, err = fmt.Sscan(string(m.Payload), &trip, &n)
		}
		if err != nil || n > p.top[trip]+1 {
			p.complain(fmt.Sprintf("%s: %d came after %d, %v", trip, n, p.top[trip], err))
		}

		p.top[trip] = max(p.top[trip], n)
	}
}

// hand is one node's way to the outbox.
type hand struct {
	*post
	on *machine
}

// call is one round trip: it may fail before it is done or after, and a node
// that is stopped makes it when it goes on.
func (h *hand) call(ctx context.Context, do func() error) error {
	h.on.wait()
	h.on.mu.Lock()
	bad, cut := h.on.bad, time.Now().Before(h.on.whole)
	h.on.mu.Unlock()

	fate := 4 + h.number(8)
	if h.chance(bad) {
		fate = h.number(5)
	}
	if cut {
		fate = 1
	}
	if fate == 3 {
		time.Sleep(h.between(0, 4*time.Second))
	}
	if fate == 1 {
		return errReset
	}
	if err := do(); err != nil {
		return err
	}
	if fate == 2 {
		time.Sleep(h.between(0, 5*time.Second))
	}

	h.on.wait()
	if fate == 0 {
		return errReset
	}
	return ctx.Err()
}

func (h *hand) Lease(ctx context.Context, holder string, ttl time.Duration) (got bool, err error) {
	return got, h.call(ctx, func() (err error) { got, err = h.box.Lease(ctx, holder, ttl); return err })
}

// Pending is asked by the holder only, as far as it can know.
func (h *hand) Pending(ctx context.Context, limit int) (list []trips.Notice, err error) {
	h.box.mu.Lock()
	holder, until := h.box.holder, h.box.until
	h.box.mu.Unlock()
	if ctx.Err() == nil && (holder != h.on.name || !time.Now().Before(until)) {
		h.complain(fmt.Sprintf("%s relays, though the lease was %s's until %s ago", h.on.name, holder, time.Since(until)))
	}
	return list, h.call(ctx, func() (err error) { list, err = h.box.Pending(ctx, limit); return err })
}

// Advance forgets what was told, and only that, and for the holder of the lease
// only.
func (h *hand) Advance(ctx context.Context, holder string, last trips.Notice) error {
	return h.call(ctx, func() error {
		pending, _ := h.box.Pending(ctx, 1000)
		h.box.mu.Lock()
		lost := h.box.holder != holder || !time.Now().Before(h.box.until)
		h.box.mu.Unlock()

		if lost {
			err := h.box.Advance(ctx, holder, last)
			if err == nil {
				h.complain(holder + " moved the outbox on without its lease")
			}
			return err
		}

		h.mu.Lock()
		for _, n := range pending {
			var trip string
			var k int
			_, _ = fmt.Sscan(string(n.Payload), &trip, &k) // as add wrote it
			if n.ID <= last.ID && (k > h.top[trip] || n.Kind == trips.KindCompleted && !h.queued[n.Trip]) {
				h.complain(fmt.Sprintf("the outbox forgets notice %d of %s before it was told", k, trip))
			}
		}
		h.mu.Unlock()
		return h.box.Advance(ctx, holder, last)
	})
}
