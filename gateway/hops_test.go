package gateway

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// newTracedNode records the hops of a share of all trips. Its gateway's clock
// goes on by a microsecond whenever it is read, so that what follows is later.
func newTracedNode(t testing.TB, ratio float64) *testNode {
	t.Helper()
	return newTestNode(t, func(cfg *Config) {
		stands, passing := cfg.Now, newHandClock()
		cfg.Now = func() time.Time {
			passing.pass(time.Microsecond)
			return stands().Add(passing.now().Sub(newHandClock().at))
		}

		tracer, err := tracing.New(t.Context(), tracing.Config{Node: cfg.Node, Ratio: ratio, Now: cfg.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tracer.Close(t.Context()) })
		cfg.Tracer = tracer
	})
}

// hopsOf returns what was recorded of a phase so far, by when it began. A person
// who answers before the node has taken note of its own write comes after it.
func (c *testNode) hopsOf(trip trips.TripID, phase tracing.Phase, nth int) (hops []tracing.Recorded) {
	for _, h := range c.g.cfg.Tracer.Ring().HopsOf(string(trip)) {
		if h.Phase == phase && h.Nth == nth {
			hops = append(hops, h)
		}
	}
	slices.SortStableFunc(hops, func(a, b tracing.Recorded) int {
		return cmp.Or(cmp.Compare(a.Began, b.Began), cmp.Compare(isPerson(a), isPerson(b)))
	})
	return hops
}

func isPerson(h tracing.Recorded) int {
	if h.Kind().Mechanism == tracing.Person {
		return 1
	}
	return 0
}

// awaitHops waits for the hops of a phase, each as "name from>to cause code".
func (c *testNode) awaitHops(trip trips.TripID, phase tracing.Phase, nth int, want ...string) (hops []tracing.Recorded) {
	c.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		hops = c.hopsOf(trip, phase, nth)
		var got []string
		for _, h := range hops {
			if h.Ended < h.Began {
				c.t.Fatalf("%v ends before it begins", h)
			}
			got = append(got, strings.Join(strings.Fields(fmt.Sprintf("%s %s>%s %s %s", h.Name, h.From, h.To, h.Cause, h.Code)), " "))
		}
		if slices.Equal(got, want) {
			return hops
		}
		if time.Now().After(end) || len(got) > len(want) {
			c.t.Fatalf("%s %d:\n%s\nwant\n%s", phase, nth, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestEachHopOfARideAtTheSocketsIsRecordedOnce(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		c := newTracedNode(t, 1)
		c.loseMessages(loseAll) // the phones hear from the commits
		r := newReservedRide(t, c, riders, drivers)
		c.awaitHops(r.trip, tracing.Request, 0,
			"frame_read rider_phone>gateway", "command_wait gateway>gateway command:c1",
			"event_written gateway>rider_phone commit:event:1", "ack_written gateway>rider_phone command:c1")
		c.awaitHops(r.trip, tracing.Offer, 0,
			"offer_written gateway>driver_phone offer:o1", "offer_thought driver_phone>driver_phone offer:o1 accepted")
		accept := c.awaitHops(r.trip, tracing.Accept, 0,
			"frame_read driver_phone>gateway", "command_wait gateway>gateway command:c2", "event_written gateway>rider_phone commit:event:2",
			"event_written gateway>driver_phone commit:event:2", "ack_written gateway>driver_phone command:c2")
		if read := accept[0]; read.Key != "command:c2" || read.Bytes == 0 || !strings.Contains(read.Frame, "answer_offer") {
			t.Errorf("the frame: %+v", read)
		}
		if heard := accept[3]; heard.Bytes == 0 || !strings.Contains(heard.Frame, "reserved") || !strings.HasPrefix(heard.Source, "gateway/deliver.go:") {
			t.Errorf("the event: %+v", heard)
		}

		r.driver.driveOn()
		awaitBodies[*wire.ServerFrame_Position](r.rider, 2)
		r.rider.ackPositions(2)
		position := c.awaitHops(r.trip, tracing.Position, 2, "fix_sent driver_phone>gateway", "fix_moved gateway>memory fix:2",
			"position_written gateway>rider_phone fix:2", "position_acked rider_phone>gateway fix:2")
		if fix := position[0]; fix.Key != "fix:2" || fix.Began != r.now().UnixNano() || !strings.Contains(fix.Frame, "point") {
			t.Errorf("the fix: %+v", fix)
		}

		r.driver.mustDo(stepFrame(r.trip, wire.Step_ARRIVE))
		r.driver.mustDo(stepFrame(r.trip, wire.Step_START))
		for phase, n := range map[tracing.Phase]int{tracing.Arrive: 3, tracing.Start: 4} {
			c.awaitHops(r.trip, phase, 0, "frame_read driver_phone>gateway", fmt.Sprintf("command_wait gateway>gateway command:c%d", n),
				fmt.Sprintf("event_written gateway>rider_phone commit:event:%d", n), fmt.Sprintf("event_written gateway>driver_phone commit:event:%d", n),
				fmt.Sprintf("ack_written gateway>driver_phone command:c%d", n))
		}

		r.chatIsRecorded(t)
		r.driver.driveTo(airport)
		r.driver.mustDo(stepFrame(r.trip, wire.Step_COMPLETE))
		c.awaitHops(r.trip, tracing.Complete, 0, "frame_read driver_phone>gateway", "command_wait gateway>gateway command:c5",
			"event_written gateway>rider_phone commit:event:5", "event_written gateway>driver_phone commit:event:5", "ack_written gateway>driver_phone command:c5")

		c.loseMessages(nil) // a receipt comes through Redis alone
		payRide(t, r)
		receipt := c.awaitHops(r.trip, tracing.Receipt, 0, "event_written gateway>rider_phone publish:receipt")
		if !strings.Contains(receipt[0].Frame, `"receipt"`) {
			t.Errorf("the receipt: %+v", receipt[0])
		}
		r.nothingFollowsTheEnd(t)
	})
}

// chatIsRecorded says something, and expects the hops without the words.
func (r reservedRide) chatIsRecorded(t *testing.T) {
	t.Helper()
	r.rider.mustDo(chatFrame(r.trip, "my umbrella is blue"))
	said := r.awaitHops(r.trip, tracing.Chat, 1, "frame_read rider_phone>gateway", "command_wait gateway>gateway command:c2",
		"event_written gateway>rider_phone commit:chat:1", "event_written gateway>driver_phone commit:chat:1", "ack_written gateway>rider_phone command:c2")
	for _, h := range said {
		if strings.Contains(h.Frame, "umbrella") {
			t.Errorf("%s tells the words: %s", h.Name, h.Frame)
		}
	}
}

// nothingFollowsTheEnd sends one more fix, and expects no position of a trip that is over.
func (r reservedRide) nothingFollowsTheEnd(t *testing.T) {
	t.Helper()
	r.driver.driveTo(airport)
	r.driver.awaitHandled()
	if hops := r.hopsOf(r.trip, tracing.Position, int(r.driver.fixes)); len(hops) != 0 {
		t.Errorf("after the end: %v", hops)
	}
}

// Published events name the relay's publishing, and a second copy is no hop.
func TestAnEventThroughRedisNamesItsPublishing(t *testing.T) {
	c := newTracedNode(t, 1)
	rider := c.connectPhone(trips.Rider("r"), asProto, nil)
	id := c.openTrip("r")
	rider.awaitEvents(1)
	c.awaitHops(id, tracing.Request, 0, "event_written gateway>rider_phone publish:event:1")

	ev, err := c.store.Events(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.g.DeliverTripEvent(ev[0])
	c.g.DeliverCommitted(ev[0])
	rider.awaitHandled()
	c.awaitHops(id, tracing.Request, 0, "event_written gateway>rider_phone publish:event:1")
}

func TestAnEventThatCameEarlyIsRecordedTwice(t *testing.T) {
	c := newTracedNode(t, 1)
	c.startRunning()
	rider := c.connectPhone(trips.Rider("r"), asProto, nil)
	id := c.openTrip("r")
	rider.awaitEvents(1)

	c.loseMessages(func(m trips.OutboxMessage) []trips.OutboxMessage {
		if m.Kind == trips.KindReserved {
			return nil
		}
		return []trips.OutboxMessage{m}
	})
	c.moveTrip("d", id, trips.KindReserved, trips.KindArrived)
	rider.awaitEvents(3)
	c.awaitHops(id, tracing.Accept, 0, "event_written gateway>rider_phone commit:event:2 recovered")
	c.awaitHops(id, tracing.Arrive, 0, "event_written gateway>rider_phone publish:event:3 early",
		"event_written gateway>rider_phone commit:event:3 recovered")
}

func TestACommandSentAgainIsRecordedAsRepeated(t *testing.T) {
	c := newTracedNode(t, 1)
	c.loseMessages(loseAll)
	r := newReservedRide(t, c, asProto, asJSONText)
	c.pass(4 * time.Second)
	if ack := r.driver.askCommand("c2", answerFrame("o1", true)); ack.Code != "" {
		t.Fatalf("again: %v", ack)
	}

	hops := c.awaitHops(r.trip, tracing.Accept, 0,
		"frame_read driver_phone>gateway", "command_wait gateway>gateway command:c2", "event_written gateway>rider_phone commit:event:2",
		"event_written gateway>driver_phone commit:event:2", "ack_written gateway>driver_phone command:c2",
		"frame_read driver_phone>gateway repeated", "command_wait gateway>gateway command:c2", "ack_written gateway>driver_phone command:c2 repeated")
	if again := hops[5]; again.Key != "" || again.Failed || !strings.Contains(again.Reason, "carried out before") {
		t.Errorf("the second frame: %+v", again)
	}
}

func TestACommandThatFailsIsRecordedWithItsCode(t *testing.T) {
	c := newTracedNode(t, 1)
	c.loseMessages(loseAll)
	r := newReservedRide(t, c, asProto, asProto)
	if ack := r.driver.askCommand("early", stepFrame(r.trip, wire.Step_START)); ack.Code == "" {
		t.Fatalf("started before it arrived: %v", ack)
	}
	hops := c.awaitHops(r.trip, tracing.Start, 0, "frame_read driver_phone>gateway", "command_wait gateway>gateway command:early",
		"ack_written gateway>driver_phone command:early "+string(wire.CodeIllegalMove))
	if ack := hops[2]; !ack.Failed || ack.Reason == "" {
		t.Errorf("the refusal: %+v", ack)
	}

	// What a stranger says of the trip is no part of it.
	stranger := c.connectPhone(trips.Rider("stranger"), asProto, nil)
	if ack := stranger.askCommand("theirs", cancelFrame(r.trip)); ack.Code == "" {
		t.Fatalf("cancelled by a stranger: %v", ack)
	}
	if hops := c.hopsOf(r.trip, tracing.Cancel, 0); len(hops) != 0 {
		t.Errorf("a stranger's command: %v", hops)
	}
}

func TestADeclinedOfferAndAnUnansweredOneAreRecorded(t *testing.T) {
	c := newTracedNode(t, 1)
	driver := c.connectPhone(trips.Driver("d"), asProto, nil)
	driver.driveOn()
	id := c.openTrip("r")
	offer := func(nth int) dispatch.Offer {
		t, _ := c.store.Trip(c.t.Context(), id)
		return dispatch.Offer{ID: fmt.Sprint("o", nth), Nth: nth, Trip: t, Driver: "d", Node: "node", Epoch: 1, ExpiresAt: c.now().Add(time.Minute)}
	}
	send := func(o dispatch.Offer) {
		t.Helper()
		if err := c.g.DeliverOffer(o); err != nil {
			t.Fatal(err)
		}
		awaitBodies[*wire.ServerFrame_Offer](driver, o.Nth)
	}

	send(offer(1))
	driver.mustDo(answerFrame("o1", false))
	c.awaitHops(id, tracing.Offer, 1, "offer_written gateway>driver_phone offer:o1", "offer_thought driver_phone>driver_phone offer:o1 declined",
		"frame_read driver_phone>gateway", "command_wait gateway>gateway command:c1", "ack_written gateway>driver_phone command:c1")

	second := offer(2)
	send(second)
	c.g.WithdrawOffer(second, dispatch.GoneExpired)
	c.awaitHops(id, tracing.Offer, 2, "offer_written gateway>driver_phone offer:o2", "offer_thought driver_phone>driver_phone offer:o2 expired")

	// Its dispatcher died and says nothing; the next offer finds it.
	send(offer(3))
	c.pass(2 * time.Minute)
	send(offer(4))
	c.awaitHops(id, tracing.Offer, 3, "offer_written gateway>driver_phone offer:o3", "offer_thought driver_phone>driver_phone offer:o3 expired")

	driver.cutConnection()
	c.awaitHops(id, tracing.Offer, 4, "offer_written gateway>driver_phone offer:o4", "offer_thought driver_phone>driver_phone offer:o4 gone")
}

func TestAPositionThatASlowPhoneNeverGotIsRecordedAsOverwritten(t *testing.T) {
	r := newReservedRide(t, newTracedNode(t, 1), asProto, asJSONText)
	for range 3 { // the rider has had one, acks nothing, and gets one more
		r.driver.driveOn()
	}
	r.awaitHops(r.trip, tracing.Position, 3, "fix_sent driver_phone>gateway", "fix_moved gateway>memory fix:3",
		"position_written gateway>rider_phone fix:3 overwritten")
	r.rider.ackPositions(2)
	awaitBodies[*wire.ServerFrame_Position](r.rider, 3)
	waited := r.awaitHops(r.trip, tracing.Position, 4, "fix_sent driver_phone>gateway", "fix_moved gateway>memory fix:4",
		"position_written gateway>rider_phone fix:4")
	if !strings.Contains(waited[2].Reason, "waited") {
		t.Errorf("it waited: %+v", waited[2])
	}

	r.rider.cutConnection()
	r.awaitHops(r.trip, tracing.Position, 2, "fix_sent driver_phone>gateway", "fix_moved gateway>memory fix:2",
		"position_written gateway>rider_phone fix:2", "position_acked rider_phone>gateway fix:2")
}

// All nodes choose the same fixes, by their own times.
func TestAtMostTwoPositionsASecondAreRecorded(t *testing.T) {
	r := newReservedRide(t, newTracedNode(t, 1), asProto, asProto)
	r.driver.driveOn()
	for i := range 30 { // 10 a second for 3 s
		before := r.countFixes("accepted")
		r.pass(100 * time.Millisecond)
		r.driver.fixes++
		r.driver.sendFrame(fixFrame(location.Point{Lng: market.Lng + float64(i)*1e-6, Lat: market.Lat}, r.driver.fixes, r.now()))
		r.awaitCondition("fix believed", func() bool { return r.countFixes("accepted") > before })
	}
	n := 0
	for _, h := range r.g.cfg.Tracer.Ring().HopsOf(string(r.trip)) {
		if h.Name == tracing.FixSent.Name {
			n++
		}
	}
	if n < 6 || n > 8 {
		t.Errorf("%d of 31 fixes in 4 s were recorded", n)
	}
}

func TestACarOfAnotherNodeIsRecordedWhereItIsSeen(t *testing.T) {
	r := newReservedRide(t, newTracedNode(t, 1), asProto, asProto)
	fix := location.Fix{Point: market, Seq: 7, At: r.now().Add(time.Second)}
	w := r.g.sessions.OfUser(trips.Rider("r"), nil)[0]
	w.out.deliverReplica("d", fix, r.now())
	awaitBodies[*wire.ServerFrame_Position](r.rider, 2)
	w.out.deliverReplica("d", fix, r.now()) // the same
	r.awaitHops(r.trip, tracing.Position, 7, "position_written gateway>rider_phone fix:7")
}

func TestALostConnectionAndTheReturnAreRecorded(t *testing.T) {
	c := newTracedNode(t, 1)
	c.loseMessages(loseAll)
	r := newReservedRide(t, c, asProto, asJSONText)
	at := r.rider.resumePoint(r.trip)
	r.rider.cutConnection()
	c.awaitCondition("the loss is noted", func() bool {
		c.g.comebacks.mu.Lock()
		defer c.g.comebacks.mu.Unlock()
		return len(c.g.comebacks.users) == 1
	})
	r.driver.mustDo(stepFrame(r.trip, wire.Step_ARRIVE))
	c.pass(7 * time.Second)

	back := c.connectPhone(trips.Rider("r"), asJSONText, at)
	back.awaitEvents(1)
	hops := c.awaitHops(r.trip, tracing.Resume, 1,
		"connection_lost rider_phone>gateway lost", "state_read gateway>store", "welcome_written gateway>rider_phone")
	if away := hops[0].Duration(); away < 7*time.Second || away > 9*time.Second {
		t.Errorf("away for %v", away)
	}
	if w := hops[2]; !strings.Contains(w.Reason, "1 missed events") || !strings.Contains(w.Frame, "recovered") {
		t.Errorf("the welcome: %+v", w)
	}

	// It goes again, and comes back to no node that we know.
	back.cutConnection()
	c.awaitCondition("the loss is noted", func() bool {
		c.g.comebacks.mu.Lock()
		defer c.g.comebacks.mu.Unlock()
		return len(c.g.comebacks.users) == 1
	})
	c.g.tickSessions()
	if hops := c.hopsOf(r.trip, tracing.Resume, 2); len(hops) != 0 {
		t.Errorf("it may come back: %v", hops)
	}
	c.pass(comebackWithin + time.Second)
	c.g.tickSessions()
	c.awaitHops(r.trip, tracing.Resume, 2, "connection_lost rider_phone>gateway lost")
}

// A driver's app that connects anew ends its older session.
func TestAReplacedConnectionIsRecordedAtOnce(t *testing.T) {
	c := newTracedNode(t, 1)
	r := newReservedRide(t, c, asProto, asProto)
	c.connectPhone(trips.Driver("d"), asProto, r.driver.resumePoint(r.trip))
	r.driver.awaitClose()
	c.awaitCondition("the loss is recorded", func() bool {
		for _, h := range c.g.cfg.Tracer.Ring().HopsOf(string(r.trip)) {
			if h.Name == tracing.ConnectionLost.Name {
				return h.Code == fmt.Sprint(wire.CloseReplaced) && h.From == tracing.DriverPhone
			}
		}
		return false
	})
}

func TestNothingIsRecordedOfATripThatIsNotSampled(t *testing.T) {
	c := newTracedNode(t, 1e-15)
	r := newReservedRide(t, c, asProto, asJSONText)
	r.driver.driveOn()
	awaitBodies[*wire.ServerFrame_Position](r.rider, 2)
	r.rider.ackPositions(2)
	r.rider.mustDo(chatFrame(r.trip, "hello"))
	at := r.rider.resumePoint(r.trip)
	r.rider.cutConnection()
	back := c.connectPhone(trips.Rider("r"), asProto, at)
	r.driver.mustDo(stepFrame(r.trip, wire.Step_ARRIVE))
	r.driver.mustDo(stepFrame(r.trip, wire.Step_START))
	back.awaitEvents(2)
	r.driver.driveTo(airport)
	r.driver.mustDo(stepFrame(r.trip, wire.Step_COMPLETE))
	if _, err := r.store.RecordCharge(t.Context(), payments.Charge{Trip: r.trip, Rider: "r", Reference: "x"}); err != nil {
		t.Fatal(err)
	}
	awaitBodies[*wire.ServerFrame_Receipt](back, 1)

	if stats := c.g.cfg.Tracer.Ring().Stats(); stats.Rides != 0 || stats.Bytes != 0 {
		t.Errorf("recorded: %+v", stats)
	}
	if n := len(c.g.comebacks.users) + len(c.g.comebacks.count) + len(c.g.thoughts.open); n != 0 {
		t.Errorf("%d things are remembered", n)
	}
}

// Neither without a tracer nor for a trip that is not sampled does a fix cost
// an allocation.
func TestAFixOfARideThatIsNotSampledAllocatesNothing(t *testing.T) {
	for name, c := range map[string]*testNode{"no tracer": newTestNode(t, nil), "not sampled": newTracedNode(t, 1e-15)} {
		r := newReservedRide(t, c, asProto, asProto)
		s := c.g.sessions.OfUser(trips.Driver("d"), nil)[0]
		f := fixFrame(market, 1000, c.now()).GetFix()
		send := func() {
			c.pass(10 * time.Millisecond)
			f.AtMs += 10
			f.Seq++
			s.receiveFix(f, c.now())
		}
		send()
		awaitBodies[*wire.ServerFrame_Position](r.rider, 2) // from now on there is no room
		if allocs := testing.AllocsPerRun(1000, send); allocs != 0 {
			t.Errorf("%s: %v allocations a fix", name, allocs)
		}
	}
}

func TestTheNodeAsksForTimesOnlyIfItRecordsThem(t *testing.T) {
	for want, c := range map[bool]*testNode{false: newTestNode(t, nil), true: newTracedNode(t, 1)} {
		if w := c.connectPhone(trips.Rider("r"), asProto, nil).awaitWelcome(); w.WantsSentMs != want {
			t.Errorf("%v, want %v", w.WantsSentMs, want)
		}
	}
}

func TestTheTimeOfSendingCountsIfItIsPlausible(t *testing.T) {
	read := time.UnixMilli(1_700_000_000_000)
	for name, c := range map[string]struct {
		sent float64
		want time.Time
		note bool
	}{
		"a moment ago":       {wire.ToMillis(read) - 250, read.Add(-250 * time.Millisecond), false},
		"none":               {0, read, false},
		"a clock ahead":      {wire.ToMillis(read) + 250, read, true},
		"a clock far ahead":  {wire.ToMillis(read) + 60_000, read, false},
		"a clock far behind": {wire.ToMillis(read) - 60_000, read, false},
		"in seconds":         {1_700_000_000, read, false},
		"no number":          {math.NaN(), read, false},
		"endless":            {math.Inf(1), read, false},
		"beyond all years":   {-1e300, read, false},
	} {
		at, note := sentTime(c.sent, read)
		if !at.Equal(c.want) || (note != "") != c.note {
			t.Errorf("%s: %v, %q", name, at, note)
		}
	}
}

// The time at which the phone sent a command is where its hop begins.
func TestACommandsHopBeginsWhereThePhoneSentIt(t *testing.T) {
	c := newTracedNode(t, 1)
	c.loseMessages(loseAll)
	rider := c.connectPhone(trips.Rider("r"), asJSONText, nil)
	sent := c.now()
	c.pass(300 * time.Millisecond)
	f := requestFrame(market, airport)
	f.SentMs = wire.ToMillis(sent)
	trip := trips.TripID(rider.mustDo(f).Trip.Id)
	if uuid.Validate(string(trip)) != nil {
		t.Fatalf("trip %q", trip)
	}
	hops := c.awaitHops(trip, tracing.Request, 0, "frame_read rider_phone>gateway", "command_wait gateway>gateway command:c1",
		"event_written gateway>rider_phone commit:event:1", "ack_written gateway>rider_phone command:c1")
	if hops[0].Began != sent.UnixNano() || hops[0].Duration() < 300*time.Millisecond {
		t.Errorf("it began at %v and took %v", hops[0].Began, hops[0].Duration())
	}
}
