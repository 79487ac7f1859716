package simulators

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/simulators/trace"
	"github.com/ridehail/ridehail/wire"
)

// newRecording returns cars that drive east with a fix per second. Each begins
// two seconds after the one before.
func newRecording(t *testing.T, cars, fixes int) trace.Trace {
	t.Helper()
	var text strings.Builder
	text.WriteString("id,time,lng,lat\n")

	for c := range cars {
		for i := range fixes {
			fmt.Fprintf(&text, "car-%d,%d,%.6f,6.45\n", c, 1_600_000_000+2*c+i, 3.4+0.0001*float64(i))
		}
	}

	tr, _, err := trace.Read(strings.NewReader(text.String()), "", trace.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestRecordedCarsDriveAgainAtTheirTimesAndDeclineWhatIsOffered(t *testing.T) {
	offered := map[string]bool{}
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		switch {
		case f.GetHello() != nil:
			c.sendWelcome(&wire.Welcome{})
		case f.GetFix() != nil && !offered[c.user]:
			offered[c.user] = true
			c.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_Offer{Offer: &wire.Offer{Id: "offer to " + c.user,
				Trip: &wire.Trip{Id: "t"}, ExpiresAtMs: wire.ToMillis(time.Now().Add(time.Minute))}}})
		case f.Id != "":
			c.sendAck(f, new(wire.Ack))
		}
	})

	stats := NewStats()
	began := time.Now()
	err := ReplayDrivers(context.Background(), ReplayConfig{Server: n.URL, Trace: newRecording(t, 3, 30), Speed: 20, Stats: stats})
	if err != nil {
		t.Fatal(err)
	}

	s := stats.Snapshot()
	if s.FixesSent < 3 || s.OffersSeen != 3 || s.OffersDeclined != 3 || s.OffersAccepted != 0 || s.Violations != 0 || s.DriversConnected != 0 {
		t.Fatalf("%+v", s)
	}

	n.mu.Lock()
	defer n.mu.Unlock()

	var users []string
	var first float64
	for _, c := range n.conns {
		users = append(users, c.user)
		for i, f := range c.fixes {
			second := math.Round((f.Point.Lng - 3.4) / 0.0001) // of the car
			at := wire.FromMillis(f.AtMs)
			if at.Before(began) || at.After(time.Now()) || at.Sub(began) < time.Duration(second)*time.Second/20 {
				t.Errorf("%s: fix %d is said to be of %v after the start", c.user, i, at.Sub(began))
			}
			car := float64(c.user[len(c.user)-1] - '0')
			// The start of the recording, computed from this fix.
			start := f.AtMs - (second+2*car)*1000/20
			if first == 0 {
				first = start
			}
			if math.Abs(start-first) > 1 {
				t.Errorf("%s: fix %d is shifted by %.1f ms more than the first", c.user, i, start-first)
			}
			if want := 11.05 * 20; math.Abs(float64(f.Speed)-want) > 1 || math.Abs(float64(f.Heading)-90) > 1 {
				t.Errorf("%s: %v m/s to %v", c.user, f.Speed, f.Heading)
			}
			if i > 0 && (f.Seq != c.fixes[i-1].Seq+1 || f.AtMs <= c.fixes[i-1].AtMs) {
				t.Errorf("%s: fix %d follows %d", c.user, f.Seq, c.fixes[i-1].Seq)
			}
		}

		if last := c.fixes[len(c.fixes)-1]; math.Abs(last.Point.Lng-(3.4+29*0.0001)) > 1e-9 {
			t.Errorf("%s: the last fix is at %v", c.user, last.Point)
		}
	}

	if slices.Sort(users); !slices.Equal(users, []string{"driver/car-0", "driver/car-1", "driver/car-2"}) {
		t.Errorf("%v drove", users)
	}

	for _, f := range n.received {
		if a := f.GetAnswerOffer(); a != nil && a.Accept || f.GetSetAvailable() != nil && !f.GetSetAvailable().Available {
			t.Errorf("%v", f)
		}
	}
}

func TestHiddenCarsAreNotFree(t *testing.T) {
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		switch {
		case f.GetHello() != nil:
			c.sendWelcome(&wire.Welcome{})
		case f.Id != "":
			c.sendAck(f, new(wire.Ack))
		}
	})
	if err := ReplayDrivers(context.Background(), ReplayConfig{Server: n.URL, Trace: newRecording(t, 1, 2), Speed: 10, Hidden: true}); err != nil {
		t.Fatal(err)
	}

	n.mu.Lock()
	defer n.mu.Unlock()

	said := 0
	for _, f := range n.received {
		if a := f.GetSetAvailable(); a != nil {
			said++
			if a.Available {
				t.Error("a hidden car says that it is free")
			}
		}
	}

	if said == 0 {
		t.Error("the car said nothing")
	}
}

func TestAReplayEndsWithTheContextAndWantsARecording(t *testing.T) {
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		if f.GetHello() != nil {
			c.sendWelcome(&wire.Welcome{})
		}
	})

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ReplayDrivers(ctx, ReplayConfig{Server: n.URL, Trace: newRecording(t, 2, 100_000)}) }()
	n.waitUntil("both cars drive", func() bool { return len(n.conns) == 2 && len(n.conns[0].fixes) > 0 && len(n.conns[1].fixes) > 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := ReplayDrivers(context.Background(), ReplayConfig{Server: n.URL}); err == nil {
		t.Error("nothing was driven without a complaint")
	}
}
