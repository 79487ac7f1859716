package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// gate is a store that can be shut: commits then wait until it is opened.
type gate struct {
	*memory
	mu      sync.Mutex // guards below
	shut    chan struct{}
	waiting int
}

func (g *gate) shutGate() (open func()) {
	shut := make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()

	g.shut = shut
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.shut = nil
		close(shut)
	})
}

// countWaiting says how many wait.
func (g *gate) countWaiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

func (g *gate) Apply(ctx context.Context, mv trips.Command) (trips.Event, error) {
	g.mu.Lock()
	shut := g.shut
	g.waiting++
	g.mu.Unlock()

	var err error
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}

	g.mu.Lock()
	g.waiting--
	g.mu.Unlock()

	if err != nil {
		return trips.Event{}, err
	}

	return g.memory.Apply(ctx, mv)
}

// newGatedNode is a node whose commits go through a gate.
func newGatedNode(t testing.TB, change func(*Config)) (*testNode, *gate) {
	store := new(gate)
	c := newTestNode(t, func(cfg *Config) {
		store.memory = cfg.Store.(*memory)
		cfg.Store = store
		cfg.Trips = &trips.Service{Store: store, Now: cfg.Now}
		if change != nil {
			change(cfg)
		}
	})
	return c, store
}

func TestACommandSentAgainHasOneEffectAndTheSameAnswer(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		c := newTestNode(t, nil)
		rider, driver := c.connectPhone(trips.Rider("r"), riders, nil), c.connectPhone(trips.Driver("d"), drivers, nil)

		// again asks three times: twice here, and once over another connection.
		again := func(p **phone, id string, f *wire.ClientFrame) *wire.Ack {
			t.Helper()
			first := (*p).askCommand(id, f)
			second := (*p).askCommand(id, f)
			*p = c.connectPhone((*p).who, map[string]string{asProto: asJSONText, asJSONText: asProto}[(*p).conn.Subprotocol()], nil)

			third := (*p).askCommand(id, f)
			if first.Code != "" || first.String() != second.String() || first.Trip.GetVersion() != third.Trip.GetVersion() ||
				third.Code != "" || first.ChatSeq != third.ChatSeq {
				t.Errorf("%v was answered %v, %v, %v", f, first, second, third)
			}
			return first
		}

		id := trips.TripID(again(&rider, "a", requestFrame(market, airport)).Trip.Id)
		c.sendOffer("o", "d", id)

		// Another user's same id is another id.
		again(&driver, "a", answerFrame("o", true))
		again(&rider, "b", chatFrame(id, "hello"))
		driver.driveTo(market)
		again(&driver, "b", stepFrame(id, wire.Step_ARRIVE))
		again(&driver, "c", stepFrame(id, wire.Step_START))
		driver.driveTo(airport)
		again(&driver, "d", stepFrame(id, wire.Step_COMPLETE))
		if n := len(c.store.events[id]); n != 5 {
			t.Errorf("the trip made %d moves", n)
		}
		if n := len(c.store.messages[id]); n != 1 {
			t.Errorf("%d things were said", n)
		}

		id = trips.TripID(rider.mustDo(requestFrame(market, airport)).Trip.Id)
		again(&rider, "e", cancelFrame(id))
	})
}

func TestACommandIDIsForOneCommand(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asJSONText, asProto)
	r.driver.askCommand("x", stepFrame(r.trip, wire.Step_ARRIVE))
	r.rider.askCommand("chat", chatFrame(r.trip, "one thing"))
	r.rider.askCommand("go", requestFrame(market, airport))

	for i, c := range []struct {
		p  *phone
		id string
		f  *wire.ClientFrame
	}{
		{r.driver, "x", stepFrame(r.trip, wire.Step_START)}, {r.driver, "x", cancelFrame(r.trip)},
		{r.driver, "x", answerFrame("o1", true)}, {r.rider, "chat", chatFrame(r.trip, "another thing")},
		{r.rider, "c1", requestFrame(airport, market)},
	} {
		if ack := c.p.askCommand(c.id, c.f); ack.Code != string(wire.CodeKeyReused) {
			t.Errorf("case %d was answered %v", i, ack)
		}
	}
}

func TestAnAcceptRepeatedWhileTheFirstIsUnderWayWaitsForIt(t *testing.T) {
	c, store := newGatedNode(t, nil)
	id := c.openTrip("r")
	first := c.connectPhone(trips.Driver("d"), asProto, nil)
	c.sendOffer("o", "d", id)
	open := store.shutGate()
	first.sendCommand("accept", answerFrame("o", true))

	c.awaitCondition("the first commits", func() bool { return store.countWaiting() == 1 })
	first.conn.Close()
	second := c.connectPhone(trips.Driver("d"), asProto, nil)
	second.sendCommand("accept", answerFrame("o", true))
	second.awaitHandled()
	open()
	if ack := second.awaitAck("accept", 1); ack.Code != "" || ack.Trip.GetDriverId() != "d" {
		t.Errorf("answered %v", ack)
	}
	if len(c.store.events[id]) != 2 {
		t.Errorf("the trip made %d moves", len(c.store.events[id]))
	}

	second.awaitEvents(1)
}

func TestWhoLearnsFromALateAckThatHeWonIsToldWhatBecameOfTheRide(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, _, drivers string) {
		c := newTestNode(t, nil)
		id := c.openTrip("r")
		first := c.connectPhone(trips.Driver("d"), drivers, nil)
		c.sendOffer("o", "d", id)

		first.askCommand("accept", answerFrame("o", true))
		first.conn.Close() // before he read the answer, say
		first.awaitClose()
		c.moveTrip("d", id, trips.KindDriverCancel)
		c.pass(time.Second)

		second := c.connectPhone(trips.Driver("d"), drivers, nil)
		if w := second.awaitWelcome(); w.Trip != nil {
			t.Fatalf("the ride is over, and the welcome says %v", w.Trip)
		}
		if ack := second.askCommand("accept", answerFrame("o", true)); ack.Code != "" || ack.Trip.GetVersion() != 2 {
			t.Fatalf("answered %v", ack)
		}
		if seqs := second.awaitEvents(1); seqs[0] != 3 {
			t.Errorf("told of the events %v", seqs)
		}
	})
}

func TestAnOldAcceptSentAgainDoesNotBindItsDriverToARideLongOver(t *testing.T) {
	c := newTestNode(t, nil)
	p := c.connectPhone(trips.Driver("d"), asProto, nil)
	for i, offer := range []string{"first", "second"} {
		id := c.openTrip(trips.RiderID(offer))
		c.sendOffer(offer, "d", id)
		p.askCommand("accept-"+offer, answerFrame(offer, true))
		p.awaitEvents(2*i + 1)
		c.moveTrip("d", id, trips.KindDriverCancel)
		p.awaitEvents(2*i + 2)
		c.pass(time.Second)
	}

	if ack := p.askCommand("accept-first", answerFrame("first", true)); ack.Code != "" {
		t.Fatalf("answered %v", ack)
	}
	if d, _ := c.drivers.Get("d"); d.Trip != "" {
		t.Errorf("the driver is bound to %s, which is over", d.Trip)
	}
}

func TestAnOfferIsAcceptedOnceAndDeclinedAsOftenAsYouLike(t *testing.T) {
	c := newTestNode(t, nil)
	p, other := c.connectPhone(trips.Driver("d"), asProto, nil), c.connectPhone(trips.Driver("other"), asJSONText, nil)
	o := c.sendOffer("o", "d", c.openTrip("r"))
	if ack := other.askCommand("steal", answerFrame("o", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("another driver's offer: %v", ack)
	}
	p.mustDo(answerFrame("o", false))
	p.mustDo(answerFrame("o", false))
	if len(c.declined) != 1 || c.declined[0].ID != o.ID {
		t.Errorf("declined %v", c.declined)
	}
	if ack := p.askCommand("late", answerFrame("o", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("accepted after the decline: %v", ack)
	}

	c.sendOffer("o2", "d", o.Trip.ID)
	p.mustDo(answerFrame("o2", true))
	if ack := p.askCommand("again", answerFrame("o2", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("accepted under another id: %v", ack)
	}

	c.sendOffer("o3", "other", o.Trip.ID) // of a trip that someone has by now
	if ack := other.askCommand("slow", answerFrame("o3", true)); ack.Code != string(wire.CodeTaken) || len(c.declined) != 2 {
		t.Errorf("accepted what was taken: %v; declined %v", ack, c.declined)
	}
}

func TestAnOfferTakenBackIsGone(t *testing.T) {
	c := newTestNode(t, nil)
	p := c.connectPhone(trips.Driver("d"), asJSONText, nil)
	o := c.sendOffer("o", "d", c.openTrip("r"))
	c.g.WithdrawOffer(o, "cancelled")
	c.g.WithdrawOffer(o, "expired")
	if gone := awaitBodies[*wire.ServerFrame_OfferGone](p, 1)[0].OfferGone; gone.Id != "o" || gone.Reason != "cancelled" {
		t.Errorf("told %v", gone)
	}
	if ack := p.askCommand("a", answerFrame("o", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("answered %v", ack)
	}
	if n := len(bodiesOf[*wire.ServerFrame_OfferGone](p.framesSoFar())); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// Every kind of stranger tries every command on a trip of others, at each stage
// of it. None has an effect, and the answer is the one they get about a trip
// that does not exist.
func TestStrangersCommandsHaveNoEffectAndTellNothing(t *testing.T) {
	c := newTestNode(t, nil)
	strangers := []*phone{c.connectPhone(trips.Rider("x"), asJSONText, nil), c.connectPhone(trips.Driver("x"), asProto, nil),
		c.connectPhone(trips.Rider("d"), asProto, nil), c.connectPhone(trips.Driver("r"), asJSONText, nil)}
	commands := map[string]func(trips.TripID) *wire.ClientFrame{
		"arrive":   func(id trips.TripID) *wire.ClientFrame { return stepFrame(id, wire.Step_ARRIVE) },
		"start":    func(id trips.TripID) *wire.ClientFrame { return stepFrame(id, wire.Step_START) },
		"complete": func(id trips.TripID) *wire.ClientFrame { return stepFrame(id, wire.Step_COMPLETE) },
		"cancel":   cancelFrame,
		"chat":     func(id trips.TripID) *wire.ClientFrame { return chatFrame(id, "psst") },
	}

	id := c.openTrip("r")
	for _, next := range []trips.Kind{trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted, ""} {
		before := len(c.store.events[id])
		for _, p := range strangers {
			for name, f := range commands {
				want := wire.CodeNotFound
				if p.who.Role == trips.RoleRider && f(id).GetMoveTrip() != nil {
					want = wire.CodeForbidden
				}
				key := name + string(next)
				theirs, none := p.askCommand(key, f(id)), p.askCommand("n"+key, f("no-such-trip"))
				odd := p.askCommand("o"+key, f("nul\x00and"+trips.TripID(strings.Repeat("x", 100))))
				if theirs.Code != string(want) || none.Code != theirs.Code || none.Message != theirs.Message || odd.Message != none.Message {
					t.Errorf("%v does %s before %q: %v; on no trip: %v; on a mad one: %v", p.who, name, next, theirs, none, odd)
				}
			}
		}

		if len(c.store.events[id]) != before || len(c.store.messages[id]) != 0 {
			t.Fatalf("a stranger had an effect before %q", next)
		}
		if next != "" {
			c.moveTrip("d", id, next)
		}
	}

	for _, p := range strangers {
		for _, f := range p.framesSoFar() {
			if f.GetAck() == nil && f.GetWelcome() == nil {
				t.Errorf("%v saw %v", p.who, f)
			}
		}
	}
}

func TestEachRoleKeepsToItsOwnCommands(t *testing.T) {
	c := newTestNode(t, nil)
	rider, driver := c.connectPhone(trips.Rider("r"), asJSONText, nil), c.connectPhone(trips.Driver("d"), asProto, nil)
	forbidden := []struct {
		p *phone
		f *wire.ClientFrame
	}{
		{rider, availableFrame(true)}, {rider, answerFrame("o", true)}, {rider, answerFrame("o", false)},
		{rider, stepFrame("t", wire.Step_ARRIVE)}, {driver, requestFrame(market, airport)},
	}

	for i, x := range forbidden {
		if ack := x.p.askCommand(fmt.Sprint("f", i), x.f); ack.Code != string(wire.CodeForbidden) || ack.Message == "" {
			t.Errorf("%v asked %v: %v", x.p.who, x.f, ack)
		}
	}

	if ack := driver.askCommand("", areaFrame(market, 100)); ack.Code != string(wire.CodeForbidden) {
		t.Errorf("a driver watches cars: %v", ack)
	}
}

func TestACommandWithABadFieldIsRefusedWithItsCode(t *testing.T) {
	c := newTestNode(t, nil)
	rider, driver := c.connectPhone(trips.Rider("r"), asProto, nil), c.connectPhone(trips.Driver("d"), asJSONText, nil)
	id := c.openTrip("other")
	mad := cancelFrame(id)
	mad.GetCancelTrip().Reason = "a\x00b"
	long := cancelFrame(id)
	long.GetCancelTrip().Reason = strings.Repeat("x", translate.MaxReason+1)
	nowhere := requestFrame(market, airport)
	nowhere.GetRequestTrip().Dropoff = nil
	off := requestFrame(market, airport)
	off.GetRequestTrip().Pickup.Lat = 91

	for i, x := range []struct {
		p  *phone
		id string
		f  *wire.ClientFrame
	}{
		{rider, "", requestFrame(market, airport)}, {rider, "a\x00b", requestFrame(market, airport)},
		{rider, "1", nowhere}, {rider, "2", off}, {rider, "3", mad}, {rider, "4", long},
		{driver, "5", stepFrame(id, wire.Step_STEP_UNSPECIFIED)}, {driver, "6", stepFrame(id, 99)},
	} {
		if ack := x.p.askCommand(x.id, x.f); ack.Code != string(wire.CodeBadField) {
			t.Errorf("case %d was answered %v", i, ack)
		}
	}
	rider.sendCommand(strings.Repeat("i", translate.MaxID+1), cancelFrame(id))

	rider.awaitFrames("the refusal of a long id", func(got []*wire.ServerFrame) bool {
		list := bodiesOf[*wire.ServerFrame_Ack](got)
		return strings.HasPrefix(list[len(list)-1].Ack.Id, "iii") && list[len(list)-1].Ack.Code == string(wire.CodeBadField)
	})
}

func TestWhatTheStoreCannotDoNowCanBeAskedAgain(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		c := newTestNode(t, nil)
		rider, driver := c.connectPhone(trips.Rider("r"), riders, nil), c.connectPhone(trips.Driver("d"), drivers, nil)
		id := c.openTrip("r")
		o := c.sendOffer("o", "d", id)
		c.store.breakWith(errors.New("dial tcp 10.0.0.7: the password of ridehail is wrong"))

		for p, f := range map[*phone]*wire.ClientFrame{rider: cancelFrame(id), driver: answerFrame("o", true)} {
			if ack := p.askCommand("a", f); ack.Code != string(wire.CodeUnavailable) || strings.Contains(ack.Message, "password") {
				t.Errorf("%v was told %v", p.who, ack)
			}
		}

		if len(c.declined) != 0 || len(c.inbox.OffersOf("d")) != 1 {
			t.Errorf("the offer is lost: declined %v, held %v", c.declined, c.inbox.OffersOf("d"))
		}
		c.store.breakWith(nil)
		if ack := driver.askCommand("a", answerFrame(o.ID, true)); ack.Code != "" || ack.Trip.GetState() != "reserved" {
			t.Errorf("once it is up: %v", ack)
		}
		if ack := rider.askCommand("a", cancelFrame(id)); ack.Code != "" || ack.Trip.GetState() != "cancelled" {
			t.Errorf("once it is up: %v", ack)
		}

		rider.awaitEvents(3)
		driver.awaitEvents(2)
	})
}

func TestAPhoneIsWelcomedLaterWhenTheStoreIsDown(t *testing.T) {
	c := newTestNode(t, nil)
	c.store.breakWith(errors.New("down"))
	p := c.connectUnwelcomed(asProto, trips.Driver("d"))
	p.sendHello(nil)
	if code := p.awaitClose(); code != wire.CloseOverload || !wire.ShouldReconnect(code) {
		t.Errorf("closed with %d", code)
	}

	c.awaitCondition("it is forgotten", func() bool {
		d, _ := c.drivers.Get("d")
		return c.g.sessions.Len() == 0 && !d.Connected
	})
	c.store.breakWith(nil)
	c.connectPhone(trips.Driver("d"), asProto, nil)
}

func TestCommandsOfOnePhoneAreDoneInOrderAndOnlySoManyWait(t *testing.T) {
	c, store := newGatedNode(t, func(cfg *Config) { cfg.Limits.Commands = 3 })
	id := c.openTrip("r")
	p := c.connectPhone(trips.Driver("d"), asProto, nil)
	c.sendOffer("o", "d", id)
	open := store.shutGate()
	p.sendCommand("accept", answerFrame("o", true))
	c.awaitCondition("it commits", func() bool { return store.countWaiting() == 1 })
	for _, s := range []wire.Step{wire.Step_ARRIVE, wire.Step_START} {
		p.sendCommand(s.String(), stepFrame(id, s))
	}
	p.sendCommand("chat", chatFrame(id, "off we go"))
	p.driveOn() // positions do not wait for the database
	if ack := p.askCommand("one too many", cancelFrame(id)); ack.Code != string(wire.CodeTooMany) {
		t.Errorf("with three waiting: %v", ack)
	}

	open()
	if ack := p.awaitAck("chat", 1); ack.Code != "" || ack.ChatSeq != 1 {
		t.Errorf("the last one: %v", ack)
	}

	var order []string
	for _, a := range bodiesOf[*wire.ServerFrame_Ack](p.framesSoFar()) {
		order = append(order, a.Ack.Id)
	}
	if got := strings.Join(order, " "); got != "one too many accept ARRIVE START chat" {
		t.Errorf("answered in the order %s", got)
	}
	if ack := p.askCommand("one too many", availableFrame(true)); ack.Code != "" {
		t.Errorf("afterwards: %v", ack)
	}
}
