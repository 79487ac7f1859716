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
	"github.com/ridehail/ridehail/trips"
)

var outboxStories = []story{
	{"every move is told once, in order, with what a listener needs", outboxHoldsEveryMove},
	{"messages stay until the cursor has passed them", outboxUntilAdvanced},
	{"one relay works at a time", oneRelay},
	{"a relay that lost its lease cannot move the cursor", lostLease},
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
		got := mustReturn[[]trips.OutboxMessage](w)(w.PendingMessages(ctx, n+1))
		if len(got) >= n {
			return got
		}
		sleep.For(ctx, betweenPolls)
	}
}

// takeLease takes the lease, or ends the story.
func (w *world) takeLease(holder string) {
	w.Helper()
	if !mustReturn[bool](w)(w.AcquireLease(w.Context(), holder, time.Hour)) {
		w.Fatalf("%s did not get the lease", holder)
	}
}

func (w *world) advanceTo(holder string, last trips.OutboxMessage) {
	w.Helper()
	if err := w.AdvanceCursor(w.Context(), holder, last); err != nil {
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
		got := mustReturn[[]trips.OutboxMessage](w)(w.PendingMessages(w.Context(), limit))
		checkSameMessages(w, got, all[:min(limit, 5)])
	}

	w.advanceTo("relay", all[1])
	checkSameMessages(w, w.awaitPending(3), all[2:])
	w.advanceTo("relay", all[4])
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

func oneRelay(w *world) {
	lease := func(holder string, ttl time.Duration, want bool) {
		w.Helper()
		checkEqual(w, holder+" has the lease", mustReturn[bool](w)(w.AcquireLease(w.Context(), holder, ttl)), want)
	}
	lease("a", time.Hour, true)
	lease("b", time.Hour, false)
	lease("a", time.Hour, true)
	lease("b", time.Hour, false)
	lease("a", time.Millisecond, true) // as good as giving it back
	w.awaitTrue(func() bool { return mustReturn[bool](w)(w.AcquireLease(w.Context(), "b", time.Hour)) })
	lease("a", time.Hour, false)

	lease("b", time.Millisecond, true)
	w.awaitTrue(func() bool { return mustReturn[bool](w)(w.AcquireLease(w.Context(), "c", time.Millisecond)) })

	var holders atomic.Int32
	w.awaitTrue(func() bool {
		runAtOnce(8, func(i int) {
			if mustReturn[bool](w)(w.AcquireLease(w.Context(), fmt.Sprint("crowd-", i), time.Hour)) {
				holders.Add(1)
			}
		})
		return holders.Load() > 0
	})

	checkEqual(w, "holders", holders.Load(), 1)
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
	refused := func(who string, last trips.OutboxMessage) {
		w.Helper()
		if err := w.AdvanceCursor(w.Context(), who, last); err == nil {
			w.Errorf("%q moved the cursor", who)
		}
	}

	refused("", all[4])
	refused("a", all[4]) // never had it
	checkEqual(w, "lease", mustReturn[bool](w)(w.AcquireLease(w.Context(), "a", time.Millisecond)), true)
	w.awaitTrue(func() bool { return mustReturn[bool](w)(w.AcquireLease(w.Context(), "b", time.Hour)) })

	refused("a", all[4]) // another has it
	checkSameMessages(w, w.awaitPending(5), all)
	w.advanceTo("b", all[2])
	checkSameMessages(w, w.awaitPending(2), all[3:])
	checkEqual(w, "lease", mustReturn[bool](w)(w.AcquireLease(w.Context(), "b", time.Millisecond)), true)
	w.awaitTrue(func() bool { return mustReturn[bool](w)(w.AcquireLease(w.Context(), "a", time.Hour)) })
	refused("b", all[4])
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
	w.advanceTo("relay", all[1])
	checkEqual(w, "oldest", count(3), all[2].At)
	w.advanceTo("relay", all[4])
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
		batch := mustReturn[[]trips.OutboxMessage](w)(w.PendingMessages(ctx, 7))
		if len(batch) == 0 {
			sleep.For(ctx, betweenPolls)
			continue
		}
		w.advanceTo("relay", batch[len(batch)-1])
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
