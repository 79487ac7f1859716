package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/store/faulty"
	"github.com/ridehail/ridehail/trips"
)

// memoryOutbox is an outbox in memory. Its leases keep the contract's promises.
type memoryOutbox struct {
	mu       sync.Mutex
	messages []trips.OutboxMessage
	next     int64
	leases   *faulty.ShardLeases // nil: none was asked for
}

const memoryShards = 4

func (b *memoryOutbox) addMessage(kind trips.Kind, trip string, n int) {
	b.addMessageIn("here", kind, trip, n)
}

func (b *memoryOutbox) addMessageIn(region location.Region, kind trips.Kind, trip string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	payload, _ := json.Marshal(n)
	b.messages = append(b.messages, trips.OutboxMessage{Shard: trips.ShardOf(region, memoryShards), ID: b.next, Topic: trips.TopicTrip,
		Region: region, Kind: kind, Trip: trips.TripID(trip), Payload: append([]byte(trip+" "), payload...), At: time.Now()})
}

func (b *memoryOutbox) ShardCount() int { return memoryShards }

func (b *memoryOutbox) leasesLocked() *faulty.ShardLeases {
	if b.leases == nil {
		b.leases = faulty.NewShardLeases(memoryShards)
	}
	return b.leases
}

func (b *memoryOutbox) AcquireShards(_ context.Context, claim trips.ShardClaim) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leasesLocked().Acquire(claim, time.Now()), nil
}

func (b *memoryOutbox) PendingMessages(_ context.Context, shards []int, limit int) (found []trips.OutboxMessage, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		if len(found) < limit && slices.Contains(shards, m.Shard) {
			found = append(found, m)
		}
	}
	return found, nil
}

func (b *memoryOutbox) AdvanceCursor(_ context.Context, holder string, told []trips.OutboxMessage) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	holders := b.leasesLocked().Holders(time.Now())
	for _, last := range trips.LastOfShards(told) {
		if holders[last.Shard] != holder {
			err = errors.New("lease lost")
			continue
		}
		b.messages = slices.DeleteFunc(b.messages, func(m trips.OutboxMessage) bool { return m.Shard == last.Shard && m.ID <= last.ID })
	}
	return err
}

func (b *memoryOutbox) Backlog(context.Context) (int, time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.messages), time.Time{}, nil
}

// holders returns who holds each shard now.
func (b *memoryOutbox) holders() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leasesLocked().Holders(time.Now())
}

func (b *memoryOutbox) isEmpty() bool { n, _, _ := b.Backlog(context.Background()); return n == 0 }

func TestTheRelayLosesNothingWhileRedisComesAndGoes(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		e := startListening(t, r.Redis, "a", "here")
		b := &memoryOutbox{}

		// The relay has a connection of its own, so that the listener misses
		// nothing.
		wire := newTestProxy(t, r.proxy.target())
		node := (&rig{prefix: r.prefix, url: wire.url(0)}).openNode(t)
		rl := NewRelay(node, b, RelayConfig{Node: "a", BatchSize: 7, Streams: map[trips.Kind]string{trips.KindCompleted: "settlements"}})
		startWork(t, rl.Run)
		const all, each = 20, 30
		for n := 1; n <= each; n++ {
			for trip := range all {
				kind := trips.KindReserved
				if n == each {
					kind = trips.KindCompleted
				}
				b.addMessage(kind, fmt.Sprint("trip", trip), n)
			}
			rl.Wake()

			switch n {
			case 5, 25:
				waitUntil(t, "the relay to be at work", func() bool { return testutil.ToFloat64(node.metrics.relayed) > float64(n) })
				wire.cutAll()
			case 10:
				waitUntil(t, "a relay in good health", b.isEmpty)
				wire.takeDown()
			case 20:
				waitUntil(t, "the relay to fail", func() bool { return testutil.ToFloat64(node.metrics.relayFailed.WithLabelValues("redis")) > 1 })
				wire.bringUp()
			}
		}

		waitUntil(t, "an empty outbox", b.isEmpty)
		jobs, err := r.commands.XRange(t.Context(), r.streamKey("settlements"), "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}

		seen := map[string]bool{}
		for _, j := range jobs {
			seen[readField(j, fieldID)] = true
		}
		if len(seen) != all {
			t.Errorf("%d trips queued for settlement, want %d", len(seen), all)
		}
		checkOrder(t, e, all, each)
		if n := countRelayed(node, "after_outage"); n == 0 || n+countRelayed(node, "at_once") != all*each {
			t.Errorf("of %d messages %v were published after an outage, %v at once", all*each, n, countRelayed(node, "at_once"))
		}
	})
}

// countRelayed counts the trip events that a relay published.
func countRelayed(r *Redis, outcome string) float64 {
	return testutil.ToFloat64(r.metrics.relayedMessages.WithLabelValues(string(trips.TopicTrip), outcome))
}

// TestAMessageIsCountedAsRepeatedWhenTheOutboxKeepsIt lets the database fail
// after Redis has taken a message.
func TestAMessageIsCountedAsRepeatedWhenTheOutboxKeepsIt(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		b := &forgetfulOutbox{memoryOutbox: &memoryOutbox{}}
		b.failures.Store(2)
		b.addMessage(trips.KindReserved, "trip", 1)
		startWork(t, NewRelay(r.Redis, b, RelayConfig{Node: "a"}).Run)
		waitUntil(t, "an empty outbox", b.isEmpty)
		waitUntil(t, "all to be counted", func() bool { return countRelayed(r.Redis, "at_once")+countRelayed(r.Redis, "after_outage") == 1 })
		if n := countRelayed(r.Redis, "repeated"); n != 2 {
			t.Errorf("%v were published in vain, want 2", n)
		}
	})
}

// forgetfulOutbox does not keep how far the relay is for the first few times.
type forgetfulOutbox struct {
	*memoryOutbox
	failures atomic.Int32
}

func (b *forgetfulOutbox) AdvanceCursor(ctx context.Context, holder string, told []trips.OutboxMessage) error {
	if b.failures.Add(-1) >= 0 {
		return errors.New("the database is away")
	}
	return b.memoryOutbox.AdvanceCursor(ctx, holder, told)
}

// TestAMessageThatRedisDoesNotTakeIsCounted publishes while Redis is away.
func TestAMessageThatRedisDoesNotTakeIsCounted(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		cars := []Addressed{{To: "car:dayo", Message: Message{Topic: "car"}}, {To: "car:chidi", Message: Message{Topic: "car"}}}
		if err := r.PublishAll(t.Context(), cars); err != nil {
			t.Fatal(err)
		}
		r.proxy.takeDown()
		if r.PublishAll(t.Context(), cars) == nil {
			t.Error("it was published")
		}
		r.proxy.bringUp()
		taken, lost := testutil.ToFloat64(r.metrics.published.WithLabelValues("car")), testutil.ToFloat64(r.metrics.publishFailed.WithLabelValues("car"))
		if taken != 2 || lost != 2 {
			t.Errorf("%v were taken and %v lost, want 2 and 2", taken, lost)
		}
	})
}

// checkOrder checks that all messages of every trip came, and in order, apart
// from repeats.
func checkOrder(t *testing.T, e recorder, all, each int) {
	t.Helper()
	top := map[string]int{}
	for done := 0; done < all; {
		h := receiveFrom(t, "all messages", e.heard)
		var trip string
		var n int
		if _, err := fmt.Sscan(e.payloadText(h), &trip, &n); err != nil || h.gap != "" {
			t.Fatalf("heard %+v: %v", h, err)
		}
		if n > top[trip]+1 {
			t.Fatalf("%s: %d came after %d", trip, n, top[trip])
		}
		if n == each && top[trip] < each {
			done++
		}
		top[trip] = max(top[trip], n)
	}
}

// wokenBy hands the wake-ups of a node's channel to its relay.
type wokenBy struct{ *Relay }

func (w wokenBy) OnMessage(m Message) {
	if m.Topic == TopicWake {
		w.OnWake(m.Payload)
	}
}

func (wokenBy) OnGap(Gap) {}

// startRelay runs a relay and the listener that wakes it.
func startRelay(t *testing.T, r *Redis, box trips.Outbox, cfg RelayConfig) (rl *Relay, stop func()) {
	t.Helper()
	rl = NewRelay(r, box, cfg)
	heard := make(chan struct{})
	l := r.NewListener(ListenerConfig{Name: "news", Node: cfg.Node, Handler: subscribedFirst{wokenBy{rl}, sync.OnceFunc(func() { close(heard) })}})
	startWork(t, l.Run)
	receiveFrom(t, "the subscription of "+cfg.Node, heard)
	return rl, startWork(t, rl.Run)
}

// subscribedFirst calls a function with the first gap.
type subscribedFirst struct {
	wokenBy
	onGap func()
}

func (s subscribedFirst) OnGap(Gap) { s.onGap() }

func TestACommitWakesTheNodeThatHoldsTheShard(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		e := startListening(t, r.Redis, "ears", "here")
		b := &memoryOutbox{}
		slow := RelayConfig{LeaseTTL: time.Hour, PollInterval: time.Hour}
		slow.Node = "first"
		_, stop := startRelay(t, r.Redis, b, slow)

		waitUntil(t, "the first to hold all", func() bool { return slices.Equal(b.holders(), []string{"first", "first", "first", "first"}) })
		slow.Node = "second"
		second, _ := startRelay(t, r.openNode(t), b, slow)
		waitUntil(t, "the second to know that", func() bool { return second.waker.holderOf(0) == "first" })

		b.addMessage(trips.KindReserved, "trip", 1)
		second.WakeHolder("here")
		if got := receiveFrom(t, "the message", e.heard); e.payloadText(got) != "trip 1" {
			t.Errorf("heard %+v", got)
		}

		stop()
		b.addMessage(trips.KindReserved, "trip", 2)
		second.Wake() // it should hold all shards, so it asks for them at once
		if got := receiveFrom(t, "the message from the second", e.heard); e.payloadText(got) != "trip 2" {
			t.Errorf("heard %+v", got)
		}
	})
}

// A node of an earlier build knows no shards: what would be its own stays where
// it is.
func TestNodesShareTheShards(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		b := &memoryOutbox{}
		cfg := RelayConfig{LeaseTTL: 100 * time.Millisecond, ShardHolder: func(shard int) string { return []string{"a", "b", "a", "earlier"}[shard] }}
		cfg.Node = "a"
		startRelay(t, r.Redis, b, cfg)
		waitUntil(t, "a to hold all", func() bool { return slices.Equal(b.holders(), []string{"a", "a", "a", "a"}) })

		cfg.Node = "b"
		_, stop := startRelay(t, r.openNode(t), b, cfg)
		waitUntil(t, "each to hold its own", func() bool { return slices.Equal(b.holders(), []string{"a", "b", "a", "a"}) })
		stop()
		waitUntil(t, "a to hold all again", func() bool { return slices.Equal(b.holders(), []string{"a", "a", "a", "a"}) })
	})
}

// A stream that is none refuses its jobs, as a master that is gone would in a
// cluster.
func TestAMessageThatRedisRefusesHoldsUpItsShardOnly(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		e := startListening(t, r.Redis, "ears", "news")
		b := &memoryOutbox{}
		if err := r.commands.Set(t.Context(), r.streamKey("settlements"), "no stream", 0).Err(); err != nil {
			t.Fatal(err)
		}

		const stuck, free = location.Region("region-0"), location.Region("region-1")
		if trips.ShardOf(stuck, memoryShards) == trips.ShardOf(free, memoryShards) {
			t.Fatal("the regions are in one shard")
		}
		b.addMessageIn(stuck, trips.KindReserved, "stuck", 1)
		b.addMessageIn(stuck, trips.KindCompleted, "stuck", 2)
		b.addMessageIn(stuck, trips.KindReserved, "behind", 1)
		b.addMessageIn(free, trips.KindReserved, "free", 1)
		rl := NewRelay(r.Redis, b, RelayConfig{Node: "a", BatchSize: 4, PollInterval: time.Hour,
			Audience: func(trips.OutboxMessage) []Channel { return []Channel{"user:rider:ada", OldRegionChannel("news")} },
			Streams:  map[trips.Kind]string{trips.KindCompleted: "settlements"}})
		startWork(t, rl.Run)

		left := func() (all []string) {
			found, _ := b.PendingMessages(t.Context(), trips.AllShards(b), 9)
			for _, m := range found {
				all = append(all, string(m.Payload))
			}
			return all
		}
		waitUntil(t, "all to be told but two", func() bool { return slices.Equal(left(), []string{"stuck 2", "behind 1"}) })
		b.addMessageIn(free, trips.KindReserved, "free", 2)
		rl.WakeHolder(free)
		waitUntil(t, "news of the other shard to go on", func() bool { return slices.Equal(left(), []string{"stuck 2", "behind 1"}) })

		if err := r.commands.Del(t.Context(), r.streamKey("settlements")).Err(); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "the rest to be told", b.isEmpty)
		if first := e.payloadText(receiveFrom(t, "a message", e.heard)); first != "stuck 1" {
			t.Errorf("heard %q first", first)
		}
	})
}

// BenchmarkRelay compares the relay (read, publish and delete in batches) with
// publishing alone.
func BenchmarkRelay(b *testing.B) {
	r, err := OpenEmbedded()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()

	rl, full := NewRelay(r, &memoryOutbox{}, RelayConfig{Node: "a"}), &memoryOutbox{}
	for n := range rl.cfg.BatchSize {
		full.addMessage(trips.KindReserved, "trip", n)
	}

	messages, _ := full.PendingMessages(b.Context(), trips.AllShards(full), rl.cfg.BatchSize)
	shard := trips.ShardOf("here", memoryShards)
	rl.shards[shard].isHeld = true
	var bare, relayed time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := rl.publishBatch(b.Context(), messages); err != nil {
			b.Fatal(err)
		}

		bare += time.Since(start)
		box := &memoryOutbox{messages: slices.Clone(messages)}
		_, _ = box.AcquireShards(b.Context(), trips.ShardClaim{Holder: "a", TTL: time.Hour})
		rl.outbox, rl.leasedAt = box, time.Now()
		start = time.Now()
		if err := rl.drain(b.Context()); err != nil {
			b.Fatal(err)
		}

		relayed += time.Since(start)
		if left, _ := rl.outbox.PendingMessages(b.Context(), trips.AllShards(box), 1); len(left) != 0 {
			b.Fatal("the relay left messages in the outbox")
		}
	}

	b.ReportMetric(float64(b.N*len(messages))/relayed.Seconds(), "messages/s")
	b.ReportMetric(float64(bare)/float64(relayed), "x_bare_pipeline")
}
