package payments_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/trips"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ended = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type fixture struct {
	*memoryStore
	*payments.Settler
	ledger       *provider.Ledger
	emulator     *httptest.Server
	stopEmulator func()
}

// newFixture has one completed trip "done", one cancelled trip "off", and a
// provider with faults.
func newFixture(t *testing.T, f provider.Faults) *fixture {
	return newFixtureWith(t, provider.Config{Secret: "sk", Faults: f})
}

func newFixtureWith(t *testing.T, cfg provider.Config) *fixture {
	ledger, err := provider.OpenLedger("")
	if err != nil {
		t.Fatal(err)
	}

	b := &memoryStore{charges: map[trips.TripID]payments.Charge{}, refunds: map[trips.TripID]payments.Refund{},
		changed: make(chan struct{}, 1), trips: map[trips.TripID]trips.Trip{"done": completedTrip("done", 123_400),
			"off": {ID: "off", Rider: "ada", State: trips.Cancelled, EndedAt: ended}}}
	d := &fixture{memoryStore: b, ledger: ledger}
	emulator := provider.NewEmulator(cfg, ledger)
	d.emulator = httptest.NewServer(emulator)
	client := d.emulator.Client()
	client.Timeout = 0
	d.stopEmulator = sync.OnceFunc(func() { client.CloseIdleConnections(); d.emulator.Close(); emulator.Close() })
	t.Cleanup(d.stopEmulator)
	d.Settler = &payments.Settler{Trips: b, Charges: b, Refunds: b,
		Now: func() time.Time { return ended.Add(time.Second) }, Backoff: time.Millisecond,
		Provider: &payments.HTTPProvider{URL: d.emulator.URL, Secret: "sk", Timeout: 300 * time.Millisecond, Client: client}}
	return d
}

// completedTrip is a completed trip.
func completedTrip(id trips.TripID, fare int64) trips.Trip {
	return trips.Trip{ID: id, Rider: "ada", State: trips.Completed, EndedAt: ended,
		Quote: trips.Quote{Fare: trips.Money{Minor: fare, Currency: "NGN"}}}
}

// checkChargedOnce checks that the fare was taken exactly once and recorded.
func (d *fixture) checkChargedOnce(t *testing.T) {
	t.Helper()
	c, err := d.memoryStore.Charge(t.Context(), "done")
	es := d.ledger.Entries()
	if err != nil || len(es) != 1 || es[0].Amount != 123_400 || es[0].Reference != c.Reference || c.Amount.Minor != 123_400 {
		t.Errorf("charge %+v, %v; ledger %+v", c, err, es)
	}
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

func TestTheFareIsTakenOnceHoweverTheProviderMisbehaves(t *testing.T) {
	for name, f := range map[string]provider.Faults{
		"well":       {},
		"lost reply": {LoseReply: 1},
		"500 after":  {Error500: 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := newFixture(t, f)
			for range 3 { // the job and its repeats
				if err := d.HandleJob(t.Context(), "done", nil); err != nil {
					t.Fatal(err)
				}
			}

			d.checkChargedOnce(t)
		})
	}
}

func TestSixteenCopiesOfAJobTakeTheFareOnce(t *testing.T) {
	d := newFixture(t, provider.Faults{LoseReply: .3, Error500: .3, Seed: 7})
	var crowd sync.WaitGroup
	for range 16 {
		crowd.Go(func() {
			if err := d.HandleJob(t.Context(), "done", nil); err != nil {
				t.Error(err)
			}
		})
	}

	crowd.Wait()
	d.checkChargedOnce(t)
}

func TestAWorkerThatDiedAfterTheChargeLeavesItsHeirOnlyTheBooking(t *testing.T) {
	d := newFixture(t, provider.Faults{})
	o := payments.ChargeOrder{Reference: payments.ChargeReference("done"), Amount: d.trips["done"].Quote.Fare, Email: "e", Authorization: "a"}
	if _, err := d.Provider.Charge(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := d.HandleJob(t.Context(), "done", nil); err != nil {
		t.Fatal(err)
	}

	d.checkChargedOnce(t)
}

func TestAHangingProviderMeetsTheDeadline(t *testing.T) {
	d := newFixture(t, provider.Faults{Hang: 1, HangFor: time.Hour})
	d.Provider.(*payments.HTTPProvider).Timeout = 30 * time.Millisecond
	err := d.HandleJob(t.Context(), "done", nil)
	if !errors.Is(err, context.DeadlineExceeded) || isPermanent(err) {
		t.Errorf("got %v, want a deadline that leaves hope", err)
	}
	if len(d.ledger.Entries()) != 0 {
		t.Error("money was taken")
	}
}

func TestAProviderThatIsDownIsAskedAgainLater(t *testing.T) {
	d := newFixture(t, provider.Faults{})
	up := d.Provider.(*payments.HTTPProvider).URL
	d.Provider.(*payments.HTTPProvider).URL = "http://127.0.0.1:1"
	if err := d.HandleJob(t.Context(), "done", nil); err == nil || isPermanent(err) {
		t.Fatalf("got %v", err)
	}
	d.Provider.(*payments.HTTPProvider).URL = up
	if err := d.HandleJob(t.Context(), "done", nil); err != nil {
		t.Fatal(err)
	}
	d.checkChargedOnce(t)
}

func TestWhatNoRepetitionCuresIsPermanent(t *testing.T) {
	declined := newFixture(t, provider.Faults{Decline: 1})
	for _, c := range []struct {
		name string
		d    *fixture
		job  string
		want error
	}{
		{"a declined card", declined, "done", payments.ErrDeclined},
		{"a declined card, again", declined, "done", payments.ErrDeclined},
		{"a cancelled trip", newFixture(t, provider.Faults{}), "off", trips.ErrBadMove},
		{"an unknown trip", newFixture(t, provider.Faults{}), "unknown", trips.ErrNotFound},
	} {
		if err := c.d.HandleJob(t.Context(), c.job, nil); !errors.Is(err, c.want) || !isPermanent(err) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, e := range c.d.ledger.Entries() {
			if e.Status == "success" {
				t.Errorf("%s: money was taken", c.name)
			}
		}
	}
}

func TestAnotherAmountUnderOurReferenceIsNotBooked(t *testing.T) {
	d := newFixture(t, provider.Faults{})
	o := payments.ChargeOrder{Reference: payments.ChargeReference("done"), Amount: trips.Money{Minor: 1, Currency: "NGN"}, Email: "e", Authorization: "a"}
	if _, err := d.Provider.Charge(t.Context(), o); err != nil {
		t.Fatal(err)
	}

	d.Now = func() time.Time { return ended.Add(time.Hour) } // verifies first
	for range 2 {
		if err := d.HandleJob(t.Context(), "done", nil); !isPermanent(err) {
			t.Errorf("got %v", err)
		}
		d.Now = func() time.Time { return ended } // charges first
	}

	if len(d.charges) != 0 {
		t.Error("a wrong amount was booked")
	}
}

// recordingQueue records the jobs it is given.
type recordingQueue struct {
	jobs []string
	err  error
}

func (q *recordingQueue) EnqueueJob(_ context.Context, _, id string, _ []byte) error {
	if q.err == nil {
		q.jobs = append(q.jobs, id)
	}
	return q.err
}

func TestTheReconcilerFindsAForgottenTripAndAsksEverMoreRarely(t *testing.T) {
	d, q, now := newFixture(t, provider.Faults{}), &recordingQueue{}, ended
	r := &payments.Reconciler{Charges: d.memoryStore, Refunds: d.memoryStore, Queue: q, Stream: "settlements", Grace: time.Minute,
		Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
	look := func(after time.Duration, want int) {
		t.Helper()
		now = ended.Add(after)
		if n, err := r.EnqueueDue(t.Context()); err != nil || n != want {
			t.Errorf("after %v: queued %d, %v; want %d", after, n, err, want)
		}
	}

	look(30*time.Second, 0) // settlement may be on its way
	q.err = errors.New("redis is away")
	now = ended.Add(61 * time.Second)
	if _, err := r.EnqueueDue(t.Context()); !errors.Is(err, q.err) {
		t.Errorf("got %v", err)
	}
	q.err = nil
	look(62*time.Second, 1)
	look(100*time.Second, 0)
	look(125*time.Second, 1)
	look(200*time.Second, 0)
	look(250*time.Second, 1)
	if err := d.HandleJob(t.Context(), q.jobs[0], nil); err != nil {
		t.Fatal(err)
	}
	d.checkChargedOnce(t)
	look(time.Hour, 0)
}

func TestAQueueThatLostItsJobsGetsThemAgainAtOnce(t *testing.T) {
	d, q, lost := newFixture(t, provider.Faults{}), &recordingQueue{}, make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	r := &payments.Reconciler{Charges: d.memoryStore, Refunds: d.memoryStore, Queue: q, Stream: "settlements", QueueLost: lost, Interval: time.Hour,
		Now: func() time.Time { return ended.Add(time.Second) }, Log: slog.New(slog.DiscardHandler)}
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	for range 3 {
		lost <- struct{}{} // taken after the look before has ended
	}
	cancel()
	if err := <-ran; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(q.jobs) < 2 || len(q.jobs) > 3 {
		// The last look may have found its context cancelled.
		t.Errorf("queued %d times after 3 losses, the fresh trip's grace notwithstanding", len(q.jobs))
	}
}

// slowProvider answers a charge when it is told to.
type slowProvider struct {
	payments.Provider
	charges atomic.Int32
	answer  chan struct{}
}

func (p *slowProvider) Charge(_ context.Context, o payments.ChargeOrder) (payments.Payment, error) {
	p.charges.Add(1)
	<-p.answer
	return payments.Payment{ID: "1", Reference: o.Reference, Amount: o.Amount}, nil
}

// The provider's webhook may come before the answer that it follows.
func TestAJobThatTheWebhookBringsEarlyAsksForNoMoney(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		books := &memoryStore{charges: map[trips.TripID]payments.Charge{}, refunds: map[trips.TripID]payments.Refund{},
			changed: make(chan struct{}, 1), trips: map[trips.TripID]trips.Trip{"done": completedTrip("done", 123_400)}}
		p := &slowProvider{answer: make(chan struct{})}
		settler := &payments.Settler{Trips: books, Charges: books, Refunds: books, Provider: p,
			Now: func() time.Time { return ended.Add(time.Second) }}

		for range 2 { // the trip's own job, and the webhook's
			go func() {
				if err := settler.HandleJob(t.Context(), "done", nil); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		close(p.answer)
		synctest.Wait()

		if n := p.charges.Load(); n != 1 {
			t.Errorf("the provider was asked for the fare %d times", n)
		}
		if _, err := books.Charge(t.Context(), "done"); err != nil {
			t.Error(err)
		}
	})
}
