package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore is the part of a store that the dispatcher uses, in memory. It
// guards writes by version as the real ones do.
type fakeStore struct {
	trips.Store // The other methods panic.

	mu      sync.Mutex // Guards all below.
	down    bool
	hanging bool // Trip returns only when its context ends.
	trips   map[trips.TripID]trips.Trip
}

var errStoreDown = errors.New("store is down")

func (s *fakeStore) Trip(ctx context.Context, id trips.TripID) (trips.Trip, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.hanging {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return trips.Trip{}, ctx.Err()
	}

	if s.down {
		return trips.Trip{}, errStoreDown
	}

	t, ok := s.trips[id]
	if !ok {
		return t, trips.ErrNotFound
	}

	return t, nil
}

func (s *fakeStore) Apply(_ context.Context, m trips.Command) (trips.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := m.Event.Trip
	if s.down {
		return trips.Event{}, errStoreDown
	}
	if s.trips[t.ID].Version != t.Version-1 {
		return trips.Event{}, trips.ErrConflict
	}

	s.trips[t.ID] = t
	return m.Event, nil
}

func (s *fakeStore) RecordedEvent(context.Context, trips.IdempotencyKey) (trips.Event, error) {
	return trips.Event{}, trips.ErrNotFound
}

func (s *fakeStore) OpenTrips(_ context.Context, limit int) ([]trips.Trip, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.down {
		return nil, errStoreDown
	}

	var open []trips.Trip
	for _, t := range s.trips {
		if t.State == trips.Requested && len(open) < limit {
			open = append(open, t)
		}
	}

	return open, nil
}

func (s *fakeStore) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *fakeStore) setHanging(hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hanging = hangs
}

// fakeFleet holds drivers on the equator, each so many metres east of the
// pickup.
type fakeFleet struct {
	mu     sync.Mutex
	metres map[trips.DriverID]float64
	hold   map[trips.DriverID]string
}

func (f *fakeFleet) Nearest(_ location.Point, k int, maxMetres float64, dst []sharedstate.NearbyDriver) []sharedstate.NearbyDriver {
	f.mu.Lock()
	defer f.mu.Unlock()

	for id, m := range f.metres {
		if m <= maxMetres && f.hold[id] == "" {
			n := sharedstate.NearbyDriver{Metres: m}
			n.ID = id
			n.Fix.Point = location.Point{Lng: m / 111_195}
			dst = append(dst, n)
		}
	}

	slices.SortFunc(dst, func(a, b sharedstate.NearbyDriver) int { return int(a.Metres - b.Metres) })
	return dst[:min(k, len(dst))]
}

func (f *fakeFleet) Reserve(id trips.DriverID, hold string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hold[id] != "" {
		return sharedstate.ErrNotAvailable
	}
	f.hold[id] = hold
	return nil
}

func (f *fakeFleet) Release(id trips.DriverID, hold string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hold[id] != hold {
		return false
	}
	delete(f.hold, id)
	return true
}

func (f *fakeFleet) Assign(id trips.DriverID, trip trips.TripID, _ sharedstate.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold[id] = string(trip)
}

func (f *fakeFleet) removeDriver(id trips.DriverID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.metres, id)
}

func (f *fakeFleet) isHeld(id trips.DriverID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hold[id] != ""
}

// fakeCourier keeps what was offered and withdrawn, in order.
type fakeCourier struct {
	mu          sync.Mutex
	unreachable map[trips.DriverID]bool
	offers      []Offer
	withdrawn   []string // Each "driver reason".
}

func (c *fakeCourier) SendOffer(_ context.Context, o Offer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unreachable[o.Driver] {
		return ErrUnreachable
	}
	c.offers = append(c.offers, o)
	return nil
}

func (c *fakeCourier) WithdrawOffer(_ context.Context, o Offer, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.withdrawn = append(c.withdrawn, string(o.Driver)+" "+reason)
}

// testTown is a dispatcher among fakes, in fake time.
type testTown struct {
	t          *testing.T
	store      *fakeStore
	fleet      *fakeFleet
	courier    *fakeCourier
	metrics    *prometheus.Registry
	service    *trips.Service
	cfg        Config
	dispatcher *Dispatcher
	cancel     context.CancelFunc
	stopped    chan error
}

// runInTown runs a story in a bubble of fake time, with drivers at so many
// metres from every pickup.
func runInTown(t *testing.T, drivers map[trips.DriverID]float64, story func(*testTown), opts ...func(*Config)) {
	t.Helper()

	synctest.Test(t, func(t *testing.T) {
		w := &testTown{t: t, store: &fakeStore{trips: map[trips.TripID]trips.Trip{}}, courier: &fakeCourier{unreachable: map[trips.DriverID]bool{}},
			fleet: &fakeFleet{metres: drivers, hold: map[trips.DriverID]string{}}}
		w.service = &trips.Service{Store: w.store, Now: time.Now}
		w.cfg = Config{Node: "n1", Trips: w.service, Store: w.store, Drivers: w.fleet, Transport: w.courier, Log: slog.New(slog.DiscardHandler)}
		for _, o := range opts {
			o(&w.cfg)
		}
		w.startDispatcher()
		story(w)
		w.stopDispatcher()
	})
}

func (w *testTown) startDispatcher() {
	w.metrics = prometheus.NewRegistry()
	w.cfg.Registerer = w.metrics
	w.dispatcher = New(w.cfg)
	ctx, stop := context.WithCancel(w.t.Context())
	w.cancel, w.stopped = stop, make(chan error, 1)
	go func() { w.stopped <- w.dispatcher.Run(ctx) }()
	synctest.Wait()
}

func (w *testTown) stopDispatcher() {
	w.cancel()
	if err := <-w.stopped; err != nil {
		w.t.Errorf("Run ended with %v", err)
	}
}

// requestTrip opens a trip; hint says whether the dispatcher hears of it.
func (w *testTown) requestTrip(rider trips.RiderID, hint bool) trips.TripID {
	w.t.Helper()
	ev, err := w.service.RequestTrip(w.t.Context(), trips.IdempotencyKey{}, rider, location.Point{}, location.Point{Lng: .1}, trips.Quote{})
	if err != nil {
		w.t.Fatal(err)
	}
	if hint {
		w.dispatcher.Hint(ev)
	}

	synctest.Wait()
	return ev.Trip.ID
}

func (w *testTown) applyVerb(id trips.TripID, hint bool, verb trips.Transition) {
	w.t.Helper()
	ev, err := w.service.Apply(w.t.Context(), trips.IdempotencyKey{}, id, verb)
	if err != nil {
		w.t.Fatal(err)
	}
	if hint {
		w.dispatcher.Hint(ev)
	}

	synctest.Wait()
}

func (w *testTown) acceptOffer(o Offer, hint bool) {
	w.t.Helper()
	w.applyVerb(o.Trip.ID, hint, func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve(o.Driver, at) })
}

func (w *testTown) cancelTrip(id trips.TripID, rider trips.RiderID, hint bool) {
	w.t.Helper()
	w.applyVerb(id, hint, func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Cancel(trips.Rider(rider), "changed my mind", at)
	})
}

func (w *testTown) declineOffer(o Offer) {
	w.dispatcher.OnOfferDeclined(o.ID, o.Driver)
	synctest.Wait()
}

// advance lets time pass and waits until every goroutine is idle.
func (w *testTown) advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *testTown) offeredDrivers() []trips.DriverID {
	w.courier.mu.Lock()
	defer w.courier.mu.Unlock()
	ids := []trips.DriverID{}
	for _, o := range w.courier.offers {
		ids = append(ids, o.Driver)
	}
	return ids
}

func (w *testTown) lastOffer() Offer {
	w.t.Helper()
	w.courier.mu.Lock()
	defer w.courier.mu.Unlock()
	if len(w.courier.offers) == 0 {
		w.t.Fatal("no driver was asked")
	}
	return w.courier.offers[len(w.courier.offers)-1]
}

func (w *testTown) wantOffered(ids ...trips.DriverID) {
	w.t.Helper()
	if got := w.offeredDrivers(); !slices.Equal(got, ids) {
		w.t.Fatalf("asked %v, want %v", got, ids)
	}
}

func (w *testTown) wantWithdrawn(want ...string) {
	w.t.Helper()
	w.courier.mu.Lock()
	defer w.courier.mu.Unlock()
	if !slices.Equal(w.courier.withdrawn, want) {
		w.t.Fatalf("withdrew %q, want %q", w.courier.withdrawn, want)
	}
}

func (w *testTown) wantSearches(n int) {
	w.t.Helper()
	if got := len(w.dispatcher.runningSearches()); got != n {
		w.t.Fatalf("%d searches run, want %d", got, n)
	}
}

func (w *testTown) wantTrip(id trips.TripID, s trips.State, reason string) {
	w.t.Helper()
	t, err := w.store.Trip(w.t.Context(), id)
	if err != nil || t.State != s || t.Reason != reason {
		w.t.Fatalf("trip is %s (%q), %v; want %s (%q)", t.State, t.Reason, err, s, reason)
	}
}
