package gateway

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// cutConnection ends the phone's TCP connection without a word, and waits until
// the node has noticed.
func (p *phone) cutConnection() {
	p.t.Helper()
	before := p.c.g.sessions.Len()
	p.conn.NetConn().Close()
	p.awaitClose()
	p.c.awaitCondition("the node notices", func() bool { return p.c.g.sessions.Len() < before })
}

// heardInOrder is what ordered news the phone got, in words.
func (p *phone) heardInOrder() (list []string) {
	for _, f := range p.framesSoFar() {
		switch b := f.Body.(type) {
		case *wire.ServerFrame_TripEvent:
			list = append(list, fmt.Sprint("event ", b.TripEvent.Seq))
		case *wire.ServerFrame_Chat:
			list = append(list, fmt.Sprint("chat ", b.Chat.Seq))
		case *wire.ServerFrame_Receipt:
			list = append(list, "receipt")
		}
	}
	return list
}

func TestACutConnectionMissesNothing(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		r.driver.mustDo(chatFrame(r.trip, "on my way"))
		awaitBodies[*wire.ServerFrame_Chat](r.rider, 1)
		at := r.rider.resumePoint(r.trip)
		r.rider.cutConnection()
		r.driver.mustDo(stepFrame(r.trip, wire.Step_ARRIVE))
		r.driver.mustDo(chatFrame(r.trip, "I am here"))
		r.driver.mustDo(chatFrame(r.trip, "at the gate"))
		r.driver.mustDo(stepFrame(r.trip, wire.Step_START))
		back := r.connectPhone(trips.Rider("r"), drivers, at)
		if w := back.awaitWelcome(); !w.Recovered || w.Trip != nil || w.Epoch != at.Epoch {
			t.Errorf("welcomed back with %v", w)
		}

		r.driver.mustDo(chatFrame(r.trip, "off we go"))
		awaitBodies[*wire.ServerFrame_Chat](back, 3)
		if got := fmt.Sprint(back.heardInOrder()); got != "[event 3 event 4 chat 2 chat 3 chat 4]" {
			t.Errorf("heard %v", got)
		}
		r.driver.driveTo(airport)
		awaitBodies[*wire.ServerFrame_Position](back, 1)
		r.driver.mustDo(stepFrame(r.trip, wire.Step_COMPLETE))
		back.awaitEvents(3)
		at = back.resumePoint(r.trip)
		at.ChatSeq = 4
		back.cutConnection()
		if _, err := r.store.RecordCharge(t.Context(), payments.Charge{Trip: r.trip, Rider: "r", Reference: "x"}); err != nil {
			t.Fatal(err)
		}

		// The ride is over, the receipt was missed.
		after := r.connectPhone(trips.Rider("r"), riders, at)
		awaitBodies[*wire.ServerFrame_Receipt](after, 1)
		if got := fmt.Sprint(after.heardInOrder()); got != "[receipt]" || !after.awaitWelcome().Recovered {
			t.Errorf("heard %v", got)
		}
	})
}

func TestADriverComesBackToTheirTripAndTheOffersInHand(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		at := r.driver.resumePoint(r.trip)

		// Before the node notices that the last one is gone.
		next := r.connectPhone(trips.Driver("d"), riders, at)
		r.rider.mustDo(cancelFrame(r.trip))
		if seqs := next.awaitEvents(1); !sameUpTo(seqs, 3, 3) || !next.awaitWelcome().Recovered {
			t.Errorf("recovered=%v, events %v", next.awaitWelcome().Recovered, seqs)
		}

		r.sendOffer("o2", "d", r.openTrip("r2"))
		r.sendOffer("o3", "d", r.openTrip("r3"))
		again := r.connectPhone(trips.Driver("d"), drivers, next.resumePoint(r.trip))
		seen := map[string]bool{}
		for _, o := range awaitBodies[*wire.ServerFrame_Offer](again, 2) {
			seen[o.Offer.Id] = true
		}
		if !seen["o2"] || !seen["o3"] {
			t.Errorf("offers %v came again", seen)
		}

		again.mustDo(answerFrame("o2", true))
	})
}

func TestWithoutARecordOfThePastTheWelcomeSaysHowThingsStand(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asJSONText, asProto)
	r.driver.mustDo(chatFrame(r.trip, "hello"))

	for name, resume := range map[string]*wire.Resume{
		"no resume":          nil,
		"an unknown trip":    {Epoch: epoch, TripId: "never-heard-of", TripSeq: 3},
		"another trip":       {Epoch: epoch, TripId: string(r.openTrip("other")), TripSeq: 1},
		"another epoch":      {Epoch: "0", TripId: string(r.trip), TripSeq: 1},
		"no trip":            {Epoch: epoch},
		"more than happened": {Epoch: epoch, TripId: string(r.trip), TripSeq: 99},
	} {
		p := r.connectPhone(trips.Rider("r"), asProto, resume)
		w := p.awaitWelcome()
		if w.Recovered || w.Trip.GetId() != string(r.trip) || w.Trip.GetVersion() != 2 || w.ChatSeq != 1 {
			t.Errorf("%s: %v", name, w)
		}

		p.awaitHandled()
		if got := p.heardInOrder(); len(got) != 0 {
			t.Errorf("%s: heard %v, too", name, got)
		}
		p.cutConnection()
	}

	// and goes on from there
	r.driver.mustDo(stepFrame(r.trip, wire.Step_ARRIVE))
	r.rider.awaitEvents(3)
}

func TestWhoHadNoTripAndHasNoneIsRecovered(t *testing.T) {
	c := newTestNode(t, nil)
	if w := c.connectPhone(trips.Rider("r"), asProto, &wire.Resume{Epoch: epoch}).awaitWelcome(); !w.Recovered || w.Trip != nil {
		t.Errorf("welcomed with %v", w)
	}
	if w := c.connectPhone(trips.Rider("r"), asProto, &wire.Resume{Epoch: epoch, TripId: "gone", TripSeq: 4}).awaitWelcome(); w.Recovered {
		t.Errorf("of an unknown trip: %v", w)
	}

	other := c.openTrip("other")
	if w := c.connectPhone(trips.Rider("r"), asProto, &wire.Resume{Epoch: epoch, TripId: string(other), TripSeq: 1}).awaitWelcome(); w.Recovered {
		t.Errorf("of a stranger's trip: %v", w)
	}
}

func TestALaterNumberRevealsWhatWasLost(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		c := newTestNode(t, nil)
		c.startRunning()
		r := newReservedRide(t, c, riders, drivers)
		c.loseMessages(loseAll)
		c.moveTrip("d", r.trip, trips.KindArrived) // on another node
		c.sendChat(trips.Driver("d"), r.trip, "lost one")
		c.sendChat(trips.Driver("d"), r.trip, "lost two")
		c.loseMessages(nil)
		r.driver.mustDo(stepFrame(r.trip, wire.Step_START))
		if seqs := r.rider.awaitEvents(4); !sameUpTo(seqs, 1, 4) {
			t.Errorf("the rider saw events %v", seqs)
		}
		if seqs := r.driver.awaitEvents(3); !sameUpTo(seqs, 2, 4) {
			t.Errorf("the driver saw events %v", seqs)
		}
		r.rider.mustDo(chatFrame(r.trip, "heard?"))

		for _, p := range []*phone{r.rider, r.driver} {
			for i, m := range awaitBodies[*wire.ServerFrame_Chat](p, 3) {
				if m.Chat.Seq != uint32(i+1) {
					t.Errorf("%v read %v as number %d", p.who, m.Chat, i+1)
				}
			}
		}
	})
}

func TestAfterAGapAllIsReadFromTheStore(t *testing.T) {
	c := newTestNode(t, nil)
	c.startRunning()
	rider := c.connectPhone(trips.Rider("r"), asJSONText, nil)
	driver := c.connectPhone(trips.Driver("d"), asProto, nil)
	c.loseMessages(loseAll)
	id := c.openTrip("r") // they never heard of the trip
	c.moveTrip("d", id, trips.KindReserved)
	c.sendChat(trips.Driver("d"), id, "lost")
	c.g.OnGap()
	if seqs := rider.awaitEvents(2); !sameUpTo(seqs, 1, 2) {
		t.Errorf("the rider saw events %v", seqs)
	}
	if seqs := driver.awaitEvents(1); !sameUpTo(seqs, 2, 2) {
		t.Errorf("the driver saw events %v", seqs)
	}

	awaitBodies[*wire.ServerFrame_Chat](rider, 1)
	driver.driveOn()
	awaitBodies[*wire.ServerFrame_Position](rider, 1)
	c.moveTrip("d", id, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)
	if _, err := c.store.RecordCharge(t.Context(), payments.Charge{Trip: id, Rider: "r", Reference: "x"}); err != nil {
		t.Fatal(err)
	}
	c.g.OnGap()
	rider.awaitEvents(5)
	awaitBodies[*wire.ServerFrame_Receipt](rider, 1)
	c.g.OnGap() // nothing was missed: nothing comes again
	c.loseMessages(nil)
	second := trips.TripID(rider.mustDo(requestFrame(market, airport)).Trip.Id)
	rider.awaitEvents(6)
	rider.awaitHandled()
	if got := fmt.Sprint(rider.heardInOrder()); got != "[event 1 event 2 chat 1 event 3 event 4 event 5 receipt event 1]" {
		t.Errorf("heard %v, the last of trip %s", got, second)
	}
}

func TestCatchingUpIsTriedAgainWhileTheStoreIsDown(t *testing.T) {
	c := newTestNode(t, nil)
	c.startRunning()
	rider := c.connectPhone(trips.Rider("r"), asProto, nil)
	id := c.openTrip("r")
	rider.awaitEvents(1)

	c.loseMessages(loseAll)
	c.moveTrip("d", id, trips.KindReserved)
	c.store.breakWith(errors.New("down"))
	c.g.OnGap()
	c.awaitCondition("it was tried", func() bool { return len(c.g.gaps) == 0 })
	c.store.breakWith(nil)
	rider.awaitEvents(2)
}

// A driver may get a trip that was requested before their last one.
func TestATripAskedForEarlierIsNewsToItsDriver(t *testing.T) {
	c := newTestNode(t, nil)
	p := c.connectPhone(trips.Driver("d"), asProto, nil)
	patient, hasty := c.openTrip("patient"), c.openTrip("hasty")
	c.moveTrip("d", hasty, trips.KindReserved, trips.KindDriverCancel)
	p.awaitEvents(2)
	c.moveTrip("d", patient, trips.KindReserved, trips.KindArrived)
	p.awaitEvents(4)

	for i, want := range []trips.TripID{hasty, hasty, patient, patient} {
		if e := bodiesOf[*wire.ServerFrame_TripEvent](p.framesSoFar())[i].TripEvent; trips.TripID(e.TripId) != want {
			t.Errorf("event %d is %v, want one of trip %s", i+1, e, want)
		}
	}
}

// muddle loses, repeats and delays messages by a seed.
type muddle struct {
	dice *rand.Rand
	late []trips.OutboxMessage
}

func (m *muddle) muddleMessage(n trips.OutboxMessage) (out []trips.OutboxMessage) {
	switch m.dice.IntN(5) {
	case 0:
	case 1:
		out = []trips.OutboxMessage{n, n}
	case 2:
		m.late = append(m.late, n)
	default:
		out = []trips.OutboxMessage{n}
	}

	for m.dice.IntN(3) == 0 && len(m.late) > 0 {
		i := m.dice.IntN(len(m.late))
		out = append(out, m.late[i])
		m.late = append(m.late[:i], m.late[i+1:]...)
	}

	return out
}

// When pub/sub loses, repeats and swaps messages and connections are cut,
// each phone reads each trip's events and chat in order and once.
func TestPhonesReadEverythingInOrderAndOnceThroughLosses(t *testing.T) {
	c := newTestNode(t, nil)
	c.startRunning()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		rider, driver := trips.RiderID(fmt.Sprint("r", round)), trips.DriverID(fmt.Sprint("d", round))
		m := &muddle{dice: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))}
		phones := map[*phone]*history{}
		for _, who := range []trips.Actor{trips.Rider(rider), trips.Driver(driver)} {
			phones[c.connectPhone(who, asProto, nil)] = &history{first: map[trips.Role]uint32{trips.RoleRider: 1, trips.RoleDriver: 2}[who.Role]}
		}
		c.loseMessages(m.muddleMessage)
		id := c.openTrip(rider)
		c.moveTrip(driver, id, trips.KindReserved)
		moves := []trips.Kind{trips.KindArrived, trips.KindOnTrip}
		said := 0
		for i := range rapid.IntRange(1, 12).Draw(rt, "things") {
			switch what := rapid.IntRange(0, 5).Draw(rt, "thing"); {
			case what == 0 && len(moves) > 0:
				by := rapid.SampledFrom([]*trips.Service{c.service, c.g.cfg.Trips}).Draw(rt, "node")
				c.moveTripWith(by, driver, id, moves[0])
				moves = moves[1:]
			case what == 1:
				c.g.OnGap()
			case what == 2:
				cutOne(c, phones, id)
			default:
				said++
				c.sendChat(trips.Rider(rider), id, fmt.Sprint("message ", i))
			}
		}

		c.loseMessages(nil)
		c.deliverMessages(m.late...)
		c.g.OnGap()

		for p, h := range phones {
			h.readAll(rt, p, uint32(4-len(moves)), uint32(said))
			p.conn.Close()
		}
	})
}

// history is what one user has read, over all their connections.
type history struct {
	first     uint32 // event that concerns them
	seq, chat uint32 // read over earlier connections
}

// cutOne cuts the connection of one user, who comes back with what they have.
func cutOne(c *testNode, phones map[*phone]*history, id trips.TripID) {
	for p, h := range phones {
		p.cutConnection()
		r := p.resumePoint(id)
		h.seq, h.chat = max(h.seq, r.TripSeq), max(h.chat, r.ChatSeq)
		r.TripSeq, r.ChatSeq = h.seq, h.chat
		if h.seq == 0 {
			r = nil // never heard of the trip
		}

		back := c.connectPhone(p.who, asProto, r)
		if w := back.awaitWelcome(); !w.Recovered {
			h.seq, h.chat = w.Trip.GetVersion(), w.ChatSeq
		}

		delete(phones, p)
		phones[back] = h
		return
	}
}

// readAll waits for the newest event and message, and checks that they and all
// before came in order and once.
func (h *history) readAll(rt *rapid.T, p *phone, events, said uint32) {
	nextEvent, nextChat := max(h.seq+1, h.first), h.chat+1

	p.awaitFrames(fmt.Sprintf("event %d and chat %d", events, said), func(got []*wire.ServerFrame) bool {
		seq, chat := max(h.seq, h.first-1), h.chat
		for _, f := range got {
			seq, chat = max(seq, f.GetTripEvent().GetSeq()), max(chat, f.GetChat().GetSeq())
		}
		return seq >= events && chat >= said
	})
	p.awaitHandled()

	for _, f := range p.framesSoFar() {
		if e := f.GetTripEvent(); e != nil {
			if e.Seq != nextEvent {
				rt.Fatalf("%v read event %d, %d was next", p.who, e.Seq, nextEvent)
			}
			nextEvent++
		}

		if m := f.GetChat(); m != nil {
			if m.Seq != nextChat {
				rt.Fatalf("%v read message %d, %d was next", p.who, m.Seq, nextChat)
			}
			nextChat++
		}
	}
}
