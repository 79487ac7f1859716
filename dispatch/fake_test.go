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

// store is what the dispatcher needs of one, in memory, guarded by version as
// the real ones are.
type store struct {
	trips.Store // the rest panics

	mu   sync.Mutex
	down bool
	// whoever asks where a trip stands waits until their patience ends
	hangs bool
	trips map[trips.TripID]trips.Trip
}

var errDown = errors.New("store is down")

func (s *store) Trip(ctx context.Context, id trips.TripID) (trips.Trip, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.hangs {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return trips.Trip{}, ctx.Err()
	}

	if s.down {
		return trips.Trip{}, errDown
	}

	t, ok := s.trips[id]
	if !ok {
		return t, trips.ErrNotFound
	}

	return t, nil
}

func (s *store) Apply(_ context.Context, m trips.Move) (trips.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := m.Event.Trip
	if s.down {
		return trips.Event{}, errDown
	}
	if s.trips[t.ID].Version != t.Version-1 {
		return trips.Event{}, trips.ErrConflict
	}

	s.trips[t.ID] = t
	return m.Event, nil
}

func (s *store) Recorded(context.Context, trips.Key) (trips.Event, error) {
	return trips.Event{}, trips.ErrNotFound
}

func (s *store) Open(_ context.Context, limit int) ([]trips.Trip, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.down {
		return nil, errDown
	}

	var open []trips.Trip
	for _, t := range s.trips {
		if t.State == trips.Requested && len(open) < limit {
			open = append(open, t)
		}
	}

	return open, nil
}

func (s *store) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *store) setHanging(hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangs = hangs
}

// fleet is drivers on the equator, so many metres east of the pickup.
type fleet struct {
	mu     sync.Mutex
	metres map[trips.DriverID]float64
	hold   map[trips.DriverID]string
}

func (f *fleet) Nearest(_ location.Point, k int, maxMetres float64, dst []sharedstate.Near) []sharedstate.Near {
	f.mu.Lock()
	defer f.mu.Unlock()

	for id, m := range f.metres {
		if m <= maxMetres && f.hold[id] == "" {
			n := sharedstate.Near{Metres: m}
			n.ID = id
			n.Fix.Point = location.Point{Lng: m / 111_195}
			dst = append(dst, n)
		}
	}

	slices.SortFunc(dst, func(a, b sharedstate.Near) int { return int(a.Metres - b.Metres) })
	return dst[:min(k, len(dst))]
}

func (f *fleet) Reserve(id trips.DriverID, hold string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hold[id] != "" {
		return sharedstate.ErrNotAvailable
	}
	f.hold[id] = hold
	return nil
}

func (f *fleet) Release(id trips.DriverID, hold string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hold[id] != hold {
		return false
	}
	delete(f.hold, id)
	return true
}

func (f *fleet) Assign(id trips.DriverID, trip trips.TripID, _ sharedstate.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold[id] = string(trip)
}

func (f *fleet) leave(id trips.DriverID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.metres, id)
}

func (f *fleet) held(id trips.DriverID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hold[id] != ""
}

// courier keeps what was offered and withdrawn, in order.
type courier struct {
	mu          sync.Mutex
	unreachable map[trips.DriverID]bool
	offers      []Offer
	withdrawn   []string // "driver reason"
}

func (c *courier) Offer(_ context.Context, o Offer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unreachable[o.Driver] {
		return ErrUnreachable
	}
	c.offers = append(c.offers, o)
	return nil
}

func (c *courier) Withdraw(_ context.Context, o Offer, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.withdrawn = append(c.withdrawn, string(o.Driver)+" "+reason)
}

// town is a dispatcher among fakes; everything in it happens in fake time.
type town struct {
	t       *testing.T
	store   *store
	fleet   *fleet
	courier *courier
	metrics *prometheus.Registry
	desk    *trips.Desk
	cfg     Config
	d       *Dispatcher
	stop    context.CancelFunc
	stopped chan error
}

// inTown runs a story in a bubble of fake time with drivers at so many metres
// from every pickup.
func inTown(t *testing.T, drivers map[trips.DriverID]float64, story func(*town), opts ...func(*Config)) {
	t.Helper()

	synctest.Test(t, func(t *testing.T) {
		w := &town{t: t, store: &store{trips: map[trips.TripID]trips.Trip{}}, courier: &courier{unreachable: map[trips.DriverID]bool{}},
			fleet: &fleet{metres: drivers, hold: map[trips.DriverID]string{}}}
		w.desk = &trips.Desk{Store: w.store, Now: time.Now}
		w.cfg = Config{Node: "n1", Desk: w.desk, Store: w.store, Drivers: w.fleet, Courier: w.courier, Log: slog.New(slog.DiscardHandler)}
		for _, o := range opts {
			o(&w.cfg)
		}
		w.open()
		story(w)
		w.close()
	})
}

func (w *town) open() {
	w.metrics = prometheus.NewRegistry()
	w.cfg.Registerer = w.metrics
	w.d = New(w.cfg)
	ctx, stop := context.WithCancel(w.t.Context())
	w.stop, w.stopped = stop, make(chan error, 1)
	go func() { w.stopped <- w.d.Run(ctx) }()
	synctest.Wait()
}

func (w *town) close() {
	w.stop()
	if err := <-w.stopped; err != nil {
		w.t.Errorf("Run ended with %v", err)
	}
}

// request opens a trip; hint says whether the dispatcher hears of it.
func (w *town) request(rider trips.RiderID, hint bool) trips.TripID {
	w.t.Helper()
	ev, err := w.desk.Request(w.t.Context(), trips.Key{}, rider, location.Point{}, location.Point{Lng: .1}, trips.Quote{})
	if err != nil {
		w.t.Fatal(err)
	}
	if hint {
		w.d.Hint(ev)
	}

	synctest.Wait()
	return ev.Trip.ID
}

func (w *town) move(id trips.TripID, hint bool, verb trips.Verb) {
	w.t.Helper()
	ev, err := w.desk.Move(w.t.Context(), trips.Key{}, id, verb)
	if err != nil {
		w.t.Fatal(err)
	}
	if hint {
		w.d.Hint(ev)
	}

	synctest.Wait()
}

func (w *town) accept(o Offer, hint bool) {
	w.t.Helper()
	w.move(o.Trip.ID, hint, func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve(o.Driver, at) })
}

func (w *town) cancel(id trips.TripID, rider trips.RiderID, hint bool) {
	w.t.Helper()
	w.move(id, hint, func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Cancel(trips.Rider(rider), "changed my mind", at)
	})
}

func (w *town) decline(o Offer) {
	w.d.Declined(o.ID, o.Driver)
	synctest.Wait()
}

// pass lets time go by.
func (w *town) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *town) offered() []trips.DriverID {
	w.courier.mu.Lock()
	defer w.courier.mu.Unlock()
	ids := []trips.DriverID{}
	for _, o := range w.courier.offers {
		ids = append(ids, o.Driver)
	}
	return ids
}

func (w *town) last() Offer {
	w.t.Helper()
	w.courier.mu.Lock()
	defer w.courier.mu.Unlock()
	if len(w.courier.offers) == 0 {
		w.t.Fatal("nobody was asked")
	}
	return w.courier.offers[len(w.courier.offers)-1]
}

func (w *town) wantOffered(ids ...trips.DriverID) {
	w.t.Helper()
	if got := w.offered(); !slices.Equal(got, ids) {
		w.t.Fatalf("asked %v, want %v", got, ids)
	}
}

func (w *town) wantWithdrawn(want ...string) {
	w.t.Helper()
	w.courier.mu.Lock()
	defer w.courier.mu.Unlock()
	if !slices.Equal(w.courier.withdrawn, want) {
		w.t.Fatalf("withdrew %q, want %q", w.courier.withdrawn, want)
	}
}

func (w *town) wantSearches(n int) {
	w.t.Helper()
	if got := len(w.d.running()); got != n {
		w.t.Fatalf("%d searches run, want %d", got, n)
	}
}

func (w *town) wantTrip(id trips.TripID, s trips.State, reason string) {
	w.t.Helper()
	t, err := w.store.Trip(w.t.Context(), id)
	if err != nil || t.State != s || t.Reason != reason {
		w.t.Fatalf("trip is %s (%q), %v; want %s (%q)", t.State, t.Reason, err, s, reason)
	}
}
