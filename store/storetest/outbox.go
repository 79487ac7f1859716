package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

var outboxStories = []story{
	{"every move is told once, in order, with what a listener needs", outboxHoldsEveryMove},
	{"messages stay until the cursor has passed them", outboxUntilAdvanced},
	{"a message says who is on its trip", outboxNamesPeople},
	{"a shard has one relay at a time", oneRelay},
	{"a shard that is let go waits for the holder who wishes for it", shardHandedOver},
	{"relays that ask at once share the shards", shardsShared},
	{"a relay that lost its lease cannot move the cursor", lostLease},
	{"messages of other shards stay", otherShardsStay},
	{"the backlog is counted and its age known", backlogCounted},
	{"with many writers at once nothing is missed and each trip is told in order", nothingMissed},
}

const (
	waitLimit    = 30 * time.Second
	betweenPolls = 2 * time.Millisecond // for others to work in
)

// awaitPending waits until n messages may be relayed. Other transactions of the
// server can hold them back for a moment.
func (w *world) awaitPending(n int) []trips.OutboxMessage {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), waitLimit)
	defer cancel()
	for {
		got := mustReturn[[]trips.OutboxMessage](w)(w.PendingMessages(ctx, trips.AllShards(w), n+1))
		if len(got) >= n {
			return got
		}
		sleep.For(ctx, betweenPolls)
	}
}

// acquire asks for the leases of all shards and returns those that holder has.
func (w *world) acquire(holder string, ttl time.Duration) (held []int) {
	w.Helper()
	for shard, has := range w.claim(trips.ShardClaim{Holder: holder, TTL: ttl}) {
		if has == holder {
			held = append(held, shard)
		}
	}
	return held
}

func (w *world) claim(claim trips.ShardClaim) (holders []string) {
	w.Helper()
	return mustReturn[[]string](w)(w.AcquireShards(w.Context(), claim))
}

// takeLease takes the leases of all shards, or ends the story.
func (w *world) takeLease(holder string) {
	w.Helper()
	if held := w.acquire(holder, time.Hour); len(held) != w.ShardCount() {
		w.Fatalf("%s got the leases of %v only", holder, held)
	}
}

// letGo gives the leases of all shards back.
func (w *world) letGo(holder string) {
	w.Helper()
	w.claim(trips.ShardClaim{Holder: holder, Released: trips.AllShards(w)})
}

func (w *world) advancePast(holder string, told ...trips.OutboxMessage) {
	w.Helper()
	if err := w.AdvanceCursor(w.Context(), holder, told); err != nil {
		w.Fatal(err)
	}
}

func outboxHoldsEveryMove(w *world) {
	before := time.Now()
	t := w.completeRide("rider", "driver")
	evs := mustReturn[[]trips.Event](w)(w.Events(w.Context(), t.ID, 0))
	told := w.awaitPending(len(evs))
	checkEqual(w, "outbox messages", len(told), len(evs))

	for i, n := range told {
		var ev trips.Event
		if err := json.Unmarshal(n.Payload, &ev); err != nil {
			w.Fatal(err)
		}

		checkEqual(w, "payload", ev, evs[i])
		checkEqual(w, "trip", n.Trip, t.ID)
		checkEqual(w, "region", n.Region, t.Region)
		checkEqual(w, "kind", n.Kind, ev.Kind)
		checkEqual(w, "topic", n.Topic, trips.TopicTrip)
		checkEqual(w, "shard", n.Shard, trips.ShardOf(t.Region, w.ShardCount()))
		if n.At.Before(before.Add(-time.Minute)) || n.At.After(time.Now().Add(time.Minute)) {
			w.Errorf("written at %v, between %v and now", n.At, before)
		}
	}
}

func outboxUntilAdvanced(w *world) {
	w.completeRide("rider", "driver")
	all := w.awaitPending(5)
	w.takeLease("relay")

	for limit := range 7 {
		got := mustReturn[[]trips.OutboxMessage](w)(w.PendingMessages(w.Context(), trips.AllShards(w), limit))
		checkSameMessages(w, got, all[:min(limit, 5)])
	}

	w.advancePast("relay", all[:2]...)
	checkSameMessages(w, w.awaitPending(3), all[2:])
	w.advancePast("relay", all[2:]...)
	w.requestTrip("another rider")

	next := w.awaitPending(1)
	if len(next) != 1 || next[0].XID < all[4].XID || next[0].ID <= all[4].ID {
		w.Errorf("after all were told: %+v", next)
	}
}

func checkSameMessages(w *world, got, want []trips.OutboxMessage) {
	w.Helper()
	place := func(ns []trips.OutboxMessage) (out [][2]int64) {
		for _, n := range ns {
			out = append(out, [2]int64{int64(n.XID), n.ID})
		}
		return out
	}

	checkSame(w, "outbox messages", place(got), place(want))
}

// outboxNamesPeople checks the rider and the driver that each message has beside
// it: those of the trip when it is read.
func outboxNamesPeople(w *world) {
	w.requestTrip("ada")
	first := w.awaitPending(1)[0]
	checkEqual(w, "rider", first.Rider, "ada")
	checkEqual(w, "driver before there is one", first.Driver, "")

	w.completeRide("bola", "dayo")
	for _, n := range w.awaitPending(6)[1:] {
		checkEqual(w, "rider", n.Rider, "bola")
		checkEqual(w, "driver", n.Driver, "dayo")
	}
}

func oneRelay(w *world) {
	all := trips.AllShards(w)
	lease := func(holder string, ttl time.Duration, want []int) {
		w.Helper()
		checkSame(w, "shards of "+holder, w.acquire(holder, ttl), want)
	}
	lease("a", time.Hour, all)
	lease("b", time.Hour, nil)
	lease("a", time.Hour, all)
	checkEqual(w, "the holder that b sees", w.claim(trips.ShardClaim{Holder: "b", TTL: time.Hour})[0], "a")
	w.letGo("a")
	lease("b", time.Hour, all)
	lease("a", time.Hour, nil)

	w.claim(trips.ShardClaim{Holder: "b", TTL: time.Millisecond})
	w.awaitTrue(func() bool { return len(w.acquire("c", time.Hour)) == len(all) }) // b's leases ran out
}

func shardHandedOver(w *world) {
	w.takeLease("a")
	holders := w.claim(trips.ShardClaim{Holder: "a", Released: []int{0}, TTL: time.Hour})
	checkEqual(w, "holder", holders[0], "")
	checkEqual(w, "a took back what it let go", w.claim(trips.ShardClaim{Holder: "a", TTL: time.Hour})[0], "")
	checkEqual(w, "b took what another wishes for", w.claim(trips.ShardClaim{Holder: "b", TTL: time.Hour})[0], "")
	checkEqual(w, "holder", w.claim(trips.ShardClaim{Holder: "c", Wished: []int{0}, TTL: time.Hour})[0], "c")
	checkEqual(w, "holder", w.claim(trips.ShardClaim{Holder: "a", Wished: []int{0}, TTL: time.Hour})[0], "c")

	// Not all wishes come true.
	w.claim(trips.ShardClaim{Holder: "c", Released: []int{0}, TTL: time.Millisecond})
	w.awaitTrue(func() bool { return w.claim(trips.ShardClaim{Holder: "b", TTL: time.Hour})[0] == "b" })
}

// shardsShared lets many relays ask at once: each shard gets one holder.
func shardsShared(w *world) {
	taken := make([]atomic.Int32, w.ShardCount())
	runAtOnce(8, func(i int) {
		for _, shard := range w.acquire(fmt.Sprint("crowd-", i), time.Hour) {
			taken[shard].Add(1)
		}
	})

	for shard := range taken {
		checkEqual(w, fmt.Sprint("holders of shard ", shard), taken[shard].Load(), 1)
	}
}

// otherShardsStay advances one shard of an outbox that has one message in each.
func otherShardsStay(w *world) {
	for i := range 3 * w.ShardCount() {
		ev := w.newRequest(trips.RiderID(fmt.Sprint("rider-", i)))
		ev.Trip.Region = location.Region(fmt.Sprint("region-", i))
		w.commitMove(ev, nil)
	}
	all := w.awaitPending(3 * w.ShardCount())
	w.takeLease("relay")

	of := func(shard int, of []trips.OutboxMessage) (found []trips.OutboxMessage) {
		for _, m := range of {
			if m.Shard == shard {
				found = append(found, m)
			}
		}
		return found
	}
	shard := all[len(all)-1].Shard
	chosen := of(shard, all)
	checkSameMessages(w, mustReturn[[]trips.OutboxMessage](w)(w.PendingMessages(w.Context(), []int{shard}, 100)), chosen)
	checkSameMessages(w, mustReturn[[]trips.OutboxMessage](w)(w.PendingMessages(w.Context(), nil, 100)), nil)
	w.advancePast("relay", chosen...)

	left := w.awaitPending(len(all) - len(chosen))
	checkEqual(w, "messages left", len(left), len(all)-len(chosen))
	for s := range w.ShardCount() {
		if s != shard {
			checkSameMessages(w, of(s, left), of(s, all))
		}
	}
}

// awaitTrue waits for a condition.
func (w *world) awaitTrue(holds func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), waitLimit)
	defer cancel()
	for !holds() {
		if ctx.Err() != nil {
			w.Fatal("waited in vain")
		}
		sleep.For(ctx, betweenPolls)
	}
}

func lostLease(w *world) {
	w.completeRide("rider", "driver")
	all := w.awaitPending(5)
	refused := func(who string) {
		w.Helper()
		if err := w.AdvanceCursor(w.Context(), who, all); err == nil {
			w.Errorf("%q moved the cursor", who)
		}
	}

	refused("")
	refused("a") // never had it
	w.acquire("a", time.Millisecond)
	w.awaitTrue(func() bool { return len(w.acquire("b", time.Hour)) > 0 })

	refused("a") // another has it
	checkSameMessages(w, w.awaitPending(5), all)
	w.advancePast("b", all[:3]...)
	checkSameMessages(w, w.awaitPending(2), all[3:])
	w.letGo("b")
	w.takeLease("a")
	refused("b")
	checkSameMessages(w, w.awaitPending(2), all[3:])
}

func backlogCounted(w *world) {
	count := func(want int) time.Time {
		w.Helper()
		n, oldest, err := w.Backlog(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		checkEqual(w, "backlog", n, want)
		return oldest
	}

	checkEqual(w, "oldest of none", count(0), time.Time{})
	w.completeRide("rider", "driver")
	all := w.awaitPending(5)
	checkEqual(w, "oldest", count(5), all[0].At)
	w.takeLease("relay")
	w.advancePast("relay", all[:2]...)
	checkEqual(w, "oldest", count(3), all[2].At)
	w.advancePast("relay", all[2:]...)
	count(0)
}

// nothingMissed lets eight writers ride and talk while a relay works, and then
// looks for gaps and repeats.
func nothingMissed(w *world) {
	const writers, rides = 8, 6
	shared := w.rideToOnTrip("talker", "listener")
	done := make(chan struct{})
	go func() {
		defer close(done)
		runAtOnce(writers, func(i int) {
			who := fmt.Sprint("w", i)
			for j := range rides {
				t := w.completeRide(trips.RiderID(who), trips.DriverID(who))
				w.sendChat(t, trips.Rider(t.Rider), fmt.Sprint(j))
				// Stores do not check who may write.
				w.sendChat(shared, trips.System(who), fmt.Sprint(j))
			}
		})
	}()
	defer func() { <-done }()

	const want = 4 + writers*rides*7
	w.takeLease("relay")
	told := w.relayUntil(want)
	checkEqual(w, "outbox messages", len(told), want)
	last := map[string]uint32{}
	for _, n := range told {
		var p struct {
			Seq  uint32          `json:"seq"`
			Trip json.RawMessage `json:"trip"`
		}
		var t trips.Trip
		if err := json.Unmarshal(n.Payload, &p); err != nil {
			w.Fatal(err)
		}
		if n.Topic == trips.TopicTrip {
			_ = json.Unmarshal(p.Trip, &t)
			p.Seq = t.Version
		}
		line := string(n.Topic) + string(n.Trip)
		checkEqual(w, "next number of "+line, p.Seq, last[line]+1)
		last[line] = p.Seq
	}

	checkEqual(w, "messages on the shared trip", last[string(trips.TopicChat)+string(shared.ID)], writers*rides)
}

// relayUntil takes messages as a relay does until it has n, or until waitLimit.
func (w *world) relayUntil(n int) (told []trips.OutboxMessage) {
	ctx, cancel := context.WithTimeout(w.Context(), waitLimit)
	defer cancel()
	for len(told) < n && ctx.Err() == nil {
		batch := mustReturn[[]trips.OutboxMessage](w)(w.PendingMessages(ctx, trips.AllShards(w), 7))
		if len(batch) == 0 {
			sleep.For(ctx, betweenPolls)
			continue
		}
		w.advancePast("relay", batch...)
		told = slices.Concat(told, batch)
	}

	return told
}

func (w *world) sendChat(t trips.Trip, from trips.Actor, text string) chat.Message {
	m := chat.Message{Trip: t.ID, From: from, ClientID: w.nextID("say"), Text: text, At: w.nextTime()}
	m, err := w.AppendChat(w.Context(), m, string(t.Region))
	if err != nil {
		w.Error(err)
	}
	return m
}
