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

// cut ends the phone's TCP connection without a word, and waits until the node
// has noticed.
func (p *phone) cut() {
	p.t.Helper()
	before := p.c.g.sessions.Len()
	p.conn.NetConn().Close()
	p.closed()
	p.c.until("the node notices", func() bool { return p.c.g.sessions.Len() < before })
}

// heard is what ordered news the phone got, in words.
func (p *phone) heard() (list []string) {
	for _, f := range p.sofar() {
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
	both(t, func(t *testing.T, riders, drivers string) {
		r := reserved(t, newTown(t, nil), riders, drivers)
		r.driver.does(chatFrame(r.trip, "on my way"))
		has[*wire.ServerFrame_Chat](r.rider, 1)
		at := r.rider.resume(r.trip)
		r.rider.cut()
		r.driver.does(stepFrame(r.trip, wire.Step_ARRIVE))
		r.driver.does(chatFrame(r.trip, "I am here"))
		r.driver.does(chatFrame(r.trip, "at the gate"))
		r.driver.does(stepFrame(r.trip, wire.Step_START))
		back := r.connect(trips.Rider("r"), drivers, at)
		if w := back.welcome(); !w.Recovered || w.Trip != nil || w.Epoch != at.Epoch {
			t.Errorf("welcomed back with %v", w)
		}

		r.driver.does(chatFrame(r.trip, "off we go"))
		has[*wire.ServerFrame_Chat](back, 3)
		if got := fmt.Sprint(back.heard()); got != "[event 3 event 4 chat 2 chat 3 chat 4]" {
			t.Errorf("heard %v", got)
		}
		r.driver.drive()
		has[*wire.ServerFrame_Position](back, 1)
		r.driver.does(stepFrame(r.trip, wire.Step_COMPLETE))
		back.events(3)
		at = back.resume(r.trip)
		at.ChatSeq = 4
		back.cut()
		if _, err := r.store.RecordCharge(t.Context(), payments.Charge{Trip: r.trip, Rider: "r", Reference: "x"}); err != nil {
			t.Fatal(err)
		}

		// the ride is over, the receipt was missed
		after := r.connect(trips.Rider("r"), riders, at)
		has[*wire.ServerFrame_Receipt](after, 1)
		if got := fmt.Sprint(after.heard()); got != "[receipt]" || !after.welcome().Recovered {
			t.Errorf("heard %v", got)
		}
	})
}

func TestADriverComesBackToTheirTripAndTheOffersInHand(t *testing.T) {
	both(t, func(t *testing.T, riders, drivers string) {
		r := reserved(t, newTown(t, nil), riders, drivers)
		at := r.driver.resume(r.trip)

		// before the node notices that the last one is gone
		next := r.connect(trips.Driver("d"), riders, at)
		r.rider.does(cancelFrame(r.trip))
		if seqs := next.events(1); !sameUpTo(seqs, 3, 3) || !next.welcome().Recovered {
			t.Errorf("recovered=%v, events %v", next.welcome().Recovered, seqs)
		}

		r.offer("o2", "d", r.request("r2"))
		r.offer("o3", "d", r.request("r3"))
		again := r.connect(trips.Driver("d"), drivers, next.resume(r.trip))
		seen := map[string]bool{}
		for _, o := range has[*wire.ServerFrame_Offer](again, 2) {
			seen[o.Offer.Id] = true
		}
		if !seen["o2"] || !seen["o3"] {
			t.Errorf("offers %v came again", seen)
		}

		again.does(answerFrame("o2", true))
	})
}

func TestWithoutARecordOfThePastTheWelcomeSaysHowThingsStand(t *testing.T) {
	r := reserved(t, newTown(t, nil), asJSONText, asProto)
	r.driver.does(chatFrame(r.trip, "hello"))

	for name, resume := range map[string]*wire.Resume{
		"no resume":          nil,
		"an unknown trip":    {Epoch: epoch, TripId: "never-heard-of", TripSeq: 3},
		"another trip":       {Epoch: epoch, TripId: string(r.request("other")), TripSeq: 1},
		"another epoch":      {Epoch: "0", TripId: string(r.trip), TripSeq: 1},
		"no trip":            {Epoch: epoch},
		"more than happened": {Epoch: epoch, TripId: string(r.trip), TripSeq: 99},
	} {
		p := r.connect(trips.Rider("r"), asProto, resume)
		w := p.welcome()
		if w.Recovered || w.Trip.GetId() != string(r.trip) || w.Trip.GetVersion() != 2 || w.ChatSeq != 1 {
			t.Errorf("%s: %v", name, w)
		}

		p.settled()
		if got := p.heard(); len(got) != 0 {
			t.Errorf("%s: heard %v, too", name, got)
		}
		p.cut()
	}

	r.driver.does(stepFrame(r.trip, wire.Step_ARRIVE)) // and goes on from there
	r.rider.events(3)
}

func TestWhoHadNoTripAndHasNoneIsRecovered(t *testing.T) {
	c := newTown(t, nil)
	if w := c.connect(trips.Rider("r"), asProto, &wire.Resume{Epoch: epoch}).welcome(); !w.Recovered || w.Trip != nil {
		t.Errorf("welcomed with %v", w)
	}
	if w := c.connect(trips.Rider("r"), asProto, &wire.Resume{Epoch: epoch, TripId: "gone", TripSeq: 4}).welcome(); w.Recovered {
		t.Errorf("of a trip nobody knows: %v", w)
	}

	other := c.request("other")
	if w := c.connect(trips.Rider("r"), asProto, &wire.Resume{Epoch: epoch, TripId: string(other), TripSeq: 1}).welcome(); w.Recovered {
		t.Errorf("of a stranger's trip: %v", w)
	}
}

func TestALaterNumberRevealsWhatWasLost(t *testing.T) {
	both(t, func(t *testing.T, riders, drivers string) {
		c := newTown(t, nil)
		c.runs()
		r := reserved(t, c, riders, drivers)
		c.lose(nothing)
		c.step("d", r.trip, trips.KindArrived) // on another node
		c.say(trips.Driver("d"), r.trip, "lost one")
		c.say(trips.Driver("d"), r.trip, "lost two")
		c.lose(nil)
		r.driver.does(stepFrame(r.trip, wire.Step_START))
		if seqs := r.rider.events(4); !sameUpTo(seqs, 1, 4) {
			t.Errorf("the rider saw events %v", seqs)
		}
		if seqs := r.driver.events(3); !sameUpTo(seqs, 2, 4) {
			t.Errorf("the driver saw events %v", seqs)
		}
		r.rider.does(chatFrame(r.trip, "heard?"))

		for _, p := range []*phone{r.rider, r.driver} {
			for i, m := range has[*wire.ServerFrame_Chat](p, 3) {
				if m.Chat.Seq != uint32(i+1) {
					t.Errorf("%v read %v as number %d", p.who, m.Chat, i+1)
				}
			}
		}
	})
}

func TestAfterAGapAllIsReadFromTheStore(t *testing.T) {
	c := newTown(t, nil)
	c.runs()
	rider := c.connect(trips.Rider("r"), asJSONText, nil)
	driver := c.connect(trips.Driver("d"), asProto, nil)
	c.lose(nothing)
	id := c.request("r") // they never heard of the trip
	c.step("d", id, trips.KindReserved)
	c.say(trips.Driver("d"), id, "lost")
	c.g.Gap()
	if seqs := rider.events(2); !sameUpTo(seqs, 1, 2) {
		t.Errorf("the rider saw events %v", seqs)
	}
	if seqs := driver.events(1); !sameUpTo(seqs, 2, 2) {
		t.Errorf("the driver saw events %v", seqs)
	}

	has[*wire.ServerFrame_Chat](rider, 1)
	driver.drive()
	has[*wire.ServerFrame_Position](rider, 1)
	c.step("d", id, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)
	if _, err := c.store.RecordCharge(t.Context(), payments.Charge{Trip: id, Rider: "r", Reference: "x"}); err != nil {
		t.Fatal(err)
	}
	c.g.Gap()
	rider.events(5)
	has[*wire.ServerFrame_Receipt](rider, 1)
	c.g.Gap() // nothing was missed: nothing comes again
	c.lose(nil)
	second := trips.TripID(rider.does(requestFrame(market, airport)).Trip.Id)
	rider.events(6)
	rider.settled()
	if got := fmt.Sprint(rider.heard()); got != "[event 1 event 2 chat 1 event 3 event 4 event 5 receipt event 1]" {
		t.Errorf("heard %v, the last of trip %s", got, second)
	}
}

func TestCatchingUpIsTriedAgainWhileTheStoreIsDown(t *testing.T) {
	c := newTown(t, nil)
	c.runs()
	rider := c.connect(trips.Rider("r"), asProto, nil)
	id := c.request("r")
	rider.events(1)

	c.lose(nothing)
	c.step("d", id, trips.KindReserved)
	c.store.breakWith(errors.New("down"))
	c.g.Gap()
	c.until("it was tried", func() bool { return len(c.g.gaps) == 0 })
	c.store.breakWith(nil)
	rider.events(2)
}

// A driver may get a trip that was requested before their last one.
func TestATripAskedForEarlierIsNewsToItsDriver(t *testing.T) {
	c := newTown(t, nil)
	p := c.connect(trips.Driver("d"), asProto, nil)
	patient, hasty := c.request("patient"), c.request("hasty")
	c.step("d", hasty, trips.KindReserved, trips.KindDriverCancel)
	p.events(2)
	c.step("d", patient, trips.KindReserved, trips.KindArrived)
	p.events(4)

	for i, want := range []trips.TripID{hasty, hasty, patient, patient} {
		if e := frames[*wire.ServerFrame_TripEvent](p.sofar())[i].TripEvent; trips.TripID(e.TripId) != want {
			t.Errorf("event %d is %v, want one of trip %s", i+1, e, want)
		}
	}
}

// muddle loses, repeats and delays notices by a seed.
type muddle struct {
	dice *rand.Rand
	late []trips.OutboxMessage
}

func (m *muddle) arrive(n trips.OutboxMessage) (out []trips.OutboxMessage) {
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

// Whatever pub/sub loses, repeats or swaps, and whenever connections are cut,
// each phone reads each trip's events and chat in order and once.
func TestWhateverIsLostPhonesReadEverythingInOrderAndOnce(t *testing.T) {
	c := newTown(t, nil)
	c.runs()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		rider, driver := trips.RiderID(fmt.Sprint("r", round)), trips.DriverID(fmt.Sprint("d", round))
		m := &muddle{dice: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))}
		phones := map[*phone]*history{}
		for _, who := range []trips.Actor{trips.Rider(rider), trips.Driver(driver)} {
			phones[c.connect(who, asProto, nil)] = &history{first: map[trips.Role]uint32{trips.RoleRider: 1, trips.RoleDriver: 2}[who.Role]}
		}
		c.lose(m.arrive)
		id := c.request(rider)
		c.step(driver, id, trips.KindReserved)
		moves := []trips.Kind{trips.KindArrived, trips.KindOnTrip}
		said := 0
		for i := range rapid.IntRange(1, 12).Draw(rt, "things") {
			switch what := rapid.IntRange(0, 5).Draw(rt, "thing"); {
			case what == 0 && len(moves) > 0:
				by := rapid.SampledFrom([]*trips.Service{c.desk, c.g.cfg.Trips}).Draw(rt, "node")
				c.stepOn(by, driver, id, moves[0])
				moves = moves[1:]
			case what == 1:
				c.g.Gap()
			case what == 2:
				cutOne(c, phones, id)
			default:
				said++
				c.say(trips.Rider(rider), id, fmt.Sprint("message ", i))
			}
		}

		c.lose(nil)
		c.deliver(m.late...)
		c.g.Gap()

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
func cutOne(c *town, phones map[*phone]*history, id trips.TripID) {
	for p, h := range phones {
		p.cut()
		r := p.resume(id)
		h.seq, h.chat = max(h.seq, r.TripSeq), max(h.chat, r.ChatSeq)
		r.TripSeq, r.ChatSeq = h.seq, h.chat
		if h.seq == 0 {
			r = nil // never heard of the trip
		}

		back := c.connect(p.who, asProto, r)
		if w := back.welcome(); !w.Recovered {
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

	p.until(fmt.Sprintf("event %d and chat %d", events, said), func(got []*wire.ServerFrame) bool {
		seq, chat := max(h.seq, h.first-1), h.chat
		for _, f := range got {
			seq, chat = max(seq, f.GetTripEvent().GetSeq()), max(chat, f.GetChat().GetSeq())
		}
		return seq >= events && chat >= said
	})
	p.settled()

	for _, f := range p.sofar() {
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
