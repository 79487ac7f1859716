package events

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// relaySim is a simulation of an outbox in a database that fails, and a record
// of what was published from it.
type relaySim struct {
	*simWorld
	memoryOutbox

	mu     sync.Mutex     // guards all below; box has its own
	told   map[int64]bool // published messages
	queued map[trips.TripID]bool
	top    map[string]int // the newest that was heard, by trip
	newest map[string]int // the newest that was written, by trip
	nodes  map[string]*machine
	relays map[string]*Relay
}

// The messages of a trip keep their order, none is left out, and the outbox
// deletes only what was published. That holds for nodes that pause and go on,
// for answers that come late, and for nodes whose clocks are wrong.
func TestSimulatedRelaysTellEverythingInOrder(t *testing.T) {
	runSimulation(t, 20, func(w *simWorld) {
		p := &relaySim{simWorld: w, told: map[int64]bool{}, queued: map[trips.TripID]bool{}, top: map[string]int{},
			newest: map[string]int{}, nodes: map[string]*machine{}, relays: map[string]*Relay{}}
		w.seen = p.recordCommand
		names := []string{"a", "b", "c"}
		for _, name := range names {
			p.startNode(name)
		}
		p.injectFaults(names)
		p.endFaults(names)
		p.killHolder()
	})
}

func (p *relaySim) startNode(name string) {
	m := p.bootMachine(name)
	off := p.drawBetween(-5*time.Minute, 5*time.Minute)
	var jump time.Duration // of this process's clock, once, backwards
	after := time.Now().Add(p.drawBetween(0, 4*time.Minute))
	if p.drawChance(.3) {
		jump = p.drawBetween(10*time.Second, 5*time.Minute)
	}

	now := func() time.Time {
		at := time.Now().Add(off)
		if time.Now().After(after) {
			at = at.Add(-jump)
		}
		return at
	}

	// Four messages stay far below the pipe's 4 KB.
	rl := NewRelay(m.r, &flakyOutbox{p, m}, RelayConfig{Node: name, BatchSize: 4, Now: now, ShardHolder: p.wishedHolder,
		Streams: map[trips.Kind]string{trips.KindCompleted: "settlements"}})
	m.startPart(rl.runLoop)
	m.startPart(rl.waker.run)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes[name], p.relays[name] = m, rl
}

// wishedHolder is the same for all nodes, and changes now and then. The node may
// be down.
func (p *relaySim) wishedHolder(shard int) string {
	turn := int(time.Since(p.began) / (40 * time.Second))
	return []string{"a", "b", "c"}[(shard+turn)%3]
}

// writeMessages commits some messages, the last of a trip now and then.
func (p *relaySim) writeMessages() {
	for range 1 + p.drawNumber(6) {
		trip := fmt.Sprint("trip", p.drawNumber(5))
		p.mu.Lock()
		p.newest[trip]++
		n := p.newest[trip]
		p.mu.Unlock()

		kind := trips.KindReserved
		if n%4 == 0 {
			kind = trips.KindCompleted
		}

		p.addMessageIn(location.Region("region of "+trip), kind, trip, n)
	}
}

func (p *relaySim) injectFaults(names []string) {
	for end := time.Now().Add(100 * time.Second); time.Now().Before(end); time.Sleep(p.drawBetween(10*time.Millisecond, 4*time.Second)) {
		p.writeMessages()
		name := names[p.drawNumber(len(names))]
		p.mu.Lock()
		m := p.nodes[name]
		p.mu.Unlock()

		switch p.drawNumber(10) {
		case 0:
			m.crash()
			p.startNode(name)
		case 1:
			m.shutDown()
			m.work.Wait() // two of one name would hold the same lease
			p.startNode(name)
		case 2, 3, 4:
			m.pauseFor(p.drawBetween(10*time.Millisecond, 9*time.Second))
		case 5:
			m.cutLines(p.drawBetween(time.Second, 9*time.Second))
		case 6, 7:
			m.setFaultRate(.3)
		case 8:
			m.setFaultRate(0)
		}
	}
}

// relayLimit is how long the newest message waits at most when nothing fails
// any more: until a dead leader's lease is over, the next node looks, and its
// last backoff ends.
const relayLimit = 3*time.Second + time.Second + 2*time.Second

func (p *relaySim) endFaults(names []string) {
	for _, name := range names {
		p.nodes[name].waitUntilWell() // no other goroutine changes the nodes
	}
	time.Sleep(relayLimit)
	p.checkDelivered("after everything was well again")
}

// killHolder crashes a node that holds shards.
func (p *relaySim) killHolder() {
	for _, name := range p.holders() {
		if name != "" {
			p.nodes[name].crash()
			break
		}
	}

	p.writeMessages()
	time.Sleep(relayLimit)
	p.checkDelivered("after the holder died")
}

func (p *relaySim) checkDelivered(when string) {
	if !p.isEmpty() {
		p.reportViolation("messages wait " + relayLimit.String() + " " + when)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for trip, n := range p.newest {
		if p.top[trip] != n {
			p.reportViolation(fmt.Sprintf("of %s %d was heard %s, want %d", trip, p.top[trip], when, n))
		}
	}
}

// recordCommand records and checks what reaches Redis.
func (p *relaySim) recordCommand(cmd string, args []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case cmd == "XADD":
		p.queued[trips.TripID(args[3])] = true
	case cmd == "PUBLISH" && strings.Contains(args[0], "node:"):
		_, name, _ := strings.Cut(args[0], "node:")
		if m, err := decodeMessage(args[1]); err == nil && p.nodes[name] != nil && !p.nodes[name].isPaused() {
			p.relays[name].OnWake(m.Payload)
		}
	case cmd == "PUBLISH" && strings.Contains(args[0], "region:"):
		var trip string
		var n int
		m, err := decodeMessage(args[1])
		if err == nil {
			_, err = fmt.Sscan(string(m.Payload), &trip, &n)
		}
		if err != nil || n > p.top[trip]+1 {
			p.reportViolation(fmt.Sprintf("%s: %d came after %d, %v", trip, n, p.top[trip], err))
		}

		p.top[trip] = max(p.top[trip], n)
	}
}

// flakyOutbox is one node's connection to the outbox.
type flakyOutbox struct {
	*relaySim
	on *machine
}

// roundTrip is one call. It may fail before it is carried out or after, and a
// paused node makes it when it goes on.
func (h *flakyOutbox) roundTrip(ctx context.Context, do func() error) error {
	h.on.waitWhilePaused()
	h.on.mu.Lock()
	bad, cut := h.on.faultRate, time.Now().Before(h.on.cutUntil)
	h.on.mu.Unlock()

	fate := 4 + h.drawNumber(8)
	if h.drawChance(bad) {
		fate = h.drawNumber(5)
	}
	if cut {
		fate = 1
	}
	if fate == 3 {
		time.Sleep(h.drawBetween(0, 4*time.Second))
	}
	if fate == 1 {
		return errReset
	}
	if err := do(); err != nil {
		return err
	}
	if fate == 2 {
		time.Sleep(h.drawBetween(0, 5*time.Second))
	}

	h.on.waitWhilePaused()
	if fate == 0 {
		return errReset
	}

	return ctx.Err()
}

func (h *flakyOutbox) AcquireShards(ctx context.Context, claim trips.ShardClaim) (holders []string, err error) {
	return holders, h.roundTrip(ctx, func() (err error) { holders, err = h.memoryOutbox.AcquireShards(ctx, claim); return err })
}

// PendingMessages checks that its caller holds the leases, as far as the caller
// can know.
func (h *flakyOutbox) PendingMessages(ctx context.Context, shards []int, limit int) (list []trips.OutboxMessage, err error) {
	for _, shard := range shards {
		if holder := h.holders()[shard]; ctx.Err() == nil && holder != h.on.name {
			h.reportViolation(fmt.Sprintf("%s relays shard %d, though the lease was %q's", h.on.name, shard, holder))
		}
	}
	return list, h.roundTrip(ctx, func() (err error) { list, err = h.memoryOutbox.PendingMessages(ctx, shards, limit); return err })
}

// AdvanceCursor checks that only published messages are deleted, and only by
// the holder of the lease.
func (h *flakyOutbox) AdvanceCursor(ctx context.Context, holder string, told []trips.OutboxMessage) error {
	return h.roundTrip(ctx, func() error {
		holders := h.holders()
		pending, _ := h.memoryOutbox.PendingMessages(ctx, trips.AllShards(h), 1000)
		for _, last := range trips.LastOfShards(told) {
			if holders[last.Shard] == holder {
				h.checkPublished(last, pending)
			}
		}

		err := h.memoryOutbox.AdvanceCursor(ctx, holder, told)
		if err == nil && slices.ContainsFunc(told, func(m trips.OutboxMessage) bool { return holders[m.Shard] != holder }) {
			h.reportViolation(holder + " moved the outbox on without its lease")
		}
		return err
	})
}

// checkPublished checks that the messages of a shard up to the last one that was
// told were published.
func (p *relaySim) checkPublished(last trips.OutboxMessage, pending []trips.OutboxMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range pending {
		var trip string
		var k int
		_, _ = fmt.Sscan(string(n.Payload), &trip, &k) // as add wrote it
		if n.Shard == last.Shard && n.ID <= last.ID && (k > p.top[trip] || n.Kind == trips.KindCompleted && !p.queued[n.Trip]) {
			p.reportViolation(fmt.Sprintf("the outbox forgets message %d of %s before it was published", k, trip))
		}
	}
}
