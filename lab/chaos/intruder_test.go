package chaos

import (
	"context"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/simulators/intruder"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// fakeAudit holds one honest record of each kind, and those of a test.
type fakeAudit struct {
	events   []trips.Event
	messages []chat.Message
	calls    []sos.Alert
}

func (a *fakeAudit) AuditEvents(_ context.Context, yield func(uint32, trips.Event) error) error {
	for _, ev := range append(a.events, trips.Event{By: trips.Actor{Role: trips.RoleRider, ID: "r1"}}) {
		if err := yield(1, ev); err != nil {
			return err
		}
	}
	return nil
}

func (a *fakeAudit) AuditChat(_ context.Context, yield func(chat.Message) error) error {
	for _, m := range append(a.messages, chat.Message{Text: "hello"}) {
		if err := yield(m); err != nil {
			return err
		}
	}
	return nil
}

func (a *fakeAudit) AuditAlerts(_ context.Context, yield func(sos.Alert) error) error {
	for _, a := range append(a.calls, sos.Alert{Text: "help"}) {
		if err := yield(a); err != nil {
			return err
		}
	}
	return nil
}

func TestNothingInTheDatabaseMayBearTheIntrudersName(t *testing.T) {
	driver := trips.Actor{Role: trips.RoleDriver, ID: intruder.Driver}
	for name, b := range map[string]*fakeAudit{
		"nothing":            {},
		"a move":             {events: []trips.Event{{By: driver}}},
		"a trip of its own":  {events: []trips.Event{{Trip: trips.Trip{Rider: intruder.Rider}}}},
		"a trip that it got": {events: []trips.Event{{Trip: trips.Trip{Driver: intruder.Driver}}}},
		"a message":          {messages: []chat.Message{{From: driver}}},
		"another's message":  {messages: []chat.Message{{Text: intruder.Text}}},
		"a call for help":    {calls: []sos.Alert{{From: driver}}},
	} {
		var out Invariant
		if err := checkIntruderTraces(t.Context(), b, &out); err != nil {
			t.Fatal(err)
		}

		want := 1
		if name == "nothing" {
			want = 0
		}
		if out.Violations != want || out.Checked != 3+want {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

func TestWhatTheIntruderSaysOfItselfCounts(t *testing.T) {
	c := &city{intruder: new(clientProcess)}
	c.intruder.out.WriteString(`{"tried":7,"accepted":2,"foreign_bytes":10,"rows":["a","b","c"]}`)
	got, err := c.checkIntruder(t.Context(), &fakeAudit{})
	if err != nil || got.Violations != 3 || got.Checked != 7+3+3 || strings.Join(got.Rows, "") != "abc" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := (&city{intruder: new(clientProcess)}).checkIntruder(t.Context(), &fakeAudit{}); err == nil {
		t.Error("an intruder that says nothing is believed")
	}
}
