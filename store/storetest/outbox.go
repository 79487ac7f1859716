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

var outbox = []story{
	{"every move is told once, in order, with what a listener needs", everyMoveTold},
	{"notices stay until the cursor has passed them", untilAdvanced},
	{"one relay works at a time", oneRelay},
	{"a relay that lost its lease cannot move the cursor", lostLease},
	{"the backlog is counted and its age known", backlog},
	{"with many writers at once nothing is missed and each trip is told in order", nothingMissed},
}

const (
	patience     = 30 * time.Second
	betweenLooks = 2 * time.Millisecond // for others to work in
)

// pending waits until n notices may be told. Other transactions of the server can hold them back for a moment.
func (w *world) pending(n int) []trips.Notice {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	for {
		got := try[[]trips.Notice](w)(w.Pending(ctx, n+1))
		if len(got) >= n {
			return got
		}
		sleep.For(ctx, betweenLooks)
	}
}

// lease takes the lease or ends the story.
func (w *world) lease(holder string) {
	w.Helper()
	if !try[bool](w)(w.Lease(w.Context(), holder, time.Hour)) {
		w.Fatalf("%s did not get the lease", holder)
	}
}

func (w *world) advance(holder string, last trips.Notice) {
	w.Helper()
	if err := w.Advance(w.Context(), holder, last); err != nil {
		w.Fatal(err)
	}
}

func everyMoveTold(w *world) {
	before := time.Now()
	t := w.ride("rider", "driver")
	evs := try[[]trips.Event](w)(w.Events(w.Context(), t.ID, 0))
	told := w.pending(len(evs))
	equal(w, "notices", len(told), len(evs))
	for i, n := range told {
		var ev trips.Event
		if err := json.Unmarshal(n.Payload, &ev); err != nil {
			w.Fatal(err)
		}
		equal(w, "payload", ev, evs[i])
		equal(w, "trip", n.Trip, t.ID)
		equal(w, "region", n.Region, t.Region)
		equal(w, "kind", n.Kind, ev.Kind)
		equal(w, "topic", n.Topic, trips.TopicTrip)
		if n.At.Before(before.Add(-time.Minute)) || n.At.After(time.Now().Add(time.Minute)) {
			w.Errorf("written at %v, between %v and now", n.At, before)
		}
	}
}

func untilAdvanced(w *world) {
	w.ride("rider", "driver")
	all := w.pending(5)
	w.lease("relay")
	for limit := range 7 {
		got := try[[]trips.Notice](w)(w.Pending(w.Context(), limit))
		sameNotices(w, got, all[:min(limit, 5)])
	}
	w.advance("relay", all[1])
	sameNotices(w, w.pending(3), all[2:])
	w.advance("relay", all[4])
	w.request("another rider")
	next := w.pending(1)
	if len(next) != 1 || next[0].XID < all[4].XID || next[0].ID <= all[4].ID {
		w.Errorf("after all were told: %+v", next)
	}
}

func sameNotices(w *world, got, want []trips.Notice) {
	w.Helper()
	place := func(ns []trips.Notice) (out [][2]int64) {
		for _, n := range ns {
			out = append(out, [2]int64{int64(n.XID), n.ID})
		}
		return out
	}
	same(w, "notices", place(got), place(want))
}

func oneRelay(w *world) {
	lease := func(holder string, ttl time.Duration, want bool) {
		w.Helper()
		equal(w, holder+" has the lease", try[bool](w)(w.Lease(w.Context(), holder, ttl)), want)
	}
	lease("a", time.Hour, true)
	lease("b", time.Hour, false)
	lease("a", time.Hour, true)
	lease("b", time.Hour, false)
	lease("a", time.Millisecond, true) // as good as giving it back
	w.until(func() bool { return try[bool](w)(w.Lease(w.Context(), "b", time.Hour)) })
	lease("a", time.Hour, false)

	lease("b", time.Millisecond, true)
	w.until(func() bool { return try[bool](w)(w.Lease(w.Context(), "c", time.Millisecond)) })
	var holders atomic.Int32
	w.until(func() bool {
		crowd(8, func(i int) {
			if try[bool](w)(w.Lease(w.Context(), fmt.Sprint("crowd-", i), time.Hour)) {
				holders.Add(1)
			}
		})
		return holders.Load() > 0
	})
	equal(w, "holders", holders.Load(), 1)
}

// until waits for a condition.
func (w *world) until(holds func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	for !holds() {
		if ctx.Err() != nil {
			w.Fatal("waited in vain")
		}
		sleep.For(ctx, betweenLooks)
	}
}

func lostLease(w *world) {
	w.ride("rider", "driver")
	all := w.pending(5)
	refused := func(who string, last trips.Notice) {
		w.Helper()
		if err := w.Advance(w.Context(), who, last); err == nil {
			w.Errorf("%q moved the cursor", who)
		}
	}
	refused("", all[4])
	refused("a", all[4]) // never had it
	equal(w, "lease", try[bool](w)(w.Lease(w.Context(), "a", time.Millisecond)), true)
	w.until(func() bool { return try[bool](w)(w.Lease(w.Context(), "b", time.Hour)) })
	refused("a", all[4]) // another has it
	sameNotices(w, w.pending(5), all)
	w.advance("b", all[2])
	sameNotices(w, w.pending(2), all[3:])
	equal(w, "lease", try[bool](w)(w.Lease(w.Context(), "b", time.Millisecond)), true)
	w.until(func() bool { return try[bool](w)(w.Lease(w.Context(), "a", time.Hour)) })
	refused("b", all[4])
	sameNotices(w, w.pending(2), all[3:])
}

func backlog(w *world) {
	count := func(want int) time.Time {
		w.Helper()
		n, oldest, err := w.Backlog(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		equal(w, "backlog", n, want)
		return oldest
	}
	equal(w, "oldest of none", count(0), time.Time{})
	w.ride("rider", "driver")
	all := w.pending(5)
	equal(w, "oldest", count(5), all[0].At)
	w.lease("relay")
	w.advance("relay", all[1])
	equal(w, "oldest", count(3), all[2].At)
	w.advance("relay", all[4])
	count(0)
}

// nothingMissed lets eight writers ride and talk while a relay works, and then looks for gaps and repeats.
func nothingMissed(w *world) {
	const writers, rides = 8, 6
	shared := w.onTrip("talker", "listener")
	done := make(chan struct{})
	go func() {
		defer close(done)
		crowd(writers, func(i int) {
			who := fmt.Sprint("w", i)
			for j := range rides {
				t := w.ride(trips.RiderID(who), trips.DriverID(who))
				w.say(t, trips.Rider(t.Rider), fmt.Sprint(j))
				w.say(shared, trips.System(who), fmt.Sprint(j)) // the store leaves it to the room who may speak
			}
		})
	}()
	defer func() { <-done }()
	const want = 4 + writers*rides*7
	w.lease("relay")
	told := w.relay(want)
	equal(w, "notices", len(told), want)
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
		equal(w, "next number of "+line, p.Seq, last[line]+1)
		last[line] = p.Seq
	}
	equal(w, "messages on the shared trip", last[string(trips.TopicChat)+string(shared.ID)], writers*rides)
}

// relay takes notices as a relay does until it has n, or patience ends.
func (w *world) relay(n int) (told []trips.Notice) {
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	for len(told) < n && ctx.Err() == nil {
		batch := try[[]trips.Notice](w)(w.Pending(ctx, 7))
		if len(batch) == 0 {
			sleep.For(ctx, betweenLooks)
			continue
		}
		w.advance("relay", batch[len(batch)-1])
		told = slices.Concat(told, batch)
	}
	return told
}

func (w *world) say(t trips.Trip, from trips.Actor, text string) chat.Message {
	m := chat.Message{Trip: t.ID, From: from, ClientID: w.id("say"), Text: text, At: w.tick()}
	m, err := w.Append(w.Context(), m, string(t.Region))
	if err != nil {
		w.Error(err)
	}
	return m
}
