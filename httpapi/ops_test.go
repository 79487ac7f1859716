package httpapi

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store/faulty"
	"github.com/ridehail/ridehail/trips"
)

// newRigWithAlert is an API behind which a rider's call for help waits.
func newRigWithAlert(t *testing.T, text string) (*testAPI, sos.Alert) {
	t.Helper()
	r := newTestAPI(t, nil)
	key := trips.IdempotencyKey{Actor: trips.Rider("r"), ID: "1"}

	ev, err := r.service.RequestTrip(t.Context(), key, "r", market, airport, trips.Quote{Fare: trips.Money{Minor: 1, Currency: "NGN"}})
	if err != nil {
		t.Fatal(err)
	}

	a, err := r.store.AddAlert(t.Context(), sos.Alert{ID: "a1", Trip: ev.Trip.ID, From: trips.Rider("r"), ClientID: "c1",
		Text: text, At: r.now(), Car: sos.Place{Point: market, At: r.now()}})
	if err != nil {
		t.Fatal(err)
	}
	return r, a
}

// askAdmin asks the admin API; header is given as key, value, ….
func (r *testAPI) askAdmin(method, path string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.api.Admin().ServeHTTP(w, req)
	return w
}

func TestTheOperatorsPageShowsACallAndCannotBeMadeToRunItsText(t *testing.T) {
	r, a := newRigWithAlert(t, `<script>alert("x")</script><img onerror=x>`)
	w := r.askAdmin("GET", "/ops")
	page := w.Body.String()
	if w.Code != http.StatusOK || strings.Contains(page, "<script") || strings.Contains(page, "<img") {
		t.Errorf("%d %s", w.Code, page)
	}

	for _, want := range []string{"&lt;script&gt;", string(a.Trip), "rider r", "6.45000, 3.38000", "/ops/alerts/a1/ack", "Acknowledge",
		`<p class="words" dir="auto">`, "unicode-bidi: plaintext"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page %s", want, page)
		}
	}

	for _, foreign := range []string{"http:", "https:", "src=", "<link", "@import", "url("} {
		if strings.Contains(page, foreign) {
			t.Errorf("the page wants something from elsewhere: %q", foreign)
		}
	}

	if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
}

func TestACallIsAcknowledgedByThePagesButtonAndByAScript(t *testing.T) {
	r, a := newRigWithAlert(t, "")
	if w := r.askAdmin("GET", "/ops/alerts"); !strings.Contains(w.Body.String(), `"alerts":[{"id":"a1"`) {
		t.Errorf("listed %s", w.Body)
	}

	w := r.askAdmin("POST", "/ops/alerts/a1/ack", "Accept", "text/html,*/*", "Sec-Fetch-Site", "same-origin")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/ops" {
		t.Errorf("the button led to %d %s", w.Code, w.Header())
	}

	w = r.askAdmin("POST", "/ops/alerts/a1/ack")
	var got sos.Alert
	if err := json.NewDecoder(w.Body).Decode(&got); err != nil || got.ID != a.ID || got.AckedAt.IsZero() {
		t.Errorf("%d %+v, %v", w.Code, got, err)
	}
	if w := r.askAdmin("GET", "/ops/alerts"); strings.TrimSpace(w.Body.String()) != `{"alerts":[]}` {
		t.Errorf("listed %s", w.Body)
	}
	if w := r.askAdmin("GET", "/ops"); !strings.Contains(w.Body.String(), "No call waits") {
		t.Errorf("shown %s", w.Body)
	}
}

func TestWhatIsNoAcknowledgementIsRefused(t *testing.T) {
	r, _ := newRigWithAlert(t, "")
	for path, want := range map[string]int{"/ops/alerts/none/ack": 404, "/ops/alerts/%00/ack": 404,
		"/ops/alerts/" + strings.Repeat("x", 200) + "/ack": 404} {
		if w := r.askAdmin("POST", path); w.Code != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}

	if w := r.askAdmin("GET", "/ops/alerts/a1/ack"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
	if w := r.askAdmin("POST", "/ops/alerts/a1/ack", "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("from another page: %d", w.Code)
	}
	if w := r.askAdmin("POST", "/ops/alerts/a1/ack", "Origin", "https://evil.example"); w.Code != http.StatusForbidden {
		t.Errorf("from another origin: %d", w.Code)
	}
	r.breakStore(true)

	for _, ask := range [][2]string{{"GET", "/ops"}, {"GET", "/ops/alerts"}, {"POST", "/ops/alerts/a1/ack"}} {
		w := r.askAdmin(ask[0], ask[1])
		if body, _ := io.ReadAll(w.Body); w.Code != http.StatusServiceUnavailable || strings.Contains(string(body), faulty.ErrRefused.Error()) {
			t.Errorf("%v: %d %s", ask, w.Code, body)
		}
	}
}

func TestThePublicAPIShowsNoCalls(t *testing.T) {
	r, _ := newRigWithAlert(t, "help")
	for _, path := range []string{"/ops", "/ops/alerts", "/ops/alerts/a1/ack"} {
		for _, method := range []string{"GET", "POST"} {
			w := httptest.NewRecorder()
			r.public.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if w.Code < 400 {
				t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
			}
		}
	}
}

// A trip that its driver can neither complete nor cancel, such as one whose
// phone never finds its place again, is ended by the operators at no charge.
func TestOperatorsCancelATripThatNobodyElseCanEnd(t *testing.T) {
	r := newTestAPI(t, nil)
	id := r.requestTrip("r", "k").ID
	r.moveTrip("d", id, trips.KindReserved, trips.KindArrived, trips.KindOnTrip)
	path := "/ops/trips/" + id + "/cancel"

	if w := r.askAdmin("POST", path, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("from another page: %d %s", w.Code, w.Body)
	}
	for range 2 { // a repeat has the same answer
		w := r.askAdmin("POST", path)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"state":"cancelled"`) ||
			!strings.Contains(w.Body.String(), `"end_reason":"cancelled_by_operators"`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}

	for _, unknown := range []string{"none", "%00", strings.Repeat("x", 65)} {
		if w := r.askAdmin("POST", "/ops/trips/"+unknown+"/cancel"); w.Code != http.StatusNotFound {
			t.Errorf("%q: %d %s", unknown, w.Code, w.Body)
		}
	}
	over := r.requestTrip("r2", "k").ID
	r.moveTrip("d", over, trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted)
	if w := r.askAdmin("POST", "/ops/trips/"+over+"/cancel"); w.Code != http.StatusConflict {
		t.Errorf("a completed trip: %d %s", w.Code, w.Body)
	}
}
