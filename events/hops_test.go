package events

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// openTraced returns a node's client that records the hops of all trips.
func (r *rig) openTraced(t testing.TB, node, url string) (*Redis, *tracing.Ring) {
	t.Helper()
	tracer, err := tracing.New(t.Context(), tracing.Config{Node: node, Ratio: 1, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), url, WithPrefix(r.prefix), WithLog(slog.New(slog.DiscardHandler)), WithTracer(tracer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close(); _ = tracer.Close(context.Background()) })
	return n, tracer.Ring()
}

// addPayload adds a message as a store writes it.
func (b *memoryOutbox) addPayload(t testing.TB, topic trips.Topic, kind trips.Kind, trip trips.TripID, payload any) {
	t.Helper()
	text, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	const region = location.Region("here")
	b.messages = append(b.messages, trips.OutboxMessage{Shard: trips.ShardOf(region, memoryShards), ID: b.next, Topic: topic,
		Region: region, Kind: kind, Trip: trip, Payload: text, At: time.Now()})
}

func (b *memoryOutbox) addEvent(t testing.TB, kind trips.Kind, trip trips.TripID, seq uint32) {
	t.Helper()
	b.addPayload(t, trips.TopicTrip, kind, trip, trips.Event{Kind: kind, Trip: trips.Trip{ID: trip, Version: seq}})
}

// named returns the hops of a trip with a name.
func named(r *tracing.Ring, trip trips.TripID, name string) (found []tracing.Recorded) {
	for _, h := range r.HopsOf(string(trip)) {
		if h.Name == name {
			found = append(found, h)
		}
	}
	return found
}

func newTrip() trips.TripID { return trips.TripID(uuid.NewString()) }

func TestAMessageIsFollowedFromItsCommitToItsPublishing(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		node, ring := r.openTraced(t, "a", r.url)
		b, trip, other := &memoryOutbox{}, newTrip(), newTrip()
		b.addEvent(t, trips.KindCompleted, trip, 5)
		b.addEvent(t, trips.KindRequested, other, 1)
		b.addPayload(t, trips.TopicChat, "", trip, map[string]any{"trip": trip, "seq": 7})
		b.addPayload(t, trips.TopicReceipt, "", trip, map[string]any{"trip": trip})
		rl := NewRelay(node, b, RelayConfig{Node: "a", Streams: map[trips.Kind]string{trips.KindCompleted: "settlements"}})
		stop := startWork(t, rl.Run)
		waitUntil(t, "an empty outbox", b.isEmpty)
		stop()

		type step struct {
			name, key, cause string
			phase            tracing.Phase
			nth              int
		}
		var got []step
		for _, h := range ring.HopsOf(string(trip)) {
			got = append(got, step{h.Name, h.Key, h.Cause, h.Phase, h.Nth})
			if h.Batch != 4 || h.Failed {
				t.Errorf("hop %+v", h)
			}
		}
		for _, want := range []step{
			{"outbox_wait", "", "commit:event:5", tracing.Complete, 0}, {"publish", "publish:event:5", "commit:event:5", tracing.Complete, 0},
			{"outbox_wait", "", "commit:chat:7", tracing.Chat, 7}, {"publish", "publish:chat:7", "commit:chat:7", tracing.Chat, 7},
			{"outbox_wait", "", "commit:receipt", tracing.Receipt, 0}, {"publish", "publish:receipt", "commit:receipt", tracing.Receipt, 0},
			{"job_added", "job", "commit:event:5", tracing.Charge, 0},
		} {
			if !slices.Contains(got, want) {
				t.Errorf("no hop %+v in %+v", want, got)
			}
		}
		if a, b := named(ring, trip, "publish"), named(ring, other, "publish"); len(got) != 7 || len(b) != 1 || a[0].Span != b[0].Span {
			t.Errorf("%d hops; the round trip of both: %+v, %+v", len(got), a, b)
		}
	})
}

func TestARedisThatIsAwayIsOneFailedHopAndOneThatSaysHowLong(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		wire := newTestProxy(t, r.proxy.target())
		node, ring := r.openTraced(t, "a", wire.url(0))
		b, trip, late := &memoryOutbox{}, newTrip(), newTrip()
		rl := NewRelay(node, b, RelayConfig{Node: "a"})
		stop := startWork(t, rl.Run)
		waitUntil(t, "the relay to hold the shard", func() bool { return b.holders()[trips.ShardOf("here", memoryShards)] == "a" })
		wire.takeDown()
		b.addEvent(t, trips.KindRequested, trip, 1)
		b.addEvent(t, trips.KindReserved, trip, 2)
		rl.Wake()
		failures := node.metrics.relayFailed.WithLabelValues("redis")
		waitUntil(t, "the relay to fail again and again", func() bool { return testutil.ToFloat64(failures) > 2 })
		b.addEvent(t, trips.KindRequested, late, 1) // nothing is read in an outage
		wire.bringUp()
		waitUntil(t, "an empty outbox", b.isEmpty)
		stop()

		if waits := named(ring, trip, "outbox_wait"); len(waits) != 2 {
			t.Errorf("waited %+v", waits)
		}
		published, failed := named(ring, trip, "publish"), 0
		for _, h := range published {
			switch {
			case h.Failed:
				failed++
				if h.Key != "" || h.Code != "unavailable" {
					t.Errorf("failed: %+v", h)
				}
			case h.Code != "late" || !strings.Contains(h.Reason, "until Redis took it"):
				t.Errorf("published: %+v", h)
			}
		}
		if len(published) != 3 || failed != 1 {
			t.Errorf("%d hops, %d failed: %+v", len(published), failed, published)
		}
		if waits := named(ring, late, "outbox_wait"); len(waits) != 1 || waits[0].Code != "redis_away" {
			t.Errorf("what came in the outage waited: %+v", waits)
		}
	})
}

func TestARefusedMessageAndWhatIsBehindItArePublishedOnceMore(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		node, ring := r.openTraced(t, "a", r.url)
		if err := r.commands.Set(t.Context(), r.streamKey("settlements"), "no stream", 0).Err(); err != nil {
			t.Fatal(err)
		}
		b, trip, behind := &memoryOutbox{}, newTrip(), newTrip()
		b.addEvent(t, trips.KindCompleted, trip, 5)
		b.addEvent(t, trips.KindRequested, behind, 1)
		rl := NewRelay(node, b, RelayConfig{Node: "a", Streams: map[trips.Kind]string{trips.KindCompleted: "settlements"}})
		stop := startWork(t, rl.Run)
		waitUntil(t, "a refusal", func() bool { return testutil.ToFloat64(node.metrics.relayFailed.WithLabelValues("redis")) > 1 })
		if err := r.commands.Del(t.Context(), r.streamKey("settlements")).Err(); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "an empty outbox", b.isEmpty)
		stop()

		jobs, keyed := named(ring, trip, "job_added"), 0
		if len(jobs) != 2 || !jobs[0].Failed || jobs[0].Code != "refused" || jobs[1].Key != "job" {
			t.Errorf("jobs %+v", jobs)
		}
		published := named(ring, behind, "publish")
		for _, h := range published {
			if h.Key != "" {
				keyed++
			} else if h.Code != "again" {
				t.Errorf("published %+v", h)
			}
		}
		if len(published) < 2 || keyed != 1 {
			t.Errorf("published %+v", published)
		}
	})
}

func TestARelayThatTakesOverFromADeadOneSaysSo(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		node, ring := r.openTraced(t, "b", r.url)
		b, trip := &memoryOutbox{}, newTrip()
		const lease = 300 * time.Millisecond
		all := trips.AllShards(b)
		if _, err := b.AcquireShards(t.Context(), trips.ShardClaim{Holder: "a", Wished: all, TTL: lease}); err != nil {
			t.Fatal(err)
		}
		rl := NewRelay(node, b, RelayConfig{Node: "b", LeaseTTL: lease})
		stop := startWork(t, rl.Run)
		waitUntil(t, "the relay to know the holder", func() bool { return rl.waker.holderOf(0) == "a" })
		b.addEvent(t, trips.KindRequested, trip, 1) // and a is dead
		waitUntil(t, "an empty outbox", b.isEmpty)
		stop()

		taken := named(ring, trip, "taken_over")
		if len(taken) != 1 || taken[0].Phase != tracing.Takeover || !strings.Contains(taken[0].Reason, "relay of a ") || taken[0].Duration() < lease/10 {
			t.Errorf("taken over: %+v", taken)
		}
	})
}

func TestARelayThatIsGivenAShardTakesNothingOver(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		node, ring := r.openTraced(t, "b", r.url)
		b, trip := &memoryOutbox{}, newTrip()
		cfg := RelayConfig{LeaseTTL: 300 * time.Millisecond, ShardHolder: func(int) string { return "b" }}
		cfg.Node = "a"
		startRelay(t, r.openNode(t), b, cfg)
		waitUntil(t, "a to hold all", func() bool { return b.holders()[0] == "a" })
		cfg.Node = "b"
		rl, _ := startRelay(t, node, b, cfg)
		waitUntil(t, "b to hold all", func() bool { return b.holders()[0] == "b" && b.holders()[3] == "b" })
		b.addEvent(t, trips.KindRequested, trip, 1)
		rl.WakeHolder("here")
		waitUntil(t, "an empty outbox", b.isEmpty)
		waitUntil(t, "its hop", func() bool { return len(named(ring, trip, "publish")) == 1 })
		if taken := named(ring, trip, "taken_over"); len(taken) > 0 {
			t.Errorf("taken over: %+v", taken)
		}
	})
}

func TestAJobThatIsDeliveredTwiceSaysWhy(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		node, ring := r.openTraced(t, "a", r.url)
		failing, orphan := newTrip(), newTrip()
		added := r.commands.XAdd(t.Context(), r.newJobEntry("settlements", string(failing), nil))
		if added.Err() != nil {
			t.Fatal(added.Err())
		}
		var tries atomic.Int64
		w := &Worker{Redis: node, Stream: "settlements", Consumer: "a", Heartbeat: testHeartbeat, Phase: tracing.Charge,
			Handle: func(_ context.Context, id string, _ []byte) error {
				if id == string(failing) && tries.Add(1) == 1 {
					return errors.New("the provider is down")
				}
				return nil
			}}
		stop := startWork(t, w.Run)
		waitUntil(t, "the failing job to be done", func() bool { n, err := r.CountOutstanding(t.Context(), "settlements"); return err == nil && n == 0 })

		if err := r.EnqueueJob(t.Context(), "settlements", string(orphan), nil); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "the other job to be done", func() bool { n, err := r.CountOutstanding(t.Context(), "settlements"); return err == nil && n == 0 })
		stop()

		waits := named(ring, failing, "job_wait")
		if len(waits) != 2 || waits[0].Code != "delivery_1" || waits[1].Code != "delivery_2" || waits[0].Cause != "job" ||
			!strings.Contains(waits[0].Reason, "Redis' clock") || !strings.Contains(waits[1].Reason, "the provider is down") {
			t.Errorf("waited %+v", waits)
		}
		if began := addedAt(added.Val()); len(waits) == 2 && waits[0].Began != began.UnixNano() {
			t.Errorf("began %v, added %v", time.Unix(0, waits[0].Began), began)
		}
		if waits := named(ring, orphan, "job_wait"); len(waits) != 1 || waits[0].Cause != "" || !strings.Contains(waits[0].Reason, "Queued beside") {
			t.Errorf("the job of another: %+v", waits)
		}
	})
}

func TestAJobOfADeadWorkerNamesIt(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		trip := newTrip()
		r.deliverTo(t, "dead", string(trip))
		node, ring := r.openTraced(t, "b", r.url)
		w := &Worker{Redis: node, Stream: "settlements", Consumer: "b", Heartbeat: testHeartbeat, Phase: tracing.Charge,
			Handle: func(context.Context, string, []byte) error { return nil }}
		stop := startWork(t, w.Run)
		waitUntil(t, "the job to be done", func() bool { n, err := r.CountOutstanding(t.Context(), "settlements"); return err == nil && n == 0 })
		stop()
		if waits := named(ring, trip, "job_wait"); len(waits) != 1 || waits[0].Code != "delivery_2" || !strings.Contains(waits[0].Reason, "worker dead had it") {
			t.Errorf("waited %+v", waits)
		}
	})
}
