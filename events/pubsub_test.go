package events

import (
	"context"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/location"
)

// ears writes down what it hears.
type ears struct{ heard chan heard }

func newEars() ears                { return ears{make(chan heard, 100_000)} }
func (e ears) Message(m Message)   { e.heard <- heard{Message: m} }
func (e ears) Gap(why string)      { e.heard <- heard{gap: why} }
func (e ears) text(h heard) string { return string(h.Payload) }

func listen(t *testing.T, r *Redis, node string, regions ...location.Region) ears {
	e := newEars()
	run(t, func(ctx context.Context) error { return r.Listen(ctx, node, regions, e) })
	if h := receive(t, "subscription", e.heard); h.gap != GapSubscribed {
		t.Fatalf("first heard %+v", h)
	}
	return e
}

func TestANodeHearsItsRegionsAndWhatIsAddressedToIt(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		a := listen(t, r.Redis, "a", "here", "near")
		b := listen(t, r.open(t), "b", "far")

		for _, m := range []Message{{"trip", "here", []byte("1\n2")}, {"trip", "far", []byte("3")}, {"chat", "near", []byte{0, 0xff}}} {
			if err := r.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}

		if err := r.PublishTo(t.Context(), "b", Message{Topic: "offer", Payload: []byte("4")}); err != nil {
			t.Fatal(err)
		}

		for _, want := range []string{"1\n2", "\x00\xff"} {
			if got := receive(t, want, a.heard); a.text(got) != want {
				t.Errorf("a heard %q, want %q", got.Payload, want)
			}
		}

		for _, want := range []string{"3", "4"} {
			if got := receive(t, want, b.heard); b.text(got) != want {
				t.Errorf("b heard %q, want %q", got.Payload, want)
			}
		}
	})
}

func TestWhateverABrokenConnectionLosesIsFollowedByAGap(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		e := listen(t, r.Redis, "a", "here")
		const messages = 3000
		sent := 0
		for i := range messages {
			if i%500 == 250 {
				r.wire.cut()
			}
			m := Message{Topic: "trip", Region: "here", Payload: fmt.Appendf(nil, "%d", i)}
			if r.Publish(t.Context(), m) == nil {
				sent++
			}
		}

		if sent < messages/2 {
			t.Fatalf("only %d of %d could be sent", sent, messages)
		}
		last, lost, gaps, unexplained, fresh := -1, 0, 0, 0, false
		for {
			h := receive(t, "the last message", e.heard)
			if h.gap != "" {
				gaps, unexplained, fresh = gaps+1, 0, true
				continue
			}

			var n int
			if _, err := fmt.Sscan(e.text(h), &n); err != nil {
				t.Fatal(err)
			}

			if n != last+1 {
				lost += n - last - 1
				if !fresh {
					unexplained += n - last - 1
				}
			}

			if n == messages-1 {
				break
			}
			last, fresh = n, false
		}

		if unexplained != 0 || gaps == 0 {
			t.Errorf("%d of %d lost messages had no gap after them; %d gaps", unexplained, lost, gaps)
		}
		t.Logf("%d lost, %d gaps", lost, gaps)
	})
}

func TestAListenerWhoseConnectionSilentlyDiedSubscribesAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		e := listen(t, r.Redis, "a", "here")
		r.wire.silence()
		if h := receive(t, "word that messages may be missed", e.heard); h.gap != GapReconnected {
			t.Fatalf("heard %+v", h)
		}

		within(t, "a publisher with a new connection", func() bool {
			return r.Publish(t.Context(), Message{Topic: "trip", Region: "here", Payload: []byte("1")}) == nil
		})
		if h := receive(t, "the message", e.heard); e.text(h) != "1" {
			t.Errorf("heard %+v", h)
		}
	})
}

func TestASlowHandlerLosesMessagesButIsTold(t *testing.T) {
	r := &Redis{stats: newStats(nil)}
	l := listener{redis: r, channels: []string{"a"}, queue: make(chan heard, 2), round: map[string]bool{}}
	for range 5 {
		l.put(Message{Topic: "trip"})
	}
	if l.owed != GapOverflowed {
		t.Fatalf("owes %q", l.owed)
	}
	if n := testutil.ToFloat64(r.stats.dropped.WithLabelValues("listener_full")); n != 3 {
		t.Errorf("%v drops counted, want 3", n)
	}
}

func TestOneGapForAResubscriptionOfManyChannels(t *testing.T) {
	r := &Redis{stats: newStats(nil)}
	l := listener{redis: r, channels: []string{"a", "b", "c"}, queue: make(chan heard, 100), round: map[string]bool{}}
	for _, c := range []string{"a", "b", "c", "c", "a", "b", "b", "b", "a", "c"} {
		// the third round breaks off after b
		l.take(&redis.Subscription{Kind: "subscribe", Channel: c})
	}

	if len(l.queue) != 3 {
		t.Errorf("%d gaps, want the first, and one for each complete round", len(l.queue))
	}
}

func FuzzDecodeIsTheInverseOfEncode(f *testing.F) {
	f.Add([]byte("trip\nregion\npayload"))
	f.Add([]byte("\n\n"))
	f.Add([]byte(""))

	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err == nil && string(m.encode()) != string(b) {
			t.Errorf("%q became %q", b, m.encode())
		}
	})
}
