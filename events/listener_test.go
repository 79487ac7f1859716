package events

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/tracing"
)

// recorder is a handler that records what it receives.
type recorder struct{ heard chan record }

// record is a message, or a gap if that is not empty.
type record struct {
	Message
	gap      string
	channels []Channel
}

func newRecorder() recorder                    { return recorder{make(chan record, 100_000)} }
func (e recorder) OnMessage(m Message)         { e.heard <- record{Message: m} }
func (e recorder) OnGap(g Gap)                 { e.heard <- record{gap: g.Why, channels: g.Channels} }
func (e recorder) payloadText(h record) string { return string(h.Payload) }

// newRegionListener makes a listener that follows some regions.
func newRegionListener(r *Redis, node string, h Handler, regions ...location.Region) *Listener {
	l := r.NewListener(ListenerConfig{Name: "test", Node: node, Handler: h})
	for _, region := range regions {
		l.Follow(OldRegionChannel(region))
	}
	return l
}

func startListening(t testing.TB, r *Redis, node string, regions ...location.Region) recorder {
	e := newRecorder()
	startWork(t, newRegionListener(r, node, e, regions...).Run)
	channels := []Channel{NodeChannel(node)}
	for _, region := range regions {
		channels = append(channels, OldRegionChannel(region))
	}
	awaitGap(t, e, GapSubscribed, channels...)
	return e
}

func TestANodeHearsItsRegionsAndWhatIsAddressedToIt(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		a := startListening(t, r.Redis, "a", "here", "near")
		b := startListening(t, r.openNode(t), "b", "far")

		for _, m := range []Message{{Topic: "trip", Region: "here", Payload: []byte("1\n2")}, {Topic: "trip", Region: "far", Payload: []byte("3")},
			{Topic: "chat", Region: "near", Payload: []byte{0, 0xff}}} {
			if err := r.Publish(t.Context(), OldRegionChannel(m.Region), m); err != nil {
				t.Fatal(err)
			}
		}

		if err := r.Publish(t.Context(), NodeChannel("b"), Message{Topic: "offer", Payload: []byte("4")}); err != nil {
			t.Fatal(err)
		}

		for _, want := range []string{"1\n2", "\x00\xff"} {
			if got := receiveFrom(t, want, a.heard); a.payloadText(got) != want {
				t.Errorf("a heard %q, want %q", got.Payload, want)
			}
		}

		for _, want := range []string{"3", "4"} {
			if got := receiveFrom(t, want, b.heard); b.payloadText(got) != want {
				t.Errorf("b heard %q, want %q", got.Payload, want)
			}
		}
	})
}

func TestAMessageSaysWhenItWasReceivedIfHopsAreRecorded(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tracer, err := tracing.New(t.Context(), tracing.Config{Node: "a", Ratio: .01, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}

	for want, opts := range map[time.Time][]Option{at: {WithTracer(tracer)}, {}: nil} {
		r, err := OpenEmbedded(opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		e := startListening(t, r, "a")
		if err := r.Publish(t.Context(), NodeChannel("a"), Message{Topic: "offer"}); err != nil {
			t.Fatal(err)
		}
		if got := receiveFrom(t, "the offer", e.heard); !got.ReceivedAt.Equal(want) {
			t.Errorf("received at %v, want %v", got.ReceivedAt, want)
		}
	}
}

func TestWhateverABrokenConnectionLosesIsFollowedByAGap(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		e := startListening(t, r.Redis, "a", "here")
		const messages = 3000
		sent, isSent := 0, make([]bool, messages)
		for i := range messages {
			if i%500 == 250 {
				r.proxy.cutAll()
			}
			m := Message{Topic: "trip", Region: "here", Payload: fmt.Appendf(nil, "%d", i)}
			if r.Publish(t.Context(), OldRegionChannel(m.Region), m) == nil {
				sent++
				isSent[i] = true
			}
		}

		if sent < messages/2 {
			t.Fatalf("only %d of %d could be sent", sent, messages)
		}
		last, lost, gaps, unexplained, fresh := -1, 0, 0, 0, false
		for {
			h := receiveFrom(t, "the last message", e.heard)
			if h.gap != "" {
				gaps, unexplained, fresh = gaps+1, 0, true
				continue
			}

			var n int
			if _, err := fmt.Sscan(e.payloadText(h), &n); err != nil {
				t.Fatal(err)
			}

			for missed := last + 1; missed < n; missed++ {
				if isSent[missed] { // else the publisher knows
					lost++
				}
				if isSent[missed] && !fresh {
					unexplained++
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
	runOnAll(t, func(t *testing.T, r *rig) {
		e := startListening(t, r.Redis, "a", "here")
		r.proxy.muteAll()
		if h := receiveFrom(t, "word that messages may be missed", e.heard); h.gap != GapReconnected {
			t.Fatalf("heard %+v", h)
		}

		waitUntil(t, "a publisher with a new connection", func() bool {
			return r.Publish(t.Context(), OldRegionChannel("here"), Message{Topic: "trip", Region: "here", Payload: []byte("1")}) == nil
		})
		if h := receiveFrom(t, "the message", e.heard); e.payloadText(h) != "1" {
			t.Errorf("heard %+v", h)
		}
	})
}

func FuzzDecodeIsTheInverseOfEncode(f *testing.F) {
	f.Add([]byte("trip\nregion\npayload"))
	f.Add([]byte("\n\n"))
	f.Add([]byte(""))

	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(string(b))
		if err == nil && string(m.encode()) != string(b) {
			t.Errorf("%q became %q", b, m.encode())
		}
	})
}

func TestANodeThatMayNoLongerListenIsNotReady(t *testing.T) {
	slowtest.Require(t)
	server := processtest.Redis(t, "--save", "")
	admin := newAdministrator(t, server.Address)
	r, err := Open(t.Context(), server.URL, WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if r.CheckListening() == nil {
		t.Error("it says that it listens before it does")
	}

	startListening(t, r, "a", "here")
	if err := r.CheckListening(); err != nil {
		t.Error(err)
	}
	admin.do("ACL SETUSER default resetchannels")
	waitUntil(t, "the silence to be noticed", func() bool { return r.CheckListening() != nil })
	if err := r.CheckWritable(t.Context()); err != nil {
		t.Error("and nothing else is wrong:", err)
	}
	admin.do("ACL SETUSER default allchannels")
	waitUntil(t, "the node to listen again", func() bool { return r.CheckListening() == nil })
}
