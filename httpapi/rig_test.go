package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/store/faulty"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// Two places in the city, and one in the sea.
var (
	market  = location.Point{Lng: 3.38, Lat: 6.45}
	airport = location.Point{Lng: 3.40, Lat: 6.50}
	atSea   = location.Point{Lng: 3.38, Lat: 5.0}
)

const ride = `{"pickup":{"lng":3.38,"lat":6.45},"dropoff":{"lng":3.4,"lat":6.5}}`

// handClock stands still unless moved.
type handClock struct {
	held sync.Mutex // guards at
	at   time.Time
}

func newHandClock() *handClock { return &handClock{at: time.Unix(1_700_000_000, 0)} }

func (h *handClock) now() time.Time {
	h.held.Lock()
	defer h.held.Unlock()
	return h.at
}

func (h *handClock) pass(d time.Duration) {
	h.held.Lock()
	defer h.held.Unlock()
	h.at = h.at.Add(d)
}

// testAPI is the API on a store in memory.
type testAPI struct {
	*handClock
	t       *testing.T
	store   *faulty.Store
	service *trips.Service
	drivers *sharedstate.Drivers
	tokens  *auth.Tokens
	api     *API
	public  http.Handler
}

// newTestAPI builds the API; change may alter its configuration, and how it
// books, first.
func newTestAPI(t *testing.T, change func(*Config, *booking.Config)) *testAPI {
	t.Helper()
	r := &testAPI{handClock: newHandClock(), t: t, store: faulty.New(1)}
	r.service = &trips.Service{Store: r.store, Now: r.now}
	r.drivers = sharedstate.NewDrivers(sharedstate.DriverOptions{Now: r.now})
	registry, log := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)

	revocations := &auth.Revocations{Now: r.now, Log: log}
	var err error
	if r.tokens, err = auth.NewTokens(bytes.Repeat([]byte("s"), 32), revocations, r.now); err != nil {
		t.Fatal(err)
	}

	cfg := Config{
		Trips: r.service, Store: r.store, Room: &chat.Room{Store: r.store, Trips: r.store, Now: r.now},
		Receipts: r.store, Alerts: r.store, Drivers: r.drivers, Tokens: r.tokens, Revocations: revocations,
		Suspects: NewSuspects(registry), City: fakeCity{}, Socket: http.NotFound,
		Registerer: registry, Now: r.now, Log: log,
	}

	book := booking.Config{Trips: r.service, Router: byAir{}, Contains: func(p location.Point) bool { return p.Lat > 6 },
		Now: r.now, Registerer: registry}
	if change != nil {
		change(&cfg, &book)
	}
	cfg.Booking = booking.New(book)
	r.api = New(cfg)
	r.public = r.api.Public()
	return r
}

// breakStore makes every call of the store fail until it is called with false.
func (r *testAPI) breakStore(down bool) {
	var faults faulty.Faults
	if down {
		faults.Refused = 1
	}
	r.store.SetFaults(faults)
}

func (r *testAPI) issueToken(role trips.Role, id string) string {
	r.t.Helper()
	token, err := r.tokens.Issue(role, id, time.Hour)
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// byAir goes the straight line at 10 m/s.
type byAir struct{}

func (byAir) Route(_ context.Context, from, to location.Point) (routing.Route, error) {
	metres := location.MetresBetween(from, to)
	d := time.Duration(metres / 10 * float64(time.Second)).Round(time.Second)
	return routing.Route{Metres: metres, Duration: d, Source: routing.SourceStraight}, nil
}

// routerFunc is a router made of one function.
type routerFunc func() (routing.Route, error)

func (f routerFunc) Route(context.Context, location.Point, location.Point) (routing.Route, error) {
	return f()
}

// callAPI asks the public API as someone; a body goes as JSON, headers come in
// pairs.
func (r *testAPI) callAPI(who trips.Actor, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	if who.ID != "" {
		req.Header.Set("Authorization", "Bearer "+r.issueToken(who.Role, who.ID))
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}

	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.public.ServeHTTP(w, req)
	return w
}

// decodeAnswer decodes an answer, or ends the test when its status is another.
func decodeAnswer[T any](t *testing.T, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var out T
	dec := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	dec.DisallowUnknownFields()
	if w.Code != status {
		t.Fatalf("%d %s, want %d", w.Code, w.Body, status)
	}
	if err := dec.Decode(&out); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return out
}

func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code wire.Code) {
	t.Helper()
	if p := decodeAnswer[problem.Details](t, w, status); p.Code != code || p.Status != status || p.Detail == "" {
		t.Errorf("problem %+v, want code %s", p, code)
	}
}

// tripJSON is a trip as a stranger's client reads it.
type tripJSON struct {
	ID          string         `json:"id"`
	RiderID     string         `json:"rider_id"`
	DriverID    string         `json:"driver_id"`
	State       string         `json:"state"`
	Version     uint32         `json:"version"`
	Pickup      location.Point `json:"pickup"`
	Dropoff     location.Point `json:"dropoff"`
	DistanceM   float64        `json:"distance_m"`
	DurationS   float64        `json:"duration_s"`
	Fare        trips.Money    `json:"fare"`
	RouteSource string         `json:"route_source"`
	EndReason   string         `json:"end_reason"`
	RequestedMs float64        `json:"requested_ms"`
	ReservedMs  float64        `json:"reserved_ms"`
	ArrivedMs   float64        `json:"arrived_ms"`
	StartedMs   float64        `json:"started_ms"`
	EndedMs     float64        `json:"ended_ms"`
}

// requestTrip opens a trip for a rider over HTTP.
func (r *testAPI) requestTrip(rider trips.RiderID, key string) tripJSON {
	r.t.Helper()
	w := r.callAPI(trips.Rider(rider), "POST", "/v1/trips", ride, "Idempotency-Key", key)
	return decodeAnswer[tripJSON](r.t, w, http.StatusCreated)
}

// moveTrip moves a trip on in the store, as a driver would over the socket.
func (r *testAPI) moveTrip(driver trips.DriverID, id string, kinds ...trips.Kind) {
	r.t.Helper()
	by := trips.Driver(driver)
	verbs := map[trips.Kind]trips.Transition{
		trips.KindReserved:  func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve(driver, at) },
		trips.KindArrived:   func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Arrive(by, at) },
		trips.KindOnTrip:    func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Start(by, at) },
		trips.KindCompleted: func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Complete(by, at) },
	}

	for _, kind := range kinds {
		r.pass(time.Second)
		before, err := r.store.Trip(r.t.Context(), trips.TripID(id))
		if err != nil {
			r.t.Fatal(err)
		}
		key := trips.IdempotencyKey{Actor: by, ID: fmt.Sprintf("%s-%d", id, before.Version)}
		if _, err := r.service.Apply(r.t.Context(), key, before.ID, verbs[kind]); err != nil {
			r.t.Fatal(err)
		}
	}
}

// placeDriver puts an available driver somewhere.
func (r *testAPI) placeDriver(id trips.DriverID, at location.Point) {
	r.t.Helper()
	r.drivers.Connect(id, "node")
	r.drivers.SetAvailable(id, true)
	if why := r.drivers.Move(id, location.Fix{Point: at, Seq: 1, At: r.now()}); why != location.Accepted {
		r.t.Fatalf("%s at %v: %s", id, at, cmp.Or(why, "?"))
	}
}
