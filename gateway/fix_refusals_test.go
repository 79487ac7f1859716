package gateway

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// awaitRefusals waits for n frames about refused fixes.
func (p *phone) awaitRefusals(n int) []*wire.FixRefused {
	p.t.Helper()
	var list []*wire.FixRefused
	for _, b := range awaitBodies[*wire.ServerFrame_FixRefused](p, n) {
		list = append(list, b.FixRefused)
	}
	return list
}

func (p *phone) countRefusals() int {
	return len(bodiesOf[*wire.ServerFrame_FixRefused](p.framesSoFar()))
}

func TestEachRefusedFixSaysWhyInPlainWords(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		here := func(change func(*wire.Fix)) *wire.ClientFrame {
			f := fixFrame(market, 50, r.now().Add(-time.Second))
			change(f.GetFix())
			return f
		}

		for i, c := range []struct {
			reason wire.FixReason
			words  string
			change func(*wire.Fix)
		}{
			{wire.FixNoPoint, `needs a "point"`, func(f *wire.Fix) { f.Point = nil }},
			{wire.FixBadNumber, "at_ms is not a number", func(f *wire.Fix) { f.AtMs = math.NaN() }},
			{wire.FixBadNumber, "must be numbers", func(f *wire.Fix) { f.Point.Lng = math.NaN() }},
			{wire.FixBadNumber, "must be numbers", func(f *wire.Fix) { f.Speed = float32(math.Inf(1)) }},
			{wire.FixOutOfRange, "lat -90 to 90", func(f *wire.Fix) { f.Point.Lng = 181 }},
			{wire.FixOutOfRange, "speed and accuracy are 0 or more", func(f *wire.Fix) { f.Accuracy = -1 }},
			{wire.FixOutOfRange, "lng and lat are swapped", func(f *wire.Fix) { f.Point = &wire.Point{Lng: 6.45, Lat: 103.3} }},
			{wire.FixInaccurate, "5000 m; it must be 200 m or better", func(f *wire.Fix) { f.Accuracy = 5000 }},
			{wire.FixFromFuture, "60 s ahead of the node's clock, and may be 10 s", func(f *wire.Fix) { f.AtMs = wire.ToMillis(r.now().Add(time.Minute)) }},
			{wire.FixFromFuture, "milliseconds since 1970-01-01 UTC; this looks like microseconds", func(f *wire.Fix) { f.AtMs *= 1e3 }},
			{wire.FixFromFuture, "milliseconds since 1970-01-01 UTC; this looks like microseconds or nano", func(f *wire.Fix) { f.AtMs *= 1e6 }},
			{wire.FixFromFuture, "milliseconds since 1970", func(f *wire.Fix) { f.AtMs = math.Inf(1) }},
			{wire.FixTooOld, "milliseconds since 1970-01-01 UTC; this looks like seconds", func(f *wire.Fix) { f.AtMs /= 1e3 }},
			{wire.FixTooOld, "at_ms is missing", func(f *wire.Fix) { f.AtMs = 0 }},
			{wire.FixTooOld, "before every phone", func(f *wire.Fix) { f.AtMs = -1e300 }},
			{wire.FixTooOld, "300 s behind the node's clock, and may be 120 s", func(f *wire.Fix) { f.AtMs = wire.ToMillis(r.now().Add(-5 * time.Minute)) }},
			{wire.FixNotNewer, "not later than that of the last believed fix", func(f *wire.Fix) { f.AtMs = wire.ToMillis(r.now().Add(-10 * time.Second)) }},
			{wire.FixTooSoon, "less than 5 ms", func(f *wire.Fix) { f.AtMs = wire.ToMillis(r.driven().At) + 1 }},
			{wire.FixTooFast, "No car drives like that", func(f *wire.Fix) { f.Point = translate.EncodePoint(airport) }},
			{wire.FixTooFast, "lng and lat are swapped", func(f *wire.Fix) { f.Point = &wire.Point{Lng: market.Lat, Lat: market.Lng} }},
		} {
			r.pass(2 * time.Second)
			r.driver.driveOn()
			r.pass(3 * time.Second)
			r.driver.sendFrame(here(c.change))
			if f := r.driver.awaitRefusals(i + 1)[i]; f.Reason != string(c.reason) || f.Count != 1 || !strings.Contains(f.Message, c.words) {
				t.Errorf("case %d: %v, want %s: %s", i, f, c.reason, c.words)
			}
		}

		r.rider.sendFrame(here(func(*wire.Fix) {})) // riders have no car
		if f := r.rider.awaitRefusals(1)[0]; f.Reason != "forbidden" || f.Message != "Only drivers send fixes; you are a rider." {
			t.Errorf("a rider is told %v", f)
		}
		if n := r.driver.countRefusals(); n != 20 || r.rider.countRefusals() != 1 {
			t.Errorf("the driver was told %d times", n)
		}
	})
}

// driven returns the last believed fix of the ride's driver.
func (r reservedRide) driven() location.Fix {
	d, _ := r.drivers.Get("d")
	return d.Fix
}

func TestManyRefusedFixesAreToldOnceASecondWithTheirCount(t *testing.T) {
	c := newTestNode(t, nil)
	p := c.connectPhone(trips.Driver("d"), asProto, nil)
	old := fixFrame(market, 1, c.now().Add(-time.Hour))
	sendOld := func(n int) {
		for range n {
			p.sendFrame(old)
		}
		p.awaitHandled()
	}

	sendOld(5)
	if got := p.awaitRefusals(1); got[0].Count != 1 || p.countRefusals() != 1 {
		t.Fatalf("at once: %v", got)
	}
	c.pass(999 * time.Millisecond)
	c.g.tickSessions()
	sendOld(1)
	if n := p.countRefusals(); n != 1 {
		t.Fatalf("%d frames within a second", n)
	}

	// Silence follows: the tick tells the rest.
	c.pass(time.Millisecond)
	c.g.tickSessions()
	if got := p.awaitRefusals(2)[1]; got.Count != 5 || got.Reason != "too_old" {
		t.Errorf("the rest of the burst: %v", got)
	}

	for range 3 {
		c.pass(time.Second)
		c.g.tickSessions()
	}
	p.driveOn()
	p.awaitHandled()
	if n := p.countRefusals(); n != 2 {
		t.Errorf("%d frames although no other fix was refused", n)
	}

	sendOld(1) // the next burst begins at once
	if got := p.awaitRefusals(3)[2]; got.Count != 1 {
		t.Errorf("later: %v", got)
	}
}

func TestAPhoneThatDoesNotReadIsNotClosedForItsRefusedFixes(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.Queue = 4 })
	p := c.connectSilent(asProto, trips.Driver("d"))
	p.sendHello(nil)
	c.awaitCondition("it is registered", func() bool { return c.g.sessions.Len() == 1 })
	s := c.g.sessions.All(nil)[0]
	c.awaitCondition("it is welcomed", func() bool {
		s.out.mu.Lock()
		defer s.out.mu.Unlock()
		return s.out.open && !s.out.writing && s.out.queue.isEmpty()
	})

	// A goroutine writes and does not come back, so the queue is never empty.
	s.out.mu.Lock()
	s.out.writing = true
	s.out.mu.Unlock()
	for range 100 {
		c.pass(time.Second)
		s.out.refuseFix(fixRefusal{wire.FixTooFast, "No car drives like that."}, c.now())
		s.out.sendRefusals(c.now())
	}

	s.out.mu.Lock()
	waiting, count := len(s.out.queue.frames), s.out.refusals.count
	s.out.writing = false
	s.out.mu.Unlock()
	if waiting > 2 || count < 98 || s.conn.hasEnded() {
		t.Errorf("%d frames wait, %d refusals are not told, ended: %v", waiting, count, s.conn.hasEnded())
	}

	p.listen()
	c.pass(time.Second)
	s.out.flush()
	c.g.tickSessions()
	if got := p.awaitRefusals(2); got[0].Count != 1 || int(got[1].Count) != int(count) {
		t.Errorf("once it reads: %v", got)
	}
}

// The reasons that a client is told of are those of the page, and each of the
// filter's reasons has one.
func TestTheProtocolPageListsEveryReason(t *testing.T) {
	page := protocolPage(t)
	for _, reason := range []wire.FixReason{wire.FixForbidden, wire.FixNoPoint, wire.FixBadNumber, wire.FixOutOfRange, wire.FixInaccurate,
		wire.FixFromFuture, wire.FixTooOld, wire.FixNotNewer, wire.FixTooSoon, wire.FixTooFast} {
		if !strings.Contains(page, "\n| `"+string(reason)+"` | ") {
			t.Errorf("the page does not list %s", reason)
		}
	}
	for _, why := range []string{wire.NoOffersOnTrip, wire.NoOffersOffDuty, wire.NoOffersNoPosition} {
		if !strings.Contains(page, "`"+why+"`") {
			t.Errorf("the page does not say %s", why)
		}
	}

	seen := map[wire.FixReason]bool{}
	for _, why := range location.RejectReasons {
		seen[explainRefusedFix(why, location.Fix{}, location.Fix{}, location.DefaultFixFilter(), time.Now()).reason] = true
	}
	if len(seen) != len(location.RejectReasons) {
		t.Errorf("%d reasons are told as %v", len(location.RejectReasons), seen)
	}
}

// What the refused fix is told costs the believed one nothing.
func TestABelievedFixAllocatesNothing(t *testing.T) {
	c := newTestNode(t, nil)
	c.connectPhone(trips.Driver("d"), asProto, nil)
	s := c.g.sessions.All(nil)[0]
	f := fixFrame(market, 1, c.now()).GetFix()

	allocs := testing.AllocsPerRun(1000, func() {
		c.pass(10 * time.Millisecond)
		f.AtMs += 10
		s.receiveFix(f, c.now())
	})
	if allocs != 0 || c.countFixes("accepted") != 1001 {
		t.Errorf("%v allocations a fix; %d believed", allocs, c.countFixes("accepted"))
	}
}
