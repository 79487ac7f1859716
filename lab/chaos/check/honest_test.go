package check_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/lab/chaos/check"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	marina = location.Point{Lng: 3.39, Lat: 6.45}
	quay   = location.Point{Lng: 3.42, Lat: 6.44}
	quote  = trips.Quote{Metres: 4_000, Duration: 9 * time.Minute, Source: "road",
		Fare: trips.Money{Minor: 150_000, Currency: "NGN"}}
)

// town has all records of a small town. A test changes one of them.
type town struct {
	now      time.Time
	events   []trips.Event
	said     []chat.Message
	charges  []payments.Charge
	refunds  []payments.Refund
	calls    []sos.Alert
	recorded map[trips.IdempotencyKey]bool
	ledger   []map[string]any
	journal  []journal.Record
}

func (c *town) AuditEvents(_ context.Context, yield func(uint32, trips.Event) error) error {
	for _, ev := range c.events {
		if err := yield(ev.Seq(), ev); err != nil {
			return err
		}
	}
	return nil
}

func (c *town) AuditTrips(_ context.Context, yield func(trips.Trip) error) error {
	last, order := map[trips.TripID]trips.Trip{}, []trips.TripID{}
	for _, ev := range c.events {
		if _, ok := last[ev.Trip.ID]; !ok {
			order = append(order, ev.Trip.ID)
		}
		last[ev.Trip.ID] = ev.Trip
	}

	for _, id := range order {
		if err := yield(last[id]); err != nil {
			return err
		}
	}

	return nil
}

func (c *town) AuditChat(_ context.Context, yield func(chat.Message) error) error {
	for _, m := range c.said {
		if err := yield(m); err != nil {
			return err
		}
	}
	return nil
}

func (c *town) AuditCharges(_ context.Context, yield func(payments.Charge) error) error {
	for _, charge := range c.charges {
		if err := yield(charge); err != nil {
			return err
		}
	}
	return nil
}

func (c *town) Backlog(context.Context) (int, time.Time, error) { return 0, time.Time{}, nil }

func (c *town) RecordedEvent(_ context.Context, k trips.IdempotencyKey) (trips.Event, error) {
	if c.recorded[trips.IdempotencyKey{Actor: k.Actor, ID: k.ID}] {
		return trips.Event{}, trips.ErrKeyReused
	}
	return trips.Event{}, trips.ErrNotFound
}

// tell adds a line to the journal.
func (c *town) tell(who trips.Actor, r journal.Record) {
	c.now = c.now.Add(time.Second)
	r.Who, r.Phone, r.AtMs = who.String(), "phone of "+who.ID, float64(c.now.UnixMilli())
	c.journal = append(c.journal, r)
}

// happens keeps an event as done by a command, and tells the people of the
// trip.
func (c *town) happens(ev trips.Event, err error) trips.Trip {
	if err != nil {
		panic(err)
	}

	c.events = append(c.events, ev)
	t := ev.Trip
	told := journal.Record{What: journal.Event, Trip: string(t.ID), Seq: t.Version, Kind: string(ev.Kind),
		State: string(t.State), Driver: string(t.Driver)}
	c.tell(trips.Rider(t.Rider), told)
	if t.Driver != "" {
		c.tell(trips.Driver(t.Driver), told)
	}
	return t
}

// asks tells of a command and its ack, with the event between them.
func (c *town) asks(who trips.Actor, id, kind string, do func() trips.Trip) trips.Trip {
	c.tell(who, journal.Record{What: journal.Invoke, Command: id, Kind: kind, Offer: "offer " + id})
	t := do()
	c.recorded[trips.IdempotencyKey{Actor: who, ID: id}] = true
	c.tell(who, journal.Record{What: journal.OK, Command: id, Kind: kind, Trip: string(t.ID), Seq: t.Version,
		State: string(t.State), Driver: string(t.Driver)})
	return t
}

// says keeps a message and tells it to the other side and to the sender.
func (c *town) says(who trips.Actor, t trips.Trip, id string) {
	c.tell(who, journal.Record{What: journal.Invoke, Command: id, Kind: journal.Say, Trip: string(t.ID)})
	seq := uint32(1)
	for _, m := range c.said {
		if m.Trip == t.ID {
			seq++
		}
	}

	c.said = append(c.said, chat.Message{Trip: t.ID, Seq: seq, From: who, ClientID: id, Text: "hello", At: c.now})
	told := journal.Record{What: journal.Chat, Trip: string(t.ID), Chat: seq, From: string(who.Role), Client: id}
	c.tell(trips.Rider(t.Rider), told)
	c.tell(trips.Driver(t.Driver), told)
	c.tell(who, journal.Record{What: journal.OK, Command: id, Kind: journal.Say, Trip: string(t.ID), Chat: seq})
}

func (c *town) pays(t trips.Trip) {
	n := int64(len(c.ledger) + 1)
	c.ledger = append(c.ledger, map[string]any{"id": n, "reference": payments.ChargeReference(t.ID), "status": "success",
		"amount": t.Quote.Fare.Minor, "currency": t.Quote.Fare.Currency})
	c.charges = append(c.charges, payments.Charge{Trip: t.ID, Rider: t.Rider, Reference: payments.ChargeReference(t.ID),
		Amount: t.Quote.Fare, ProviderID: fmt.Sprint(n), At: c.now})
	c.tell(trips.Rider(t.Rider), journal.Record{What: journal.Receipt, Trip: string(t.ID),
		Reference: payments.ChargeReference(t.ID), Minor: t.Quote.Fare.Minor, Currency: t.Quote.Fare.Currency})
}

func (c *town) arrives(who trips.Actor) {
	c.tell(who, journal.Record{What: journal.Hello})
	c.tell(who, journal.Record{What: journal.Welcome})
}

var (
	ada   = trips.Rider("ada")
	bola  = trips.Rider("bola")
	chidi = trips.Driver("chidi")
	dayo  = trips.Driver("dayo")
	ops   = trips.Actor{Role: "operator", ID: "ops"}
)

// honest is a town where Chidi drives Ada, who calls for help on the way, pays,
// and gets it back. He then accepts a ride of Bola, who cancels. The ack of
// that acceptance is lost with the connection; Dayo, who wanted Ada's ride as
// well, was refused.
func honest() *town {
	c := &town{now: noon, recorded: map[trips.IdempotencyKey]bool{}}
	c.tell(trips.Actor{}, journal.Record{})
	c.journal[0] = journal.Record{What: journal.Begin}
	for _, who := range []trips.Actor{ada, bola, chidi, dayo} {
		c.arrives(who)
	}
	t := c.asks(ada, "a1", journal.Request, func() trips.Trip {
		return c.happens(trips.Request("trip-1", "ada", marina, quay, quote, c.now))
	})
	c.tell(chidi, journal.Record{What: journal.Offer, Offer: "offer c1", Trip: "trip-1"})
	t = c.asks(chidi, "c1", journal.Accept, func() trips.Trip { return c.happens(t.Reserve("chidi", c.now)) })
	c.tell(dayo, journal.Record{What: journal.Offer, Offer: "offer d1", Trip: "trip-1"})
	c.tell(dayo, journal.Record{What: journal.Invoke, Command: "d1", Kind: journal.Accept, Offer: "offer d1"})
	c.tell(dayo, journal.Record{What: journal.Fail, Command: "d1", Kind: journal.Accept, Code: "taken"})
	c.says(ada, t, "a2")
	c.says(chidi, t, "c2")
	c.says(ada, t, "a3")
	t = c.asks(chidi, "c3", journal.Arrive, func() trips.Trip { return c.happens(t.MakeStep(stepAt(trips.KindArrived, marina), chidi, c.now)) })
	t = c.asks(chidi, "c4", journal.Start, func() trips.Trip { return c.happens(t.MakeStep(stepAt(trips.KindOnTrip, marina), chidi, c.now)) })
	c.callsForHelp(ada, t, "a4", "call-1")
	t = c.asks(chidi, "c5", journal.Complete, func() trips.Trip { return c.happens(t.MakeStep(stepAt(trips.KindCompleted, quay), chidi, c.now)) })
	c.pays(t)
	c.getsBack(t)
	c.cancelled()
	over := c.now
	for _, who := range []trips.Actor{ada, bola, chidi, dayo} { // all at once
		c.now = over
		c.tell(who, journal.Record{What: journal.Lost, Count: 1})
		c.now = over
		c.tell(who, journal.Record{What: journal.Off})
	}

	c.journal = append(c.journal, journal.Record{What: journal.Close, AtMs: float64(c.now.UnixMilli())})
	return c
}

// stepAt is a step of a driver whose car is at a place.
func stepAt(kind trips.Kind, at location.Point) trips.Step {
	return trips.Step{Kind: kind, Car: &trips.CarFix{Point: at, Accuracy: 5, Age: time.Second}}
}

// cancelled is Bola's ride.
func (c *town) cancelled() {
	t := c.asks(bola, "b1", journal.Request, func() trips.Trip {
		return c.happens(trips.Request("trip-2", "bola", marina, quay, quote, c.now))
	})
	c.tell(chidi, journal.Record{What: journal.Offer, Offer: "offer c6", Trip: "trip-2"})
	c.tell(chidi, journal.Record{What: journal.Invoke, Command: "c6", Kind: journal.Accept, Offer: "offer c6"})
	c.tell(chidi, journal.Record{What: journal.Lost, Count: 7})

	ev, err := t.Reserve("chidi", c.now)
	if err != nil {
		panic(err)
	}

	t = ev.Trip
	c.events = append(c.events, ev)
	c.recorded[trips.IdempotencyKey{Actor: chidi, ID: "c6"}] = true
	c.tell(bola, journal.Record{What: journal.Event, Trip: "trip-2", Seq: 2, Kind: "reserved", State: "reserved"})
	c.tell(chidi, journal.Record{What: journal.Hello, Trip: "trip-1", Seq: 5, Chat: 3})
	c.tell(chidi, journal.Record{What: journal.Welcome, Trip: "trip-2", Seq: 2, State: "reserved"})
	c.asks(bola, "b2", journal.Cancel, func() trips.Trip { return c.happens(t.Cancel(bola, "late", c.now)) })
	c.tell(chidi, journal.Record{What: journal.Info, Command: "c6", Kind: journal.Accept})
	c.now = c.now.Add(20 * time.Second)
}

// evidence writes the journal and the ledger to files.
func (c *town) evidence(t *testing.T) check.Evidence {
	t.Helper()
	dir := t.TempDir()
	return check.Evidence{DB: c, Commands: c, Now: func() time.Time { return c.now.Add(time.Hour) },
		Journals: []string{lines(t, filepath.Join(dir, "journal.jsonl"), c.journal)},
		Ledger:   lines(t, filepath.Join(dir, "ledger.jsonl"), c.ledger)}
}

func lines[T any](t *testing.T, path string, records []T) string {
	t.Helper()
	var b strings.Builder
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}

	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func judged(t *testing.T, e check.Evidence) check.Report {
	t.Helper()
	r, err := check.Run(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWitnessesWhoAgreeFindNothing(t *testing.T) {
	r := judged(t, honest().evidence(t))
	if r.Violations() != 0 {
		t.Fatal(r.Text())
	}

	for _, i := range r.Invariants {
		if i.Checked == 0 {
			t.Errorf("nothing was checked: %s", i.Name)
		}
	}

	if r.Phones != 5 || r.Commands != 14 || r.Ambiguous != 1 || r.Payments != 2 ||
		!strings.Contains(r.Text(), "14 commands, 1 of them") {
		t.Error(r.Text())
	}
}

func TestADriverWhoKnowsARideFromAnAckAloneIsToldAllOfItAfterALoss(t *testing.T) {
	c := honest()
	told := func(r journal.Record) bool { return r.What == journal.Event && r.Seq == 2 }
	second := *c.line(chidi, 1, told)
	first := second
	first.Seq, first.Kind, first.State, first.Driver = 1, "requested", "requested", ""
	*c.line(chidi, 1, told) = first
	i := slices.Index(c.journal, first)
	c.journal = slices.Insert(c.journal, i+1, second)
	if r := judged(t, c.evidence(t)); r.Violations() != 0 {
		t.Error(r.Text())
	}
	c.journal = slices.Insert(c.journal, i+1, first)
	if r := judged(t, c.evidence(t)); r.Violations() == 0 {
		t.Error("the first event may come twice")
	}
}

func TestAWitnessWhoCannotBeHeardIsAnErrorAndNotAReport(t *testing.T) {
	for name, spoil := range map[string]func(*check.Evidence){
		"no journal": func(e *check.Evidence) { e.Journals = []string{"/nowhere/journal"} },
		"no ledger":  func(e *check.Evidence) { e.Ledger = "/nowhere/ledger" },
		"a ledger in another tongue": func(e *check.Evidence) {
			e.Ledger = filepath.Join(t.TempDir(), "ledger")
			if err := os.WriteFile(e.Ledger, []byte("50 naira\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		e := honest().evidence(t)
		spoil(&e)
		if _, err := check.Run(t.Context(), e); err == nil || !strings.Contains(err.Error(), "check: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
