package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/trips"
)

var (
	noon    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now     = noon.Add(2 * time.Hour)
	marina  = location.Point{Lng: 3.39, Lat: 6.45}
	airport = location.Point{Lng: 3.32, Lat: 6.58}
	quote   = trips.Quote{Metres: 9_000, Duration: 20 * time.Minute, Source: "road",
		Fare: trips.Money{Minor: 262_000, Currency: "NGN"}}
)

// fakeSource is the content of a small store. A test breaks it before the audit
// reads it.
type fakeSource struct {
	seqs    []uint32
	events  []trips.Event
	rows    []trips.Trip
	said    []chat.Message
	charges []payments.Charge
	refunds []payments.Refund
	calls   []sos.Alert
	waiting int
	oldest  time.Time
	broken  map[string]error
	between func() // happens after the events were read the first time
}

func yieldRows[T any](rows []T, yield func(T) error) error {
	for _, row := range rows {
		if err := yield(row); err != nil {
			return err
		}
	}
	return nil
}

func (c *fakeSource) AuditTrips(_ context.Context, yield func(trips.Trip) error) error {
	return errors.Join(yieldRows(c.rows, yield), c.broken["trips"])
}

func (c *fakeSource) AuditChat(_ context.Context, yield func(chat.Message) error) error {
	return errors.Join(yieldRows(c.said, yield), c.broken["chat"])
}

func (c *fakeSource) AuditCharges(_ context.Context, yield func(payments.Charge) error) error {
	return errors.Join(yieldRows(c.charges, yield), c.broken["charges"])
}

func (c *fakeSource) AuditRefunds(_ context.Context, yield func(payments.Refund) error) error {
	return errors.Join(yieldRows(c.refunds, yield), c.broken["refunds"])
}

func (c *fakeSource) AuditAlerts(_ context.Context, yield func(sos.Alert) error) error {
	return errors.Join(yieldRows(c.calls, yield), c.broken["calls for help"])
}

func (c *fakeSource) AuditEvents(_ context.Context, yield func(uint32, trips.Event) error) error {
	for i, ev := range c.events {
		if err := yield(c.seqs[i], ev); err != nil {
			return err
		}
	}

	if c.between != nil {
		c.between()
		c.between = nil
	}
	return c.broken["trip events"]
}

func (c *fakeSource) Backlog(context.Context) (int, time.Time, error) {
	return c.waiting, c.oldest, c.broken["outbox"]
}

// recordEvent appends an event and updates the trip's row as a store would,
// without the fields that the row does not have.
func (c *fakeSource) recordEvent(ev trips.Event, err error) trips.Trip {
	if err != nil {
		panic(err)
	}

	t := ev.Trip
	c.events, c.seqs = append(c.events, ev), append(c.seqs, t.Version)

	row := trips.Trip{ID: t.ID, Version: t.Version, State: t.State, Rider: t.Rider, Driver: t.Driver, Region: t.Region,
		RequestedAt: t.RequestedAt.Local(), EndedAt: t.EndedAt}
	if i := slices.IndexFunc(c.rows, func(r trips.Trip) bool { return r.ID == t.ID }); i >= 0 {
		c.rows[i] = row
	} else {
		c.rows = append(c.rows, row)
	}

	return t
}

// driveTrip makes a trip whose rider is in the car.
func (c *fakeSource) driveTrip(id trips.TripID, r trips.RiderID, d trips.DriverID, at time.Time) trips.Trip {
	t := c.recordEvent(trips.Request(id, r, marina, airport, quote, at))
	t = c.recordEvent(t.Reserve(d, at.Add(time.Minute)))
	t = c.recordEvent(t.MakeStep(stepAt(trips.KindArrived, marina), trips.Driver(d), at.Add(2*time.Minute)))
	return c.recordEvent(t.MakeStep(stepAt(trips.KindOnTrip, marina), trips.Driver(d), at.Add(3*time.Minute)))
}

// stepAt is a step of a driver whose car is at a place.
func stepAt(kind trips.Kind, at location.Point) trips.Step {
	return trips.Step{Kind: kind, Car: &trips.CarFix{Point: at, Accuracy: 5, Age: time.Second}}
}

func newCharge(t trips.Trip) payments.Charge {
	return payments.Charge{Trip: t.ID, Rider: t.Rider, Reference: payments.ChargeReference(t.ID), Amount: t.Quote.Fare,
		ProviderID: "p-" + string(t.ID), At: t.EndedAt}
}

func newRefund(t trips.Trip) payments.Refund {
	return payments.Refund{Trip: t.ID, Reference: payments.RefundReference(t.ID), Amount: t.Quote.Fare,
		Reason: "by mistake", State: payments.RefundDone, RequestedAt: t.EndedAt, EndedAt: t.EndedAt}
}

// newIntactSource returns a store without a violation: a trip with a chat that
// was paid and given back, the same people again, now under way, a trip that
// was cancelled, one that expired, and one completed early, a moment ago,
// that is still to be settled. On the trip under way both called for help, one of them a
// moment ago.
func newIntactSource() *fakeSource {
	c := &fakeSource{broken: map[string]error{}}
	first := c.driveTrip("trip-1", "ada", "chidi", noon)
	first = c.recordEvent(first.MakeStep(stepAt(trips.KindCompleted, airport), trips.Driver("chidi"), noon.Add(20*time.Minute)))
	c.charges, c.refunds = append(c.charges, newCharge(first)), append(c.refunds, newRefund(first))
	for i, who := range []trips.Actor{trips.Rider("ada"), trips.Driver("chidi"), trips.Rider("ada")} {
		c.said = append(c.said, chat.Message{Trip: "trip-1", Seq: uint32(i) + 1, From: who, Text: "hello", At: noon})
	}
	c.driveTrip("trip-2", "ada", "chidi", noon.Add(time.Hour))
	third := c.recordEvent(trips.Request("trip-3", "bola", marina, airport, quote, noon))
	third = c.recordEvent(third.Reserve("dayo", noon.Add(time.Minute)))
	c.recordEvent(third.Cancel(trips.Driver("dayo"), "flat tyre", noon.Add(2*time.Minute)))
	fourth := c.recordEvent(trips.Request("trip-4", "bola", marina, airport, quote, noon.Add(time.Hour)))
	c.recordEvent(fourth.Expire(trips.System("node-1"), "no driver found", noon.Add(62*time.Minute)))
	fifth := c.driveTrip("trip-5", "bola", "dayo", now.Add(-30*time.Minute))
	halfway := trips.Step{Kind: trips.KindCompleted, Early: true, Car: &trips.CarFix{Point: location.Point{Lng: 3.35, Lat: 6.52}}}
	c.recordEvent(fifth.MakeStep(halfway, trips.Driver("dayo"), now.Add(-10*time.Second)))

	for i, who := range []trips.Actor{trips.Rider("ada"), trips.Driver("chidi"), trips.Rider("ada")} {
		c.calls = append(c.calls, sos.Alert{ID: fmt.Sprint("call-", i+1), Trip: "trip-2", From: who,
			ClientID: fmt.Sprint("s", i+1), At: noon.Add(time.Hour)})
	}

	// The second was acknowledged before operators were told.
	c.calls[0].NotifiedAt, c.calls[1].AckedAt = now, now
	c.calls[2].At = now.Add(-time.Second)
	c.waiting, c.oldest = 3, now.Add(-time.Second)
	return c
}

// Events of an earlier build do not say where the car was. Only a store that
// this build wrote alone has none.
func TestStepsOfAnEarlierBuildAreCountedApart(t *testing.T) {
	c := newIntactSource()
	for i := range c.events {
		c.events[i].Car, c.events[i].Early = trips.CarFix{}, false
	}

	report := runAudit(t, c)
	if report.Violations() != 0 || report.Unplaced != 8 || findInvariant(t, report, inPlace).Checked != 0 {
		t.Errorf("%+v\n%s", report, report.Text())
	}
	report, err := audit.Run(t.Context(), c, audit.Config{Now: func() time.Time { return now }, NoEarlierBuild: true})
	if err != nil || report.Violations() != 8 || !strings.Contains(report.Text(), "trip trip-2: event 3, arrived, does not say where the car was") {
		t.Errorf("%v\n%s", err, report.Text())
	}
}

func runAudit(t *testing.T, c *fakeSource) audit.Report {
	t.Helper()
	report, err := audit.Run(t.Context(), c, audit.Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestAnHonestCityHasNoViolations(t *testing.T) {
	report := runAudit(t, newIntactSource())
	if report.Violations() != 0 || report.Trips != 5 || report.Events != 19 ||
		report.EndedEarly != 1 || report.Unplaced != 0 {
		t.Fatal(report.Text())
	}

	for _, i := range report.Invariants {
		if i.Checked+i.Pending == 0 {
			t.Errorf("nothing was checked: %s", i.Name)
		}
	}

	for name, checked := range map[string]int{paid: 1, raised: 2} {
		if i := findInvariant(t, report, name); i.Checked != checked || i.Pending != 1 {
			t.Errorf("%+v", i)
		}
	}

	text := report.Text()
	if strings.Contains(text, "FAIL") || !strings.Contains(text, "0 violations in 5 trips and 19 events") {
		t.Error(text)
	}
}

func TestAnEmptyStoreIsInOrder(t *testing.T) {
	if report := runAudit(t, &fakeSource{}); report.Violations() != 0 {
		t.Error(report.Text())
	}
}

func findInvariant(t *testing.T, r audit.Report, name string) audit.Invariant {
	t.Helper()
	for _, i := range r.Invariants {
		if i.Name == name {
			return i
		}
	}

	t.Fatalf("no invariant is called %q", name)
	return audit.Invariant{}
}

func TestAStoreThatCannotBeReadIsAnErrorAndNotAReport(t *testing.T) {
	for _, what := range []string{"calls for help", "chat", "refunds", "charges", "trip events", "trips", "outbox"} {
		c := newIntactSource()
		c.broken[what] = errors.New("disk on fire")
		_, err := audit.Run(t.Context(), c, audit.Config{})
		if !errors.Is(err, c.broken[what]) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestACityThatGoesOnWhileItIsReadIsNotAccused(t *testing.T) {
	c := newIntactSource()
	c.between = func() {
		moved := c.events[slices.IndexFunc(c.events, func(ev trips.Event) bool {
			return ev.Trip.ID == "trip-2" && ev.Kind == trips.KindOnTrip
		})].Trip
		c.charges = append(c.charges, newCharge(c.recordEvent(moved.Complete(trips.Driver("chidi"), now))))
		c.recordEvent(trips.Request("trip-6", "efe", marina, airport, quote, now))
	}

	if report := runAudit(t, c); report.Violations() != 0 || report.Trips != 6 {
		t.Error(report.Text())
	}
}

func TestAReportNamesTheFirstRowsAndCountsAll(t *testing.T) {
	c := newIntactSource()
	for i := range uint32(50) {
		c.said = append(c.said, chat.Message{Trip: "trip-2", Seq: 2*i + 2, From: trips.Rider("ada")})
	}

	report := runAudit(t, c)
	i := findInvariant(t, report, "chat messages of a trip are numbered 1, 2, 3, ...")
	if i.Violations != 50 || len(i.Rows) != audit.MaxRows || report.Violations() != 50 {
		t.Errorf("%+v", i)
	}
	if text := report.Text(); !strings.Contains(text, "FAIL") || !strings.Contains(text, "and 30 more") {
		t.Error(text)
	}
}

func TestAReportReadsBackFromJSON(t *testing.T) {
	want := runAudit(t, newIntactSource())
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}

	var got audit.Report
	if err := json.Unmarshal(text, &got); err != nil || got.Text() != want.Text() {
		t.Errorf("%v\n%s", err, text)
	}
}
