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

// gate is a store that can be held shut: whoever wants to commit waits until it
// is opened.
type gate struct {
	*memory
	mu      sync.Mutex // guards below
	shut    chan struct{}
	waiting int
}

func (g *gate) close() (open func()) {
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

// held says how many wait.
func (g *gate) held() int {
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

// gatedTown is a town whose commits go through a gate.
func gatedTown(t testing.TB, change func(*Config)) (*town, *gate) {
	store := new(gate)
	c := newTown(t, func(cfg *Config) {
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
	both(t, func(t *testing.T, riders, drivers string) {
		c := newTown(t, nil)
		rider, driver := c.connect(trips.Rider("r"), riders, nil), c.connect(trips.Driver("d"), drivers, nil)

		// again asks three times: twice here, and once over another connection.
		again := func(p **phone, id string, f *wire.ClientFrame) *wire.Ack {
			t.Helper()
			first := (*p).ask(id, f)
			second := (*p).ask(id, f)
			*p = c.connect((*p).who, map[string]string{asProto: asJSONText, asJSONText: asProto}[(*p).conn.Subprotocol()], nil)

			third := (*p).ask(id, f)
			if first.Code != "" || first.String() != second.String() || first.Trip.GetVersion() != third.Trip.GetVersion() ||
				third.Code != "" || first.ChatSeq != third.ChatSeq {
				t.Errorf("%v was answered %v, %v, %v", f, first, second, third)
			}
			return first
		}

		id := trips.TripID(again(&rider, "a", requestFrame(market, airport)).Trip.Id)
		c.offer("o", "d", id)

		// another user's same id is another id
		again(&driver, "a", answerFrame("o", true))
		again(&rider, "b", chatFrame(id, "hello"))
		again(&driver, "b", stepFrame(id, wire.Step_ARRIVE))
		again(&driver, "c", stepFrame(id, wire.Step_START))
		again(&driver, "d", stepFrame(id, wire.Step_COMPLETE))
		if n := len(c.store.events[id]); n != 5 {
			t.Errorf("the trip made %d moves", n)
		}
		if n := len(c.store.said[id]); n != 1 {
			t.Errorf("%d things were said", n)
		}

		id = trips.TripID(rider.does(requestFrame(market, airport)).Trip.Id)
		again(&rider, "e", cancelFrame(id))
	})
}

func TestACommandIDIsForOneCommand(t *testing.T) {
	r := reserved(t, newTown(t, nil), asJSONText, asProto)
	r.driver.ask("x", stepFrame(r.trip, wire.Step_ARRIVE))
	r.rider.ask("chat", chatFrame(r.trip, "one thing"))
	r.rider.ask("go", requestFrame(market, airport))

	for i, c := range []struct {
		p  *phone
		id string
		f  *wire.ClientFrame
	}{
		{r.driver, "x", stepFrame(r.trip, wire.Step_START)}, {r.driver, "x", cancelFrame(r.trip)},
		{r.driver, "x", answerFrame("o1", true)}, {r.rider, "chat", chatFrame(r.trip, "another thing")},
		{r.rider, "c1", requestFrame(airport, market)},
	} {
		if ack := c.p.ask(c.id, c.f); ack.Code != string(wire.CodeKeyReused) {
			t.Errorf("case %d was answered %v", i, ack)
		}
	}
}

func TestAnAcceptRepeatedWhileTheFirstIsUnderWayWaitsForIt(t *testing.T) {
	c, store := gatedTown(t, nil)
	id := c.request("r")
	first := c.connect(trips.Driver("d"), asProto, nil)
	c.offer("o", "d", id)
	open := store.close()
	first.command("accept", answerFrame("o", true))

	c.until("the first commits", func() bool { return store.held() == 1 })
	first.conn.Close()
	second := c.connect(trips.Driver("d"), asProto, nil)
	second.command("accept", answerFrame("o", true))
	second.settled()
	open()
	if ack := second.answer("accept", 1); ack.Code != "" || ack.Trip.GetDriverId() != "d" {
		t.Errorf("answered %v", ack)
	}
	if len(c.store.events[id]) != 2 {
		t.Errorf("the trip made %d moves", len(c.store.events[id]))
	}

	second.events(1)
}

func TestWhoLearnsFromALateAckThatHeWonIsToldWhatBecameOfTheRide(t *testing.T) {
	both(t, func(t *testing.T, _, drivers string) {
		c := newTown(t, nil)
		id := c.request("r")
		first := c.connect(trips.Driver("d"), drivers, nil)
		c.offer("o", "d", id)

		first.ask("accept", answerFrame("o", true))
		first.conn.Close() // before he read the answer, say
		first.closed()
		c.step("d", id, trips.KindDriverCancel)
		c.pass(time.Second)

		second := c.connect(trips.Driver("d"), drivers, nil)
		if w := second.welcome(); w.Trip != nil {
			t.Fatalf("the ride is over, and the welcome says %v", w.Trip)
		}
		if ack := second.ask("accept", answerFrame("o", true)); ack.Code != "" || ack.Trip.GetVersion() != 2 {
			t.Fatalf("answered %v", ack)
		}
		if seqs := second.events(1); seqs[0] != 3 {
			t.Errorf("told of the events %v", seqs)
		}
	})
}

func TestAnOldAcceptSentAgainDoesNotBindItsDriverToARideLongOver(t *testing.T) {
	c := newTown(t, nil)
	p := c.connect(trips.Driver("d"), asProto, nil)
	for i, offer := range []string{"first", "second"} {
		id := c.request(trips.RiderID(offer))
		c.offer(offer, "d", id)
		p.ask("accept-"+offer, answerFrame(offer, true))
		p.events(2*i + 1)
		c.step("d", id, trips.KindDriverCancel)
		p.events(2*i + 2)
		c.pass(time.Second)
	}

	if ack := p.ask("accept-first", answerFrame("first", true)); ack.Code != "" {
		t.Fatalf("answered %v", ack)
	}
	if d, _ := c.drivers.Get("d"); d.Trip != "" {
		t.Errorf("the driver is bound to %s, which is over", d.Trip)
	}
}

func TestAnOfferIsAcceptedOnceAndDeclinedAsOftenAsYouLike(t *testing.T) {
	c := newTown(t, nil)
	p, other := c.connect(trips.Driver("d"), asProto, nil), c.connect(trips.Driver("other"), asJSONText, nil)
	o := c.offer("o", "d", c.request("r"))
	if ack := other.ask("steal", answerFrame("o", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("another driver's offer: %v", ack)
	}
	p.does(answerFrame("o", false))
	p.does(answerFrame("o", false))
	if len(c.declined) != 1 || c.declined[0].ID != o.ID {
		t.Errorf("declined %v", c.declined)
	}
	if ack := p.ask("late", answerFrame("o", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("accepted after the decline: %v", ack)
	}

	c.offer("o2", "d", o.Trip.ID)
	p.does(answerFrame("o2", true))
	if ack := p.ask("again", answerFrame("o2", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("accepted under another id: %v", ack)
	}

	c.offer("o3", "other", o.Trip.ID) // of a trip that someone has by now
	if ack := other.ask("slow", answerFrame("o3", true)); ack.Code != string(wire.CodeTaken) || len(c.declined) != 2 {
		t.Errorf("accepted what was taken: %v; declined %v", ack, c.declined)
	}
}

func TestAnOfferTakenBackIsGone(t *testing.T) {
	c := newTown(t, nil)
	p := c.connect(trips.Driver("d"), asJSONText, nil)
	o := c.offer("o", "d", c.request("r"))
	c.g.OfferGone(o, "cancelled")
	c.g.OfferGone(o, "expired")
	if gone := has[*wire.ServerFrame_OfferGone](p, 1)[0].OfferGone; gone.Id != "o" || gone.Reason != "cancelled" {
		t.Errorf("told %v", gone)
	}
	if ack := p.ask("a", answerFrame("o", true)); ack.Code != string(wire.CodeOfferGone) {
		t.Errorf("answered %v", ack)
	}
	if n := len(frames[*wire.ServerFrame_OfferGone](p.sofar())); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// Every kind of stranger tries every command on a trip of others, at each stage
// of it. None has an effect, and the answer is the one they get about a trip
// that does not exist.
func TestStrangersCommandsHaveNoEffectAndTellNothing(t *testing.T) {
	c := newTown(t, nil)
	strangers := []*phone{c.connect(trips.Rider("x"), asJSONText, nil), c.connect(trips.Driver("x"), asProto, nil),
		c.connect(trips.Rider("d"), asProto, nil), c.connect(trips.Driver("r"), asJSONText, nil)}
	commands := map[string]func(trips.TripID) *wire.ClientFrame{
		"arrive":   func(id trips.TripID) *wire.ClientFrame { return stepFrame(id, wire.Step_ARRIVE) },
		"start":    func(id trips.TripID) *wire.ClientFrame { return stepFrame(id, wire.Step_START) },
		"complete": func(id trips.TripID) *wire.ClientFrame { return stepFrame(id, wire.Step_COMPLETE) },
		"cancel":   cancelFrame,
		"chat":     func(id trips.TripID) *wire.ClientFrame { return chatFrame(id, "psst") },
	}

	id := c.request("r")
	for _, next := range []trips.Kind{trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted, ""} {
		before := len(c.store.events[id])
		for _, p := range strangers {
			for name, f := range commands {
				want := wire.CodeNotFound
				if p.who.Role == trips.RoleRider && f(id).GetMoveTrip() != nil {
					want = wire.CodeForbidden
				}
				key := name + string(next)
				theirs, none := p.ask(key, f(id)), p.ask("n"+key, f("no-such-trip"))
				odd := p.ask("o"+key, f("nul\x00and"+trips.TripID(strings.Repeat("x", 100))))
				if theirs.Code != string(want) || none.Code != theirs.Code || none.Message != theirs.Message || odd.Message != none.Message {
					t.Errorf("%v does %s before %q: %v; on no trip: %v; on a mad one: %v", p.who, name, next, theirs, none, odd)
				}
			}
		}

		if len(c.store.events[id]) != before || len(c.store.said[id]) != 0 {
			t.Fatalf("a stranger had an effect before %q", next)
		}
		if next != "" {
			c.step("d", id, next)
		}
	}

	for _, p := range strangers {
		for _, f := range p.sofar() {
			if f.GetAck() == nil && f.GetWelcome() == nil {
				t.Errorf("%v saw %v", p.who, f)
			}
		}
	}
}

func TestEachRoleKeepsToItsOwnCommands(t *testing.T) {
	c := newTown(t, nil)
	rider, driver := c.connect(trips.Rider("r"), asJSONText, nil), c.connect(trips.Driver("d"), asProto, nil)
	forbidden := []struct {
		p *phone
		f *wire.ClientFrame
	}{
		{rider, available(true)}, {rider, answerFrame("o", true)}, {rider, answerFrame("o", false)},
		{rider, stepFrame("t", wire.Step_ARRIVE)}, {driver, requestFrame(market, airport)},
	}

	for i, x := range forbidden {
		if ack := x.p.ask(fmt.Sprint("f", i), x.f); ack.Code != string(wire.CodeForbidden) || ack.Message == "" {
			t.Errorf("%v asked %v: %v", x.p.who, x.f, ack)
		}
	}

	if ack := driver.ask("", areaFrame(market, 100)); ack.Code != string(wire.CodeForbidden) {
		t.Errorf("a driver watches cars: %v", ack)
	}
}

func TestACommandWithABadFieldIsRefusedWithItsCode(t *testing.T) {
	c := newTown(t, nil)
	rider, driver := c.connect(trips.Rider("r"), asProto, nil), c.connect(trips.Driver("d"), asJSONText, nil)
	id := c.request("other")
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
		if ack := x.p.ask(x.id, x.f); ack.Code != string(wire.CodeBadField) {
			t.Errorf("case %d was answered %v", i, ack)
		}
	}
	rider.command(strings.Repeat("i", translate.MaxID+1), cancelFrame(id))

	rider.until("the refusal of a long id", func(got []*wire.ServerFrame) bool {
		list := frames[*wire.ServerFrame_Ack](got)
		return strings.HasPrefix(list[len(list)-1].Ack.Id, "iii") && list[len(list)-1].Ack.Code == string(wire.CodeBadField)
	})
}

func TestWhatTheStoreCannotDoNowCanBeAskedAgain(t *testing.T) {
	both(t, func(t *testing.T, riders, drivers string) {
		c := newTown(t, nil)
		rider, driver := c.connect(trips.Rider("r"), riders, nil), c.connect(trips.Driver("d"), drivers, nil)
		id := c.request("r")
		o := c.offer("o", "d", id)
		c.store.breakWith(errors.New("dial tcp 10.0.0.7: the password of ridehail is wrong"))

		for p, f := range map[*phone]*wire.ClientFrame{rider: cancelFrame(id), driver: answerFrame("o", true)} {
			if ack := p.ask("a", f); ack.Code != string(wire.CodeUnavailable) || strings.Contains(ack.Message, "password") {
				t.Errorf("%v was told %v", p.who, ack)
			}
		}

		if len(c.declined) != 0 || len(c.inbox.OffersOf("d")) != 1 {
			t.Errorf("the offer is lost: declined %v, held %v", c.declined, c.inbox.OffersOf("d"))
		}
		c.store.breakWith(nil)
		if ack := driver.ask("a", answerFrame(o.ID, true)); ack.Code != "" || ack.Trip.GetState() != "reserved" {
			t.Errorf("once it is up: %v", ack)
		}
		if ack := rider.ask("a", cancelFrame(id)); ack.Code != "" || ack.Trip.GetState() != "cancelled" {
			t.Errorf("once it is up: %v", ack)
		}

		rider.events(3)
		driver.events(2)
	})
}

func TestAPhoneIsWelcomedLaterWhenTheStoreIsDown(t *testing.T) {
	c := newTown(t, nil)
	c.store.breakWith(errors.New("down"))
	p := c.knock(asProto, trips.Driver("d"))
	p.hello(nil)
	if code := p.closed(); code != wire.CloseOverload || !wire.ShouldReconnect(code) {
		t.Errorf("closed with %d", code)
	}

	c.until("it is forgotten", func() bool {
		d, _ := c.drivers.Get("d")
		return c.g.sessions.Len() == 0 && !d.Connected
	})
	c.store.breakWith(nil)
	c.connect(trips.Driver("d"), asProto, nil)
}

func TestCommandsOfOnePhoneAreDoneInOrderAndOnlySoManyWait(t *testing.T) {
	c, store := gatedTown(t, func(cfg *Config) { cfg.Limits.Commands = 3 })
	id := c.request("r")
	p := c.connect(trips.Driver("d"), asProto, nil)
	c.offer("o", "d", id)
	open := store.close()
	p.command("accept", answerFrame("o", true))
	c.until("it commits", func() bool { return store.held() == 1 })
	for _, s := range []wire.Step{wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE} {
		p.command(s.String(), stepFrame(id, s))
	}
	p.drive() // positions do not wait for the database
	if ack := p.ask("one too many", cancelFrame(id)); ack.Code != string(wire.CodeTooMany) {
		t.Errorf("with three waiting: %v", ack)
	}

	open()
	if ack := p.answer("COMPLETE", 1); ack.Code != "" || ack.Trip.GetVersion() != 5 {
		t.Errorf("the last one: %v", ack)
	}

	var order []string
	for _, a := range frames[*wire.ServerFrame_Ack](p.sofar()) {
		order = append(order, a.Ack.Id)
	}
	if got := strings.Join(order, " "); got != "one too many accept ARRIVE START COMPLETE" {
		t.Errorf("answered in the order %s", got)
	}
	if ack := p.ask("one too many", available(true)); ack.Code != "" {
		t.Errorf("afterwards: %v", ack)
	}
}
