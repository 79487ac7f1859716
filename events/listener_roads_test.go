package events

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/trips"
)

// numberedUsers returns the channels of some riders.
func numberedUsers(n int) (all []Channel) {
	for i := range n {
		all = append(all, UserChannel(trips.Actor{Role: trips.RoleRider, ID: fmt.Sprint(i)}))
	}
	return all
}

// startRoad runs a listener that follows its node's channel, and returns when it
// does.
func startRoad(t testing.TB, r *Redis, node string) (*Listener, recorder) {
	t.Helper()
	e := newRecorder()
	l := r.NewListener(ListenerConfig{Name: "news", Node: node, Handler: e})
	startWork(t, l.Run)
	awaitGap(t, e, GapSubscribed, NodeChannel(node))
	return l, e
}

// awaitGap waits until gaps have named all channels, and nothing else came.
func awaitGap(t testing.TB, e recorder, why string, channels ...Channel) (gaps int) {
	t.Helper()
	missing := map[Channel]bool{}
	for _, c := range channels {
		missing[c] = true
	}
	for len(missing) > 0 {
		h := receiveFrom(t, fmt.Sprintf("a gap %s of %d channels", why, len(missing)), e.heard)
		if h.gap != why {
			t.Fatalf("heard %+v, want a gap: %s", h, why)
		}
		gaps++
		for _, c := range h.channels {
			delete(missing, c)
		}
		if h.channels == nil {
			clear(missing)
		}
	}
	return gaps
}

// say publishes a message whose payload is the channel and a number.
func say(t testing.TB, r *Redis, c Channel, n int) {
	t.Helper()
	if err := r.Publish(t.Context(), c, Message{Topic: "trip", Payload: fmt.Appendf(nil, "%s %d", c, n)}); err != nil {
		t.Fatal(err)
	}
}

// hear waits for the message of say.
func hear(t testing.TB, e recorder, c Channel, n int) {
	t.Helper()
	want := fmt.Sprintf("%s %d", c, n)
	if h := receiveFrom(t, want, e.heard); h.gap != "" || h.Channel != c || e.payloadText(h) != want {
		t.Fatalf("heard %+v %q, want %q", h, h.Payload, want)
	}
}

func TestChannelsComeAndGoWithoutBreakingTheConnection(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		l, e := startRoad(t, r.Redis, "a")
		ada, ben := Channel("user:rider:ada"), Channel("user:rider:ben")

		l.Follow(ada, ben)
		awaitGap(t, e, GapSubscribed, ada, ben)
		say(t, r.Redis, ada, 1)
		hear(t, e, ada, 1)
		l.Follow(ada) // it is followed already, and no gap says so again
		say(t, r.Redis, ben, 2)
		hear(t, e, ben, 2)

		l.Unfollow(ben, "user:rider:unknown")
		waitUntil(t, "the end of ben's subscription", func() bool {
			n, err := r.commands.PubSubNumSub(t.Context(), r.channelName(ben)).Result()
			return err == nil && n[r.channelName(ben)] == 0
		})
		say(t, r.Redis, ben, 3)
		say(t, r.Redis, NodeChannel("a"), 4)
		hear(t, e, NodeChannel("a"), 4)
		l.Follow(ben)
		awaitGap(t, e, GapSubscribed, ben)
		say(t, r.Redis, ben, 5)
		hear(t, e, ben, 5)
		if n := testutil.ToFloat64(r.metrics.gaps.WithLabelValues(GapReconnected)); n != 0 {
			t.Errorf("%v connections broke", n)
		}
	})
}

func TestAStormOfPhonesIsFollowedAtOnce(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		l, e := startRoad(t, r.Redis, "a")
		users := numberedUsers(10_000)
		began := time.Now()
		var phones sync.WaitGroup
		for some := range slices.Chunk(users, 100) {
			phones.Go(func() {
				for _, u := range some {
					l.Follow(u)
				}
			})
		}
		phones.Wait()
		asked := time.Since(began)
		gaps := awaitGap(t, e, GapSubscribed, users...)
		took := time.Since(began)

		t.Logf("%d channels: asked within %v, followed within %v, %d gaps", len(users), asked, took, gaps)
		if limit := 3 * time.Second; took > limit {
			t.Errorf("that took longer than %v", limit)
		}
		say(t, r.Redis, users[7], 1)
		hear(t, e, users[7], 1)

		l.Unfollow(users...)
		waitUntil(t, "the end of all subscriptions", func() bool {
			all, err := r.commands.PubSubChannels(t.Context(), r.prefix+"user:*").Result()
			return err == nil && len(all) == 0
		})
	})
}

// TestFollowingAndUnfollowingQuicklyEndsRight has several goroutines that follow
// and unfollow the same channels without waiting for anything.
func TestFollowingAndUnfollowingQuicklyEndsRight(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		l, e := startRoad(t, r.Redis, "a")
		users := numberedUsers(200)
		var phones sync.WaitGroup
		for i, u := range users {
			phones.Go(func() {
				for round := range 40 {
					l.Follow(u)
					if round%8 == 0 {
						time.Sleep(time.Millisecond)
					}
					l.Unfollow(u)
				}
				if i%2 == 0 {
					l.Follow(u)
				}
			})
		}
		phones.Wait()

		kept := map[string]bool{r.channelName(NodeChannel("a")): true}
		for i := 0; i < len(users); i += 2 {
			kept[r.channelName(users[i])] = true
		}
		waitUntil(t, "the right subscriptions", func() bool {
			all, err := r.commands.PubSubChannels(t.Context(), r.prefix+"*").Result()
			all = slices.DeleteFunc(all, func(c string) bool { return r.channelNamed(c) == r.beat.channel(0) })
			return err == nil && len(all) == len(kept) && !slices.ContainsFunc(all, func(c string) bool { return !kept[c] })
		})
		for i := 0; i < len(users); i += 2 {
			say(t, r.Redis, users[i], i)
		}
		for i := 0; i < len(users); i += 2 {
			h := receiveFrom(t, "a message", e.heard)
			for h.gap != "" {
				h = receiveFrom(t, "a message", e.heard)
			}
			if want := fmt.Sprint(users[i], i); h.Channel != users[i] {
				t.Fatalf("heard %q, want %q", h.Payload, want)
			}
		}
	})
}

// Redis is mostly told nothing of a channel that is unfollowed and followed again
// at once. The caller of Follow is told all the same.
func TestWhatIsFollowedAgainAtOnceIsToldAgain(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		l, e := startRoad(t, r.Redis, "a")
		for i := range 200 {
			l.Follow("user:rider:ada")
			awaitGap(t, e, GapSubscribed, "user:rider:ada")
			say(t, r.Redis, "user:rider:ada", i)
			hear(t, e, "user:rider:ada", i)
			l.Unfollow("user:rider:ada")
		}
	})
}

func TestAfterABrokenConnectionAllChannelsAreThereAgain(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		l, e := startRoad(t, r.Redis, "a")
		users := numberedUsers(3000)
		l.Follow(users[:2999]...)
		awaitGap(t, e, GapSubscribed, users[:2999]...)

		r.proxy.takeDown()
		waitUntil(t, "the loss to show", func() bool { return r.CheckListening() != nil })
		l.Follow(users[2999]) // while Redis is away
		l.Unfollow(users[0])
		r.proxy.bringUp()

		got := map[string]record{}
		for len(got) < 2 {
			h := receiveFrom(t, "both gaps", e.heard)
			if _, again := got[h.gap]; again || h.gap == "" {
				t.Fatalf("heard %+v after %+v", h, got)
			}
			got[h.gap] = h
		}
		if all, one := got[GapReconnected].channels, got[GapSubscribed].channels; all != nil || !slices.Equal(one, users[2999:]) {
			t.Errorf("gaps of %d channels again and %v for the first time", len(all), one)
		}
		waitUntil(t, "a publisher with a new connection", func() bool { return r.CheckWritable(t.Context()) == nil })
		if err := r.CheckListening(); err != nil {
			t.Error(err)
		}
		for i, u := range users {
			say(t, r.Redis, u, i)
		}
		for i, u := range users[1:] {
			hear(t, e, u, i+1)
		}
	})
}

func TestOneListenerThatHearsDoesNotHideOneThatDoesNot(t *testing.T) {
	r, server := startReal(t)
	startRoad(t, r, "a")
	if err := r.CheckListening(); err != nil {
		t.Fatal(err)
	}

	e := newRecorder()
	positions := r.NewListener(ListenerConfig{Name: "positions", Node: "a", Handler: e, Newest: isCar})
	positions.Follow(PositionsChannel("a"))
	stop := startWork(t, positions.Run)
	awaitGap(t, e, GapSubscribed, PositionsChannel("a"))
	if err := r.CheckListening(); err != nil {
		t.Fatal("both hear:", err)
	}

	// The server forbids the channels of one road.
	admin := newAdministrator(t, server.Address)
	admin.do("ACL SETUSER default resetchannels &*:node:* &*:echo:*")
	waitUntil(t, "the reason to show", func() bool {
		err := r.CheckListening()
		return err != nil && strings.Contains(err.Error(), "NOPERM")
	})
	admin.do("ACL SETUSER default allchannels")
	waitUntil(t, "both roads again", func() bool { return r.CheckListening() == nil })
	awaitGap(t, e, GapReconnected, PositionsChannel("a"))
	if n := testutil.ToFloat64(r.metrics.gaps.WithLabelValues(GapReconnected)); n != 1 {
		t.Errorf("%v gaps, want one, and none on the other road", n)
	}

	admin.do("ACL SETUSER default resetchannels &*:node:* &*:echo:*")
	waitUntil(t, "the loss to show again", func() bool { return r.CheckListening() != nil })
	stop()
	if err := r.CheckListening(); err != nil {
		t.Error("a listener that has ended is still asked:", err)
	}
}

// startReal starts a Redis and opens it.
func startReal(t *testing.T) (*Redis, *processtest.Server) {
	t.Helper()
	server := processtest.Redis(t, "--save", "")
	r, err := Open(t.Context(), server.URL, WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r, server
}

// slowPositions is a handler that takes a millisecond for each message.
type slowPositions struct {
	taken atomic.Int64
	cars  atomic.Int64 // followed
	gaps  atomic.Int64 // others
	newer sync.Map     // the last number of each car
	old   atomic.Int64
}

func (s *slowPositions) OnGap(g Gap) {
	if g.Why == GapSubscribed {
		s.cars.Add(int64(len(g.Channels)))
	} else {
		s.gaps.Add(1)
	}
}

func (s *slowPositions) OnMessage(m Message) {
	time.Sleep(time.Millisecond)
	var n int
	_, _ = fmt.Sscan(string(m.Payload), &n)
	if last, ok := s.newer.Swap(m.Channel, n); ok && last.(int) >= n {
		s.old.Add(1)
	}
	s.taken.Add(1)
}

// TestAFloodOfPositionsLosesNoNews sends positions to a handler that is much too
// slow for them, and news beside.
func TestAFloodOfPositionsLosesNoNews(t *testing.T) {
	slowtest.Require(t)
	const cars, newsPerTurn, turn = 2000, 5, 10 * time.Millisecond
	const perTurn, atMost = 200, 5 * time.Second
	r, _ := startReal(t)
	_, news := startRoad(t, r, "a")
	slow := &slowPositions{}
	positions := r.NewListener(ListenerConfig{Name: "positions", Node: "a", Handler: slow, Newest: isCar})
	for i := range cars {
		positions.Follow(CarChannel(trips.DriverID(fmt.Sprint(i))))
	}
	startWork(t, positions.Run)
	waitUntil(t, "all cars to be followed", func() bool { return slow.cars.Load() == cars })

	sent := map[Channel]int{}
	began, next, turns := time.Now(), 0, 0
	for ; turns < 300 && time.Since(began) < atMost; turns++ {
		var batch []Addressed
		for range perTurn {
			c := CarChannel(trips.DriverID(fmt.Sprint(next % cars)))
			sent[c], next = next, next+1
			batch = append(batch, Addressed{c, Message{Topic: "fix", Payload: fmt.Appendf(nil, "%d", sent[c])}})
		}
		for n := range newsPerTurn {
			batch = append(batch, Addressed{NodeChannel("a"), Message{Topic: "trip", Payload: fmt.Appendf(nil, "%d", turns*newsPerTurn+n)}})
		}
		if err := r.PublishAll(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(began.Add(time.Duration(turns+1) * turn)))
	}
	took := time.Since(began)

	for i := range turns * newsPerTurn {
		h := receiveFrom(t, "news", news.heard)
		if h.gap != "" || news.payloadText(h) != fmt.Sprint(i) {
			t.Fatalf("heard %+v %q, want news %d", h, h.Payload, i)
		}
	}

	overwritten := func() float64 { return testutil.ToFloat64(r.metrics.overwritten.WithLabelValues("positions")) }
	waitUntil(t, "each position to be taken or overwritten", func() bool { return int(slow.taken.Load())+int(overwritten()) == next })
	for c, n := range sent {
		if last, _ := slow.newer.Load(c); last != n {
			t.Fatalf("the last position of %s is %v, want %d", c, last, n)
		}
	}
	if overwritten() == 0 || slow.gaps.Load() != 0 || slow.old.Load() != 0 {
		t.Errorf("%v overwritten, %d gaps, %d older than one before", overwritten(), slow.gaps.Load(), slow.old.Load())
	}
	if n := testutil.ToFloat64(r.metrics.dropped.WithLabelValues("listener_full")); n != 0 {
		t.Errorf("%v messages dropped", n)
	}
	t.Logf("%.0f positions/s and %.0f news/s for %v: %d positions taken, %.0f overwritten, no news lost",
		float64(next)/took.Seconds(), float64(turns*newsPerTurn)/took.Seconds(), took, slow.taken.Load(), overwritten())
}

// TestTwoIdleListenersCostNoMoreThanOne counts what an idle node sends.
func TestTwoIdleListenersCostNoMoreThanOne(t *testing.T) {
	slowtest.Require(t)
	r, _ := startReal(t)
	startRoad(t, r, "a")
	positions := r.NewListener(ListenerConfig{Name: "positions", Node: "a", Handler: newRecorder(), Newest: isCar})
	positions.Follow(PositionsChannel("a"))
	startWork(t, positions.Run)
	waitUntil(t, "both roads", func() bool { return r.CheckListening() == nil })

	echoes := func() float64 { return testutil.ToFloat64(r.metrics.heard["echo"].messages) }
	before, heard := r.CommandsSent(), echoes()
	waitUntil(t, "four echoes to each", func() bool { return echoes() >= heard+8 })
	sent := r.CommandsSent() - before
	t.Logf("%d commands for four echoes to both", sent)
	if sent > 4*3+3 {
		t.Errorf("%d commands for four echoes, want SET, HELLO and PUBLISH for each", sent)
	}
}
