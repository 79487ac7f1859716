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

// newQuotingRig is a rig that quotes with a surge of its own, by the rig's
// clock.
func newQuotingRig(t *testing.T, surge *pricing.Surge) *testAPI {
	t.Helper()
	return newTestAPI(t, func(_ *Config, book *booking.Config) {
		var err error
		secret := []byte(strings.Repeat("s", 32))
		if book.Quoter, err = pricing.NewQuoter(secret, pricing.QuoterOptions{Surge: surge, Now: book.Now}); err != nil {
			t.Fatal(err)
		}
	})
}

func (r *testAPI) postQuote(rider trips.RiderID) quote {
	r.t.Helper()
	return decodeAnswer[quote](r.t, r.callAPI(trips.Rider(rider), "POST", "/v1/quotes", ride), http.StatusOK)
}

func (r *testAPI) takeQuote(rider trips.RiderID, token, key string) *httptest.ResponseRecorder {
	r.t.Helper()
	return r.callAPI(trips.Rider(rider), "POST", "/v1/trips", fmt.Sprintf(`{"quote":%q}`, token), "Idempotency-Key", key)
}

// raiseSurge is a surge at the market, as far up as it goes.
func raiseSurge(s *pricing.Surge) {
	for i := range 60 {
		s.Tick(time.Unix(1_700_000_000, 0).Add(time.Duration(i)*10*time.Second), pricing.CountByZone(slices.Repeat([]location.Point{market}, 20)), nil)
	}
}

func TestThePriceTheRiderSawIsTheTripsThoughItGotBusyMeanwhile(t *testing.T) {
	surge := pricing.NewSurge(pricing.SurgeOptions{})
	r := newQuotingRig(t, surge)
	calm := r.postQuote("r")
	if calm.Surge != 1 || !calm.ExpiresAt.Equal(r.now().Add(2*time.Minute)) {
		t.Errorf("calm: %+v", calm)
	}

	raiseSurge(surge)
	dear := r.postQuote("r")
	if dear.Surge != 2.5 || dear.Fare != pricing.Fare(trips.DefaultTariff, calm.DistanceM, time.Duration(calm.DurationS)*time.Second, 25) {
		t.Errorf("busy: %+v", dear)
	}

	trip := decodeAnswer[tripJSON](t, r.takeQuote("r", calm.Quote, "k"), http.StatusCreated)
	if trip.Fare != calm.Fare || trip.Pickup != market || trip.Dropoff != airport || trip.DistanceM < 1 {
		t.Errorf("%+v, quoted %+v", trip, calm)
	}
	if unquoted := r.requestTrip("r2", "k"); unquoted.Fare != dear.Fare {
		t.Errorf("without a quote: %v, the price of the moment is %v", unquoted.Fare, dear.Fare)
	}
}

func TestAnExpiredQuoteOpensNoTripButARepeatFindsTheFirst(t *testing.T) {
	r := newQuotingRig(t, nil)
	token := r.postQuote("r").Quote
	first := decodeAnswer[tripJSON](t, r.takeQuote("r", token, "k1"), http.StatusCreated)
	r.pass(2*time.Minute - time.Second)
	wantProblem(t, r.takeQuote("r", token, "k2"), 409, wire.CodeRiderBusy)
	r.pass(time.Second)
	if again := decodeAnswer[tripJSON](t, r.takeQuote("r", token, "k1"), http.StatusCreated); again.ID != first.ID || again.Fare != first.Fare {
		t.Errorf("a repeat found %+v, first %+v", again, first)
	}
	wantProblem(t, r.takeQuote("r", token, "k3"), 409, wire.CodeQuoteExpired)
	wantProblem(t, r.takeQuote("r", r.postQuote("r").Quote, "k1"), 422, wire.CodeKeyReused)
}

func TestAQuoteIsForOneRiderAndOneWay(t *testing.T) {
	r := newQuotingRig(t, nil)
	token := r.postQuote("r").Quote
	wantProblem(t, r.takeQuote("other", token, "k"), 422, wire.CodeBadQuote)
	wantProblem(t, r.takeQuote("r", token+"x", "k"), 422, wire.CodeBadQuote)
	wantProblem(t, r.takeQuote("r", r.issueToken(trips.RoleRider, "r"), "k"), 422, wire.CodeBadQuote)
	sent := func(points string) *httptest.ResponseRecorder {
		body := fmt.Sprintf(`{"quote":%q,%s`, token, strings.TrimPrefix(points, "{"))
		return r.callAPI(trips.Rider("r"), "POST", "/v1/trips", body, "Idempotency-Key", "k")
	}
	wantProblem(t, sent(strings.Replace(ride, "6.5}", "6.51}", 1)), 422, wire.CodeBadQuote)
	wantProblem(t, sent(strings.Replace(ride, "3.38", "3.37", 1)), 422, wire.CodeBadQuote)
	decodeAnswer[tripJSON](t, sent(ride), http.StatusCreated)
}

func TestAQuoteIsNoToken(t *testing.T) {
	r := newQuotingRig(t, nil)
	token := r.postQuote("r").Quote
	if _, err := r.tokens.Verify(token); err == nil {
		t.Error("a quote was taken for a rider's token")
	}
	wantProblem(t, r.callAPI(trips.Actor{}, "GET", "/v1/trips", "", "Authorization", "Bearer "+token), 401, wire.CodeUnauthorized)
}

func TestNodesWithOneSecretTakeEachOthersQuotes(t *testing.T) {
	a, b := newQuotingRig(t, nil), newQuotingRig(t, nil)
	q := a.postQuote("r")
	if trip := decodeAnswer[tripJSON](t, b.takeQuote("r", q.Quote, "k"), http.StatusCreated); trip.Fare != q.Fare {
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
	r := newQuotingRig(t, surge)
	ask := func() zones {
		w := r.callAPI(trips.Actor{}, "GET", "/v1/surge", "")
		if w.Header().Get("Content-Type") != "application/geo+json" || w.Header().Get("Cache-Control") != surgeCache {
			t.Errorf("headers %v", w.Header())
		}
		return decodeAnswer[zones](t, w, http.StatusOK)
	}

	if calm := ask(); calm.Type != "FeatureCollection" || calm.Features == nil || len(calm.Features) != 0 {
		t.Errorf("calm: %+v", calm)
	}
	raiseSurge(surge)
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
