package httpapi

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/store/faulty"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func TestQuoteSaysPriceWayAndHowSoonACarIsThere(t *testing.T) {
	r := newTestAPI(t, nil)
	q := decodeAnswer[quote](t, r.callAPI(trips.Rider("r"), "POST", "/v1/quotes", ride), http.StatusOK)
	if q.Fare.Currency != "NGN" || q.Fare.Minor <= 0 || math.Abs(q.DistanceM-location.MetresBetween(market, airport)) > 1 ||
		q.RouteSource != "straight_line" || q.PickupS != nil || q.CarsNearby != 0 {
		t.Errorf("without cars: %+v", q)
	}

	// About a kilometre away.
	r.placeDriver("d", location.Point{Lng: market.Lng, Lat: market.Lat + .009})
	q = decodeAnswer[quote](t, r.callAPI(trips.Rider("r"), "POST", "/v1/quotes", ride), http.StatusOK)
	if q.CarsNearby != 1 || q.PickupS == nil || math.Abs(*q.PickupS-100) > 1 || q.PickupSource != "straight_line" {
		t.Errorf("with a car: %+v", q)
	}
}

func TestNoRiderIsPickedUpAtSea(t *testing.T) {
	r := newTestAPI(t, nil)
	sea := fmt.Sprintf(`{"pickup":{"lng":%g,"lat":%g},"dropoff":{"lng":3.4,"lat":6.5}}`, atSea.Lng, atSea.Lat)
	wantProblem(t, r.callAPI(trips.Rider("r"), "POST", "/v1/quotes", sea), 422, wire.CodeOutsideCity)
	wantProblem(t, r.callAPI(trips.Rider("r"), "POST", "/v1/trips", sea, "Idempotency-Key", "1"), 422, wire.CodeOutsideCity)
}

func TestARideToWhereItBeginsIsRefused(t *testing.T) {
	r := newTestAPI(t, nil)
	for _, dropoff := range []string{`{"lng":3.38,"lat":6.45}`, `{"lng":3.3800000001,"lat":6.45}`, `{"lng":3.3801,"lat":6.4501}`} {
		same := `{"pickup":{"lng":3.38,"lat":6.45},"dropoff":` + dropoff + `}`
		for _, path := range []string{"/v1/quotes", "/v1/trips"} {
			w := r.callAPI(trips.Rider("r"), "POST", path, same, "Idempotency-Key", "1")
			wantProblem(t, w, 400, wire.CodeBadField)
			if !strings.Contains(w.Body.String(), "Pickup and destination are the same place") {
				t.Errorf("%s %s: %s", path, dropoff, w.Body)
			}
		}
	}
}

func TestRequestIsPricedHereAndReadBackByItsRider(t *testing.T) {
	r := newTestAPI(t, nil)
	made := r.requestTrip("r", "k1")
	way, _ := byAir{}.Route(t.Context(), market, airport)

	fare := trips.DefaultTariff.Fare(way.Metres, way.Duration)
	if made.ID == "" || made.RiderID != "r" || made.State != "requested" || made.Version != 1 || made.Fare != fare ||
		made.Pickup != market || made.Dropoff != airport || made.RequestedMs != wire.ToMillis(r.now()) {
		t.Errorf("made %+v", made)
	}
	if read := decodeAnswer[tripJSON](t, r.callAPI(trips.Rider("r"), "GET", "/v1/trips/"+made.ID, ""), 200); read != made {
		t.Errorf("read %+v, made %+v", read, made)
	}

	wantProblem(t, r.callAPI(trips.Rider("r"), "POST", "/v1/trips", ride, "Idempotency-Key", "k2"), 409, wire.CodeRiderBusy)
}

func TestRequestRepeatedIsMadeOnceEvenAllAtOnceAndAfterTheRide(t *testing.T) {
	r := newTestAPI(t, nil)
	answers := make([]string, 8)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = r.callAPI(trips.Rider("r"), "POST", "/v1/trips", ride, "Idempotency-Key", "k1").Body.String()
		})
	}

	all.Wait()
	if answers = slices.Compact(answers); len(answers) != 1 || !strings.Contains(answers[0], `"state":"requested"`) {
		t.Fatalf("answers differ: %s", answers)
	}

	id := r.requestTrip("r", "k1").ID
	r.moveTrip("d", id, trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)
	if again := r.requestTrip("r", "k1"); again.ID != id {
		t.Errorf("a late repeat opened trip %s, want %s again", again.ID, id)
	}

	other := strings.Replace(ride, "6.5}", "6.51}", 1)
	wantProblem(t, r.callAPI(trips.Rider("r"), "POST", "/v1/trips", other, "Idempotency-Key", "k1"), 422, wire.CodeKeyReused)
	if stranger := r.requestTrip("r2", "k1"); stranger.ID == id {
		t.Error("another rider's same key led to this rider's trip")
	}
}

func TestCancelEndsTheTripOnceWithItsReason(t *testing.T) {
	r := newTestAPI(t, nil)
	id := r.requestTrip("r", "k1").ID
	for range 2 {
		w := r.callAPI(trips.Rider("r"), "POST", "/v1/trips/"+id+"/cancel", `{"reason":"changed my mind"}`)
		got := decodeAnswer[tripJSON](t, w, http.StatusOK)
		if got.State != "cancelled" || got.EndReason != "changed my mind" || got.Version != 2 || got.EndedMs == 0 {
			t.Errorf("cancelled %+v", got)
		}
	}

	second := r.callAPI(trips.Rider("r"), "POST", "/v1/trips/"+r.requestTrip("r", "k2").ID+"/cancel", "")
	if got := decodeAnswer[tripJSON](t, second, http.StatusOK); got.State != "cancelled" {
		t.Errorf("without a body: %+v", got)
	}

	long := `{"reason":"` + strings.Repeat("x", 201) + `"}`
	wantProblem(t, r.callAPI(trips.Rider("r"), "POST", "/v1/trips/"+id+"/cancel", long), 400, wire.CodeBadField)
	withKey := func(key string) *httptest.ResponseRecorder {
		return r.callAPI(trips.Rider("r"), "POST", "/v1/trips/"+id+"/cancel", "", "Idempotency-Key", key)
	}
	wantProblem(t, withKey(strings.Repeat("k", 65)), 400, wire.CodeBadField)
	wantProblem(t, withKey("k1"), 422, wire.CodeKeyReused)
}

func TestDriverCancelsBeforeTheRideAndNotDuringIt(t *testing.T) {
	r := newTestAPI(t, nil)
	id := r.requestTrip("r", "k1").ID
	r.moveTrip("d", id, trips.KindReserved)

	w := r.callAPI(trips.Driver("d"), "POST", "/v1/trips/"+id+"/cancel", "")
	if got := decodeAnswer[tripJSON](t, w, http.StatusOK); got.State != "cancelled" {
		t.Errorf("%+v", got)
	}

	id = r.requestTrip("r", "k2").ID
	r.moveTrip("d", id, trips.KindReserved, trips.KindArrived, trips.KindOnTrip)
	for _, who := range []trips.Actor{trips.Rider("r"), trips.Driver("d")} {
		wantProblem(t, r.callAPI(who, "POST", "/v1/trips/"+id+"/cancel", ""), 409, wire.CodeIllegalMove)
	}
}

// Every actor asks for every resource of one trip. A stranger to it
// hears exactly what they hear about a trip that does not exist.
func TestStrangersCannotTellATripFromNone(t *testing.T) {
	r := newTestAPI(t, nil)
	id := r.requestTrip("r", "k1").ID
	r.moveTrip("d", id, trips.KindReserved, trips.KindArrived)
	resources := []struct{ method, path string }{
		{"GET", "/v1/trips/%s"}, {"GET", "/v1/trips/%s/chat"}, {"POST", "/v1/trips/%s/cancel"},
	}
	strangers := []trips.Actor{trips.Rider("other"), trips.Driver("other"), trips.Rider("d"), trips.Driver("r")}
	for _, res := range resources {
		for _, who := range strangers {
			theirs := r.callAPI(who, res.method, fmt.Sprintf(res.path, id), "")
			none := r.callAPI(who, res.method, fmt.Sprintf(res.path, "no-such-trip"), "")
			wantProblem(t, theirs, 404, wire.CodeNotFound)
			if theirs.Body.String() != none.Body.String() {
				t.Errorf("%v %s %s: %s differs from %s", who, res.method, res.path, theirs.Body, none.Body)
			}
		}

		wantProblem(t, r.callAPI(trips.Actor{}, res.method, fmt.Sprintf(res.path, id), ""), 401, wire.CodeUnauthorized)
	}

	for _, who := range []trips.Actor{trips.Rider("r"), trips.Driver("d")} {
		// Cancel comes last: it ends the matter.
		for _, res := range resources {
			if w := r.callAPI(who, res.method, fmt.Sprintf(res.path, id), ""); w.Code != 200 && res.method == "GET" {
				t.Errorf("%v %s %s: %d %s", who, res.method, res.path, w.Code, w.Body)
			}
		}
	}

	w := r.callAPI(trips.Rider("r"), "GET", "/v1/trips/"+id, "")
	if got := decodeAnswer[tripJSON](t, w, http.StatusOK); got.Version != 4 || got.DriverID != "d" {
		t.Errorf("after the owners had their say: %+v", got)
	}
}

func TestAnOpenTripIsNoDriversYet(t *testing.T) {
	r := newTestAPI(t, nil)
	id := r.requestTrip("r", "k1").ID
	wantProblem(t, r.callAPI(trips.Driver("d"), "GET", "/v1/trips/"+id, ""), 404, wire.CodeNotFound)
	wantProblem(t, r.callAPI(trips.Driver("d"), "POST", "/v1/trips/"+id+"/cancel", ""), 404, wire.CodeNotFound)
}

type tripList struct {
	Trips []tripJSON `json:"trips"`
}

func TestTripsAreListedToTheirPeopleNewestFirstAndPageByPage(t *testing.T) {
	r := newTestAPI(t, nil)
	var ids []string
	for i := range pageSize + 3 {
		if i%20 == 0 {
			r.pass(time.Minute)
		}
		id := r.requestTrip("r", fmt.Sprint("k", i)).ID
		r.moveTrip("d", id, trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)
		ids = append(ids, id)
	}
	slices.Reverse(ids)

	for _, who := range []trips.Actor{trips.Rider("r"), trips.Driver("d")} {
		var got []string
		path := "/v1/trips"
		for range 2 {
			page := decodeAnswer[tripList](t, r.callAPI(who, "GET", path, ""), 200)
			for _, trip := range page.Trips {
				got = append(got, trip.ID)
			}
			path = fmt.Sprintf("/v1/trips?before=%f", page.Trips[len(page.Trips)-1].RequestedMs)
		}

		if !slices.Equal(got, ids) {
			t.Errorf("%v: listed %d trips, want %d newest first", who, len(got), len(ids))
		}
	}

	if page := r.callAPI(trips.Rider("other"), "GET", "/v1/trips", "").Body.String(); page != `{"trips":[]}` {
		t.Errorf("a newcomer sees %s", page)
	}
	for _, before := range []string{"x", "NaN", "-1", "1e15"} {
		wantProblem(t, r.callAPI(trips.Rider("r"), "GET", "/v1/trips?before="+before, ""), 400, wire.CodeBadField)
	}
}

type chatJSON struct {
	Messages []struct {
		TripID   string  `json:"trip_id"`
		Seq      uint32  `json:"seq"`
		From     string  `json:"from"`
		Text     string  `json:"text"`
		AtMs     float64 `json:"at_ms"`
		ClientID string  `json:"client_id"`
	} `json:"messages"`
}

func TestChatIsReadFromANumberOn(t *testing.T) {
	r := newTestAPI(t, nil)
	id := r.requestTrip("r", "k1").ID
	r.moveTrip("d", id, trips.KindReserved)

	room := r.api.cfg.Room
	for i, from := range []trips.Actor{trips.Rider("r"), trips.Driver("d"), trips.Rider("r")} {
		if _, err := room.Send(t.Context(), from, trips.TripID(id), fmt.Sprint("c", i), fmt.Sprint("words ", i)); err != nil {
			t.Fatal(err)
		}
	}

	all := decodeAnswer[chatJSON](t, r.callAPI(trips.Driver("d"), "GET", "/v1/trips/"+id+"/chat", ""), 200).Messages
	if len(all) != 3 || all[1].From != "driver" || all[1].Seq != 2 || all[2].Text != "words 2" || all[0].ClientID != "c0" {
		t.Errorf("all: %+v", all)
	}

	late := decodeAnswer[chatJSON](t, r.callAPI(trips.Rider("r"), "GET", "/v1/trips/"+id+"/chat?after=2", ""), 200).Messages
	if len(late) != 1 || late[0] != all[2] {
		t.Errorf("after 2: %+v", late)
	}

	none := r.callAPI(trips.Rider("r"), "GET", "/v1/trips/"+id+"/chat?after=3", "")
	if none.Body.String() != `{"messages":[]}` {
		t.Errorf("after 3: %s", none.Body)
	}

	for _, after := range []string{"-1", "x", "4294967296"} {
		wantProblem(t, r.callAPI(trips.Rider("r"), "GET", "/v1/trips/"+id+"/chat?after="+after, ""), 400, wire.CodeBadField)
	}
}

func TestReceiptsAreTheRidersOwn(t *testing.T) {
	r := newTestAPI(t, nil)
	for _, rider := range []trips.RiderID{"r", "other"} {
		trip := r.requestTrip(rider, "k1")
		r.moveTrip("d", trip.ID, trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)
		id := trips.TripID(trip.ID)
		charge := payments.Charge{Trip: id, Rider: rider, Reference: payments.ChargeReference(id), Amount: trip.Fare, At: r.now()}
		if _, err := r.store.RecordCharge(t.Context(), charge); err != nil {
			t.Fatal(err)
		}
	}

	got := decodeAnswer[struct {
		Receipts []struct {
			TripID    string      `json:"trip_id"`
			Reference string      `json:"reference"`
			Amount    trips.Money `json:"amount"`
			AtMs      float64     `json:"at_ms"`
		} `json:"receipts"`
	}](t, r.callAPI(trips.Rider("r"), "GET", "/v1/receipts", ""), 200).Receipts
	if len(got) != 1 || got[0].Reference != "trip-"+got[0].TripID || got[0].Amount.Minor <= 0 || got[0].AtMs == 0 {
		t.Errorf("receipts %+v", got)
	}

	wantProblem(t, r.callAPI(trips.Driver("d"), "GET", "/v1/receipts", ""), 403, wire.CodeForbidden)
}

func TestCarsNearbyAreShownOnlyRoughly(t *testing.T) {
	r := newTestAPI(t, nil)
	r.placeDriver("d", location.Point{Lng: 3.380012345, Lat: 6.450067891})
	r.pass(2 * time.Second)
	cars := decodeAnswer[struct {
		Cars []struct {
			ID     string         `json:"id"`
			Point  location.Point `json:"point"`
			AgeS   float64        `json:"age_s"`
			Status string         `json:"status"`
		} `json:"cars"`
	}](t, r.callAPI(trips.Rider("r"), "GET", "/v1/nearby?lng=3.38&lat=6.45", ""), 200).Cars
	if len(cars) != 1 || cars[0].Point != (location.Point{Lng: 3.38, Lat: 6.4501}) || cars[0].AgeS != 2 ||
		cars[0].Status != "available" {
		t.Errorf("cars %+v", cars)
	}

	wantProblem(t, r.callAPI(trips.Driver("d"), "GET", "/v1/nearby?lng=3.38&lat=6.45", ""), 403, wire.CodeForbidden)
}

func TestWhatIsDownIsSaidWithoutDetails(t *testing.T) {
	r := newTestAPI(t, nil)
	id := r.requestTrip("r", "k1").ID
	r.breakStore(true)

	for _, path := range []string{"/v1/trips", "/v1/trips/" + id, "/v1/trips/" + id + "/chat", "/v1/receipts"} {
		w := r.callAPI(trips.Rider("r"), "GET", path, "")
		wantProblem(t, w, 503, wire.CodeUnavailable)
		if strings.Contains(w.Body.String(), faulty.ErrRefused.Error()) {
			t.Errorf("%s tells strangers %s", path, w.Body)
		}
	}

	r.breakStore(false)
	if again := r.requestTrip("r", "k1"); again.ID != id {
		t.Errorf("once it is up again, the same key led to %s, want %s", again.ID, id)
	}
}

func TestSlowRoutingEndsInACodedAnswer(t *testing.T) {
	r := newTestAPI(t, func(_ *Config, book *booking.Config) {
		book.Router = routerFunc(func() (routing.Route, error) {
			return routing.Route{}, fmt.Errorf("asking the router: %w", context.DeadlineExceeded)
		})
	})

	wantProblem(t, r.callAPI(trips.Rider("r"), "POST", "/v1/quotes", ride), 503, wire.CodeUnavailable)
}
