package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ridehail/ridehail/trips"
)

// memoryOutbox is an outbox in memory. Its lease keeps the contract's promises.
type memoryOutbox struct {
	mu       sync.Mutex
	messages []trips.OutboxMessage
	next     int64
	holder   string
	until    time.Time
}

func (b *memoryOutbox) addMessage(kind trips.Kind, trip string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	payload, _ := json.Marshal(n)
	b.messages = append(b.messages, trips.OutboxMessage{ID: b.next, Topic: trips.TopicTrip, Region: "here", Kind: kind,
		Trip: trips.TripID(trip), Payload: append([]byte(trip+" "), payload...), At: time.Now()})
}

func (b *memoryOutbox) AcquireLease(_ context.Context, holder string, ttl time.Duration) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	now := time.Now()
	if b.holder != holder && now.Before(b.until) {
		return false, nil
	}
	b.holder, b.until = holder, now.Add(ttl)
	return true, nil
}

func (b *memoryOutbox) PendingMessages(_ context.Context, limit int) ([]trips.OutboxMessage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]trips.OutboxMessage(nil), b.messages[:min(limit, len(b.messages))]...), nil
}

func (b *memoryOutbox) AdvanceCursor(_ context.Context, holder string, last trips.OutboxMessage) error {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.holder != holder || !time.Now().Before(b.until) {
		return errors.New("lease lost")
	}
	for len(b.messages) > 0 && b.messages[0].ID <= last.ID {
		b.messages = b.messages[1:]
	}
	return nil
}

func (b *memoryOutbox) Backlog(context.Context) (int, time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.messages), time.Time{}, nil
}

func (b *memoryOutbox) leaseHolder() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.holder
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

func TestANodeWithoutTheLeaseWakesTheOneThatHasIt(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		e := startListening(t, r.Redis, "ears", "here")
		b := &memoryOutbox{}
		slow := RelayConfig{LeaseTTL: time.Hour, PollInterval: time.Hour}
		slow.Node = "first"
		first := NewRelay(r.Redis, b, slow)
		stop := startWork(t, first.Run)

		waitUntil(t, "the first to lead", func() bool { return b.leaseHolder() == "first" })
		slow.Node, slow.LeaseTTL = "second", 3*time.Second
		second := NewRelay(r.openNode(t), b, slow)
		startWork(t, second.Run)

		waitUntil(t, "the first to hear wakes", func() bool {
			n, err := r.commands.PubSubNumSub(t.Context(), r.wakeChannel()).Result()
			return err == nil && n[r.wakeChannel()] == 2
		})
		b.addMessage(trips.KindReserved, "trip", 1)
		second.Wake()
		if got := receiveFrom(t, "the message", e.heard); e.payloadText(got) != "trip 1" {
			t.Errorf("heard %+v", got)
		}

		stop()
		b.addMessage(trips.KindReserved, "trip", 2)
		second.Wake()
		if got := receiveFrom(t, "the message from the second", e.heard); e.payloadText(got) != "trip 2" {
			t.Errorf("heard %+v", got)
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

	messages, _ := full.PendingMessages(b.Context(), rl.cfg.BatchSize)
	var bare, relayed time.Duration
	for b.Loop() {
		start := time.Now()
		if err := rl.publishBatch(b.Context(), messages); err != nil {
			b.Fatal(err)
		}

		bare += time.Since(start)
		rl.outbox = &memoryOutbox{messages: messages, holder: "a", until: time.Now().Add(time.Hour)}
		rl.leasedAt, rl.isLeader = time.Now(), true
		start = time.Now()
		if err := rl.drain(b.Context()); err != nil {
			b.Fatal(err)
		}

		relayed += time.Since(start)
		if left, _ := rl.outbox.PendingMessages(b.Context(), 1); len(left) != 0 {
			b.Fatal("the relay left messages in the outbox")
		}
	}

	b.ReportMetric(float64(b.N*len(messages))/relayed.Seconds(), "messages/s")
	b.ReportMetric(float64(bare)/float64(relayed), "x_bare_pipeline")
}
