package routing

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

// patient is for tests in which the service is fine: the race detector is slow,
// and a slow answer is not the matter.
var patient = ClientOptions{Timeout: 20 * time.Second}

func clientOf(t *testing.T, h http.Handler, opts ClientOptions) *Client {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c := NewClient(server.URL+"/", opts)
	t.Cleanup(c.Close)
	return c
}

func twoPlaces() (from, to location.Point) {
	r := dice(11)
	return builtInCity().RandomPoint(r), builtInCity().RandomPoint(r)
}

func TestTheClientAnswersWhatTheRouterSays(t *testing.T) {
	router := NewRouter(builtInCity())
	c := clientOf(t, NewHandler(router), patient)
	from, to := twoPlaces()

	want, err := router.Route(context.Background(), from, to)
	if err != nil {
		t.Fatal(err)
	}

	way, err := c.Route(context.Background(), from, to)
	if err != nil || way.Source != SourceRoad || way.Duration != want.Duration || len(way.Path) != len(want.Path) {
		t.Fatalf("%s %s, want %s: %v", way.Source, way.Duration, want.Duration, err)
	}

	times, source, err := c.Times(context.Background(), []location.Point{from, to}, to)
	if err != nil || source != SourceRoad || times[0] != want.Duration || times[1] != 0 {
		t.Fatalf("%v %s %v", times, source, err)
	}

	off := location.Point{Lng: from.Lng + 1e-4, Lat: from.Lat}
	wantAt, wantOff, _ := router.Snap(off)
	if at, metres, err := c.Snap(context.Background(), off); err != nil || at != wantAt || math.Abs(metres-wantOff) > 1 {
		t.Fatalf("%v %.1f %v, want %v %.1f", at, metres, err, wantAt, wantOff)
	}
	if s := c.Stats(); s != (Stats{Calls: 3, Road: 3, Matrices: 1}) {
		t.Errorf("%+v", s)
	}
}

func TestOutsideTheCityIsSaidAndNotGuessed(t *testing.T) {
	c := clientOf(t, NewHandler(NewRouter(builtInCity())), patient)
	from, _ := twoPlaces()
	sea := location.Point{Lng: 3.4, Lat: 6.2}
	if _, err := c.Route(context.Background(), from, sea); !errors.Is(err, ErrOutsideCity) {
		t.Errorf("route: %v", err)
	}
	if _, _, err := c.Times(context.Background(), []location.Point{from}, sea); !errors.Is(err, ErrOutsideCity) {
		t.Errorf("times: %v", err)
	}
	if _, _, err := c.Snap(context.Background(), sea); !errors.Is(err, ErrOutsideCity) {
		t.Errorf("snap: %v", err)
	}
	if _, err := c.Route(context.Background(), from, location.Point{Lng: math.NaN()}); !errors.Is(err, location.ErrPoint) {
		t.Errorf("nonsense: %v", err)
	}
	if s := c.Stats(); s.Failures+s.Straight+s.Lies != 0 {
		t.Errorf("%+v", s)
	}
}

// assertStraight checks that the client gives the straight line for a way and
// for times.
func assertStraight(t *testing.T, c *Client) {
	t.Helper()
	from, to := twoPlaces()

	way, err := c.Route(context.Background(), from, to)
	air := location.MetresBetween(from, to)
	if err != nil || way.Source != SourceStraight || len(way.Path) != 2 || way.Metres < air || len(way.Speeds) != 1 {
		t.Fatalf("%+v, %v", way, err)
	}
	if drive := air / way.Speeds[0]; math.Abs(drive-way.Duration.Seconds()) > 1 {
		t.Fatalf("a car on the line takes %.0f s, promised %s", drive, way.Duration)
	}

	times, source, err := c.Times(context.Background(), []location.Point{from, to}, to)
	if err != nil || source != SourceStraight || times[0] != way.Duration || times[1] != 0 {
		t.Fatalf("%v %s %v", times, source, err)
	}
}

func TestAHangingServiceIsDoneWithout(t *testing.T) {
	release := make(chan struct{})
	c := clientOf(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }),
		ClientOptions{Timeout: 20 * time.Millisecond})
	t.Cleanup(func() { close(release) })
	assertStraight(t, c)
	if _, _, err := c.Snap(context.Background(), location.Point{Lng: 3.4, Lat: 6.45}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("snap: %v", err)
	}
}

func TestTheCallersOwnDeadlineLeavesTimeForTheFallback(t *testing.T) {
	release := make(chan struct{})
	c := clientOf(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }),
		ClientOptions{Timeout: time.Hour})
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()

	from, to := twoPlaces()
	if way, err := c.Route(ctx, from, to); err != nil || way.Source != SourceStraight {
		t.Fatalf("%+v %v", way, err)
	}

	long, cancelLong := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancelLong()

	if p := c.callTimeout(long); p > 18*time.Minute {
		t.Fatalf("of 20 minutes %s are for the service", p)
	}

	gone, cancelNow := context.WithCancel(context.Background())
	cancelNow()
	if _, err := c.Route(gone, from, to); !errors.Is(err, context.Canceled) {
		t.Fatalf("a caller who left: %v", err)
	}
}

// clock is moved by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestADeadServiceIsLeftAloneForASecondAndThenTriedAgain(t *testing.T) {
	var dead atomic.Bool
	var asked atomic.Int64
	good := NewHandler(NewRouter(builtInCity()))
	hand := &clock{at: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
	opts := patient
	opts.Now = hand.now
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if dead.Load() {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		good.ServeHTTP(w, r)
	}), opts)

	dead.Store(true)
	for range 3 {
		assertStraight(t, c) // two calls each
	}
	if s := c.Stats(); s.Skipped != 1 || s.Retries != 5 || s.Failures != 10 || s.Straight != 6 || s.Unanswered != 5 || s.Calls != 6 {
		t.Fatalf("%+v", s)
	}
	dead.Store(false)
	before := asked.Load()
	assertStraight(t, c)
	if asked.Load() != before {
		t.Fatal("the service was not left alone")
	}
	hand.pass(time.Second)
	from, to := twoPlaces()
	for range 2 {
		if way, err := c.Route(context.Background(), from, to); err != nil || way.Source != SourceRoad {
			t.Fatalf("the service is back: %+v %v", way, err)
		}
	}
}

func TestOneCallTriesWhileTheOthersWait(t *testing.T) {
	hand := &clock{at: time.Unix(1000, 0)}
	b := circuitBreaker{limit: 2, pause: time.Second, now: hand.now}
	b.noteFailure()
	b.noteFailure()
	if b.allowCall() {
		t.Fatal("open: nobody may ask")
	}

	hand.pass(time.Second)
	if !b.allowCall() {
		t.Fatal("after the pause one may ask")
	}
	if b.allowCall() {
		t.Fatal("two may not")
	}

	b.noteFailure()
	if b.allowCall() {
		t.Fatal("it failed again: wait again")
	}

	hand.pass(time.Second)
	b.allowCall()
	b.noteSuccess()

	for range 2 {
		if !b.allowCall() {
			t.Fatal("it works: everybody may ask")
		}
	}
}

func TestAServiceThatIsBackAtOnceIsAskedASecondTime(t *testing.T) {
	var asked atomic.Int64
	good := NewHandler(NewRouter(builtInCity()))
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		good.ServeHTTP(w, r)
	}), patient)

	from, to := twoPlaces()
	if way, err := c.Route(context.Background(), from, to); err != nil || way.Source != SourceRoad {
		t.Fatalf("%+v %v", way, err)
	}
	if s := c.Stats(); s.Retries != 1 || s.Road != 1 || s.AnsweredAgain != 1 || s.Unanswered != 0 {
		t.Errorf("%+v", s)
	}
}

func TestRetriesHaveABudget(t *testing.T) {
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusServiceUnavailable)
	}), ClientOptions{Timeout: 20 * time.Second, Failures: 1 << 30})
	for range 20 {
		assertStraight(t, c)
	}
	if s := c.Stats(); s.Retries != maxTokens/retryPrice {
		t.Errorf("%+v", s)
	}
}

func TestNobodyListensAtAll(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	c := NewClient(url, ClientOptions{})
	defer c.Close()
	assertStraight(t, c)
}

func TestAMatrixTooLargeForOneCallIsAskedForInParts(t *testing.T) {
	city := builtInCity()
	router, r := NewRouter(city), dice(8)
	c := clientOf(t, NewHandler(router), ClientOptions{Timeout: 20 * time.Second})
	from, to := make([]location.Point, 1100), make([]location.Point, 150)
	for i := range from {
		from[i] = city.RandomPoint(r)
	}
	for j := range to {
		to[j] = city.RandomPoint(r)
	}

	rows, source, err := c.Matrix(context.Background(), from, to)
	if err != nil || source != SourceRoad {
		t.Fatalf("%s %v", source, err)
	}

	want, err := router.Matrix(context.Background(), from, to)
	if err != nil {
		t.Fatal(err)
	}

	for i := range want {
		if !slices.Equal(rows[i], want[i]) {
			t.Fatalf("row %d of %d differs", i, len(want))
		}
	}

	if calls := c.Stats().Calls; calls != 2 {
		t.Errorf("%d calls for %d pairs", calls, len(from)*len(to))
	}
}
