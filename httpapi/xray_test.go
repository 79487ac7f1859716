package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/xray"
)

// keptRides is what nodes know: the rides of some trips.
type keptRides map[string]bool

func (k keptRides) GatherRide(_ context.Context, t trips.Trip) (xray.Ride, bool) {
	return xray.Ride{Trip: string(t.ID), State: string(t.State)}, k[string(t.ID)]
}

func (k keptRides) GatherTrips(context.Context) xray.Kept { return xray.Kept{Kept: len(k)} }

func (k keptRides) Median() xray.Median { return xray.Median{Trips: len(k)} }

// newXRayAPI builds an API that has rides, with and without development tokens.
func newXRayAPI(t *testing.T, rides XRay, ratio float64, devTokens bool) *testAPI {
	t.Helper()
	return newTestAPI(t, func(cfg *Config, _ *booking.Config) {
		tracer, err := tracing.New(t.Context(), tracing.Config{Node: "n", Ratio: ratio, Now: cfg.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tracer.Close(context.WithoutCancel(t.Context())) })
		cfg.Tracer, cfg.XRay, cfg.DevTokens = tracer, rides, devTokens
	})
}

// callAdmin asks the admin API.
func (r *testAPI) callAdmin(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.api.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestARideIsToldToItsTwoPeopleAndOperators(t *testing.T) {
	rides := keptRides{}
	r := newXRayAPI(t, rides, 1, false)
	id := r.requestTrip("ada", "k").ID
	rides[id] = true
	r.moveTrip("dayo", id, trips.KindReserved)

	path := "/v1/xray/" + id
	for _, who := range []trips.Actor{trips.Rider("ada"), trips.Driver("dayo")} {
		if ride := decodeAnswer[xray.Ride](t, r.callAPI(who, "GET", path, ""), 200); ride.Trip != id || ride.State != "reserved" {
			t.Errorf("%s is told %+v", who, ride)
		}
	}
	if ride := decodeAnswer[xray.Ride](t, r.callAdmin(path), 200); ride.Trip != id {
		t.Errorf("operators are told %+v", ride)
	}

	unknown := r.callAPI(trips.Rider("ada"), "GET", "/v1/xray/01890a5d-ac96-774b-bcce-b302099a8057", "")
	wantProblem(t, unknown, 404, wire.CodeNotFound)
	for _, who := range []trips.Actor{trips.Rider("eve"), trips.Driver("eve")} {
		if w := r.callAPI(who, "GET", path, ""); w.Code != 404 || w.Body.String() != unknown.Body.String() {
			t.Errorf("%s is told %d %s, and of a trip that does not exist %s", who, w.Code, w.Body, unknown.Body)
		}
	}
	wantProblem(t, r.callAPI(trips.Actor{}, "GET", path, ""), 401, wire.CodeUnauthorized)
	wantProblem(t, r.callAPI(trips.Rider("ada"), "GET", "/v1/xray/no-uuid", ""), 404, wire.CodeNotFound)
	wantProblem(t, r.callAdmin("/v1/xray/no-uuid"), 404, wire.CodeNotFound)
	wantProblem(t, r.callAdmin("/v1/xray/01890a5d-ac96-774b-bcce-b302099a8057"), 404, wire.CodeNotFound)
}

func TestARideThatIsNotKnownSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name, why string
		ratio     float64
	}{{"nothing is recorded", "records no rides", 0}, {"the trip is not sampled", "only a share", 1e-15}, {"it is old", "older than what is kept", 1}} {
		t.Run(c.name, func(t *testing.T) {
			r := newXRayAPI(t, keptRides{}, c.ratio, false)
			w := r.callAPI(trips.Rider("ada"), "GET", "/v1/xray/"+r.requestTrip("ada", "k").ID, "")
			p := decodeAnswer[problem.Details](t, w, 404)
			if p.Code != wire.CodeNotTraced || !strings.Contains(p.Detail, c.why) {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestTheListOfRidesIsForOperatorsAndDevelopment(t *testing.T) {
	for _, dev := range []bool{false, true} {
		r := newXRayAPI(t, keptRides{"a": true}, 1, dev)
		for _, path := range []string{"/v1/xray", "/v1/xray/median"} {
			if w := r.callAdmin(path); w.Code != 200 {
				t.Errorf("the admin API answers %s with %d %s", path, w.Code, w.Body)
			}
			if w := r.callAPI(trips.Actor{}, "GET", path, ""); dev && w.Code != 200 {
				t.Errorf("a node for development answers %s with %d %s", path, w.Code, w.Body)
			} else if !dev {
				wantProblem(t, w, 404, wire.CodeNoSuchEndpoint)
			}
		}
	}
}

func TestANodeForDevelopmentTellsARideWithoutAToken(t *testing.T) {
	rides := keptRides{}
	r := newXRayAPI(t, rides, 1, true)
	id := r.requestTrip("ada", "k").ID
	rides[id] = true
	if ride := decodeAnswer[xray.Ride](t, r.callAPI(trips.Actor{}, "GET", "/v1/xray/"+id, ""), 200); ride.Trip != id {
		t.Errorf("%+v", ride)
	}
	// A token that is sent counts.
	wantProblem(t, r.callAPI(trips.Rider("eve"), "GET", "/v1/xray/"+id, ""), 404, wire.CodeNotFound)
}

func TestRidesAreRateLimited(t *testing.T) {
	r := newXRayAPI(t, keptRides{}, 1, false)
	for range userBurst {
		r.callAPI(trips.Rider("ada"), "GET", "/v1/xray/no-uuid", "")
	}
	wantProblem(t, r.callAPI(trips.Rider("ada"), "GET", "/v1/xray/no-uuid", ""), 429, wire.CodeTooMany)
	r.pass(time.Second)
	wantProblem(t, r.callAPI(trips.Rider("ada"), "GET", "/v1/xray/no-uuid", ""), 404, wire.CodeNotFound)
}
