package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// quoting is a rig that quotes with a surge of its own, by the rig's clock.
func quoting(t *testing.T, surge *pricing.Surge) *rig {
	t.Helper()
	return newRig(t, func(_ *Config, book *booking.Config) {
		var err error
		secret := []byte(strings.Repeat("s", 32))
		if book.Quoter, err = pricing.NewQuoter(secret, pricing.QuoterOptions{Surge: surge, Now: book.Now}); err != nil {
			t.Fatal(err)
		}
	})
}

func (r *rig) quote(rider trips.RiderID) quote {
	r.t.Helper()
	return want[quote](r.t, r.call(trips.Rider(rider), "POST", "/v1/quotes", ride), http.StatusOK)
}

func (r *rig) take(rider trips.RiderID, token, key string) *httptest.ResponseRecorder {
	r.t.Helper()
	return r.call(trips.Rider(rider), "POST", "/v1/trips", fmt.Sprintf(`{"quote":%q}`, token), "Idempotency-Key", key)
}

// busy is a surge at the market, as far up as it goes.
func busy(s *pricing.Surge) {
	for i := range 60 {
		s.Tick(time.Unix(1_700_000_000, 0).Add(time.Duration(i)*10*time.Second), slices.Repeat([]location.Point{market}, 20), nil)
	}
}

func TestThePriceTheRiderSawIsTheTripsThoughItGotBusyMeanwhile(t *testing.T) {
	surge := pricing.NewSurge(pricing.SurgeOptions{})
	r := quoting(t, surge)
	calm := r.quote("r")
	if calm.Surge != 1 || !calm.ExpiresAt.Equal(r.now().Add(2*time.Minute)) {
		t.Errorf("calm: %+v", calm)
	}

	busy(surge)
	dear := r.quote("r")
	if dear.Surge != 2.5 || dear.Fare != pricing.Fare(trips.DefaultTariff, calm.DistanceM, time.Duration(calm.DurationS)*time.Second, 25) {
		t.Errorf("busy: %+v", dear)
	}

	trip := want[tripJSON](t, r.take("r", calm.Quote, "k"), http.StatusCreated)
	if trip.Fare != calm.Fare || trip.Pickup != market || trip.Dropoff != airport || trip.DistanceM < 1 {
		t.Errorf("%+v, quoted %+v", trip, calm)
	}
	if unquoted := r.request("r2", "k"); unquoted.Fare != dear.Fare {
		t.Errorf("without a quote: %v, the price of the moment is %v", unquoted.Fare, dear.Fare)
	}
}

func TestAnExpiredQuoteOpensNoTripButARepeatFindsTheFirst(t *testing.T) {
	r := quoting(t, nil)
	token := r.quote("r").Quote
	first := want[tripJSON](t, r.take("r", token, "k1"), http.StatusCreated)
	r.pass(2*time.Minute - time.Second)
	wantProblem(t, r.take("r", token, "k2"), 409, wire.CodeRiderBusy)
	r.pass(time.Second)
	if again := want[tripJSON](t, r.take("r", token, "k1"), http.StatusCreated); again.ID != first.ID || again.Fare != first.Fare {
		t.Errorf("a repeat found %+v, first %+v", again, first)
	}
	wantProblem(t, r.take("r", token, "k3"), 409, wire.CodeQuoteExpired)
	wantProblem(t, r.take("r", r.quote("r").Quote, "k1"), 422, wire.CodeKeyReused)
}

func TestAQuoteIsForOneRiderAndOneWay(t *testing.T) {
	r := quoting(t, nil)
	token := r.quote("r").Quote
	wantProblem(t, r.take("other", token, "k"), 422, wire.CodeBadQuote)
	wantProblem(t, r.take("r", token+"x", "k"), 422, wire.CodeBadQuote)
	wantProblem(t, r.take("r", r.token(trips.RoleRider, "r"), "k"), 422, wire.CodeBadQuote)
	sent := func(points string) *httptest.ResponseRecorder {
		body := fmt.Sprintf(`{"quote":%q,%s`, token, strings.TrimPrefix(points, "{"))
		return r.call(trips.Rider("r"), "POST", "/v1/trips", body, "Idempotency-Key", "k")
	}
	wantProblem(t, sent(strings.Replace(ride, "6.5}", "6.51}", 1)), 422, wire.CodeBadQuote)
	wantProblem(t, sent(strings.Replace(ride, "3.38", "3.37", 1)), 422, wire.CodeBadQuote)
	want[tripJSON](t, sent(ride), http.StatusCreated)
}

func TestAQuoteIsNoToken(t *testing.T) {
	r := quoting(t, nil)
	token := r.quote("r").Quote
	if _, err := r.tokens.Verify(token); err == nil {
		t.Error("a quote was taken for a rider's token")
	}
	wantProblem(t, r.call(trips.Actor{}, "GET", "/v1/trips", "", "Authorization", "Bearer "+token), 401, wire.CodeUnauthorized)
}

func TestNodesWithOneSecretTakeEachOthersQuotes(t *testing.T) {
	a, b := quoting(t, nil), quoting(t, nil)
	q := a.quote("r")
	if trip := want[tripJSON](t, b.take("r", q.Quote, "k"), http.StatusCreated); trip.Fare != q.Fare {
		t.Errorf("%v, quoted %v", trip.Fare, q.Fare)
	}
}

func TestTheMapOfSurgeShowsWhereItIsDearer(t *testing.T) {
	type zone struct {
		Type     string `json:"type"`
		ID       string `json:"id"`
		Geometry struct {
			Type        string         `json:"type"`
			Coordinates [][][2]float64 `json:"coordinates"`
		} `json:"geometry"`
		Properties struct {
			Multiplier, Demand, Supply float64
		} `json:"properties"`
	}

	type zones struct {
		Type     string `json:"type"`
		Features []zone `json:"features"`
	}
	surge := pricing.NewSurge(pricing.SurgeOptions{})
	r := quoting(t, surge)
	ask := func() zones {
		w := r.call(trips.Actor{}, "GET", "/v1/surge", "")
		if w.Header().Get("Content-Type") != "application/geo+json" || w.Header().Get("Cache-Control") != surgeCache {
			t.Errorf("headers %v", w.Header())
		}
		return want[zones](t, w, http.StatusOK)
	}

	if calm := ask(); calm.Type != "FeatureCollection" || calm.Features == nil || len(calm.Features) != 0 {
		t.Errorf("calm: %+v", calm)
	}
	busy(surge)
	dear := ask()
	i := slices.IndexFunc(dear.Features, func(z zone) bool { return z.Properties.Multiplier == 2.5 })
	if i < 0 {
		t.Fatalf("busy: %+v", dear)
	}

	z := dear.Features[i]
	ring := z.Geometry.Coordinates[0]
	if z.Geometry.Type != "Polygon" || len(ring) != 7 || ring[0] != ring[6] || z.ID == "" || z.Properties.Demand <= 0 {
		t.Errorf("%+v", z)
	}
}
