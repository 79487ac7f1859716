package routing

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

// fakeOSRM answers in the documented format of OSRM's HTTP API from the
// built-in city's router. No real server was asked.
type fakeOSRM struct {
	router *Router
	// instead of the truth
	answer func(w http.ResponseWriter, service string) (done bool)
	asked  atomic.Int64
}

func (f *fakeOSRM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked.Add(1)
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) != 4 || parts[1] != "v1" || parts[2] != "driving" {
		f.refuse(w, "InvalidUrl", "URL string malformed")
		return
	}
	if f.answer != nil && f.answer(w, parts[0]) {
		return
	}

	var places []location.Point
	for _, pair := range strings.Split(parts[3], ";") {
		var p location.Point
		if _, err := fmt.Sscanf(pair, "%f,%f", &p.Lng, &p.Lat); err != nil {
			f.refuse(w, "InvalidQuery", "Query string malformed")
			return
		}
		places = append(places, p)
	}

	if len(places) > 100 {
		f.refuse(w, "TooBig", "Too many table coordinates")
		return
	}

	// which Go takes for an error
	q, err := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
	if err != nil {
		f.refuse(w, "InvalidQuery", err.Error())
		return
	}

	radii := strings.Split(q.Get("radiuses"), ";")
	if len(radii) != len(places) {
		f.refuse(w, "InvalidOptions", "Number of elements in radiuses is not the number of coordinates")
		return
	}

	for i, p := range places {
		if _, _, err := f.router.Snap(p); err != nil && radii[i] != "unlimited" {
			f.refuse(w, "NoSegment", "Could not find a matching segment for coordinate "+strconv.Itoa(i))
			return
		}
	}

	switch parts[0] {
	case "route":
		f.route(w, places)
	case "table":
		f.table(w, pick(places, q.Get("sources")), pick(places, q.Get("destinations")))
	case "nearest":
		at, off, _ := f.router.Snap(places[0])
		fmt.Fprintf(w, `{"code":"Ok","waypoints":[{"location":[%f,%f],"distance":%f,"name":""}]}`, at.Lng, at.Lat, off)
	}
}

func (f *fakeOSRM) refuse(w http.ResponseWriter, code, message string) {
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"code":%q,"message":%q}`, code, message)
}

func pick(places []location.Point, list string) (out []location.Point) {
	for _, s := range strings.Split(list, ";") {
		i, _ := strconv.Atoi(s)
		out = append(out, places[i])
	}
	return out
}

func (f *fakeOSRM) route(w http.ResponseWriter, places []location.Point) {
	way, err := f.router.Route(context.Background(), places[0], places[1])
	if err != nil {
		f.refuse(w, "NoRoute", "Impossible route between points")
		return
	}

	var line, speeds []string
	for i, p := range way.Path {
		line = append(line, fmt.Sprintf("[%f,%f]", p.Lng, p.Lat))
		if i > 0 {
			speeds = append(speeds, fmt.Sprint(way.Speeds[i-1]))
		}
	}

	fmt.Fprintf(w, `{"code":"Ok","routes":[{"distance":%f,"duration":%f,"geometry":{"type":"LineString","coordinates":[%s]},"legs":[{"annotation":{"speed":[%s]}}]}],"waypoints":[]}`,
		way.Metres, way.Duration.Seconds(), strings.Join(line, ","), strings.Join(speeds, ","))
}

func (f *fakeOSRM) table(w http.ResponseWriter, from, to []location.Point) {
	times, err := f.router.Matrix(context.Background(), from, to)
	if err != nil {
		f.refuse(w, "NoTable", err.Error())
		return
	}

	var rows, sources []string
	for i, row := range times {
		var cells []string
		for _, t := range row {
			cells = append(cells, fmt.Sprint(t.Seconds()))
		}
		rows = append(rows, "["+strings.Join(cells, ",")+"]")

		at, off, err := f.router.Snap(from[i])
		if err != nil {
			at, off = location.Point{Lng: 3.4, Lat: 6.4}, 5000
		}
		sources = append(sources, fmt.Sprintf(`{"location":[%f,%f],"distance":%f}`, at.Lng, at.Lat, off))
	}

	fmt.Fprintf(w, `{"code":"Ok","durations":[%s],"sources":[%s],"destinations":[]}`, strings.Join(rows, ","), strings.Join(sources, ","))
}

func osrmClient(t *testing.T, f *fakeOSRM, opts ClientOptions) *Client {
	f.router = NewRouter(builtInCity())
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	c := NewClient(osrmPrefix+server.URL+"/", opts)
	t.Cleanup(c.Close)
	return c
}

func near1e3(a, b time.Duration) bool {
	// coordinates go over in six digits
	return (a - b).Abs() <= 20*time.Millisecond
}

func TestAnOSRMServerAnswersLikeOurOwn(t *testing.T) {
	f := &fakeOSRM{}
	c := osrmClient(t, f, patient)
	from, to := twoPlaces()
	want, err := f.router.Route(context.Background(), from, to)
	if err != nil {
		t.Fatal(err)
	}

	way, err := c.Route(context.Background(), from, to)
	if err != nil || way.Source != SourceRoad || !near1e3(way.Duration, want.Duration) || len(way.Path) != len(want.Path) ||
		len(way.Speeds) != len(want.Speeds) {
		t.Fatalf("%s %s, want %s: %v", way.Source, way.Duration, want.Duration, err)
	}

	at, off, err := c.Snap(context.Background(), from)
	if err != nil || off > 1 || location.MetresBetween(at, from) > 1 {
		t.Errorf("%v %f %v", at, off, err)
	}

	city, r := builtInCity(), dice(4)
	sources, ends := make([]location.Point, 120), make([]location.Point, 60)
	for i := range sources {
		sources[i] = city.RandomPoint(r)
	}
	for i := range ends {
		ends[i] = city.RandomPoint(r)
	}
	sources[7] = location.Point{Lng: 3.4, Lat: 6.2} // in the sea: on foot
	rows, source, err := c.Matrix(context.Background(), sources, ends)
	if err != nil || source != SourceRoad {
		t.Fatalf("%s %v", source, err)
	}

	all, err := f.router.Matrix(context.Background(), sources, ends)
	if err != nil {
		t.Fatal(err)
	}

	for i, row := range all {
		if !slices.EqualFunc(rows[i], row, near1e3) {
			t.Fatalf("row %d differs", i)
		}
	}
}

func TestOSRMsCodesKeepTheirMeaning(t *testing.T) {
	f := &fakeOSRM{}
	c := osrmClient(t, f, ClientOptions{Timeout: 20 * time.Second, Failures: 1 << 30})
	from, to := twoPlaces()
	sea := location.Point{Lng: 3.4, Lat: 6.2}
	if _, err := c.Route(context.Background(), from, sea); !errors.Is(err, ErrOutsideCity) {
		t.Errorf("NoSegment: %v", err)
	}
	if _, _, err := c.Matrix(context.Background(), []location.Point{from}, []location.Point{sea}); !errors.Is(err, ErrOutsideCity) {
		t.Errorf("NoSegment of a table: %v", err)
	}
	if _, _, err := c.Snap(context.Background(), sea); !errors.Is(err, ErrOutsideCity) {
		t.Errorf("NoSegment of nearest: %v", err)
	}

	say := func(status int, body string) {
		f.answer = func(w http.ResponseWriter, _ string) bool {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}

	say(400, `{"code":"NoRoute","message":"Impossible route between points"}`)
	if _, err := c.Route(context.Background(), from, to); !errors.Is(err, ErrNoRoute) {
		t.Errorf("NoRoute: %v", err)
	}
	say(200, `{"code":"Ok","durations":[[null],[12345]],"sources":[{"distance":1},{"distance":2}]}`)
	times, source, err := c.Times(context.Background(), []location.Point{from, from}, to)
	if err != nil || source != SourceRoad || times[0] != NoWay || times[1] != 12345*time.Second {
		t.Errorf("null is no way: %v %s %v", times, source, err)
	}

	for name, a := range map[string]struct {
		status int
		body   string
	}{
		"refused":         {400, `{"code":"InvalidQuery","message":"Query string malformed"}`},
		"too big":         {400, `{"code":"TooBig","message":"Too many table coordinates"}`},
		"broken":          {500, ``},
		"another server":  {404, `<html>`},
		"not json":        {200, `<html>`},
		"nothing":         {200, `{"code":"Ok"}`},
		"negative":        {200, `{"code":"Ok","durations":[[-1],[5]],"sources":[{},{}],"routes":[{"duration":-1}]}`},
		"huge":            {200, `{"code":"Ok","durations":[[1e300],[5]],"sources":[{},{}],"routes":[{"duration":1e300}]}`},
		"beyond a number": {200, `{"code":"Ok","durations":[[1e999],[5]],"sources":[{},{}],"routes":[{"duration":1e999}]}`},
		"nan":             {200, `{"code":"Ok","durations":[[NaN],[5]],"sources":[{},{}],"routes":[{"duration":NaN}]}`},
		"a row short":     {200, `{"code":"Ok","durations":[[5]],"sources":[{}],"routes":[]}`},
		"rows of strings": {200, `{"code":"Ok","durations":[["5"],["5"]],"sources":[{},{}],"routes":["x"]}`},
		"faster than any": {200, `{"code":"Ok","durations":[[0.01],[0]],"sources":[{},{}],"routes":[{"duration":0.01}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			say(a.status, a.body)
			assertStraight(t, c)
		})
	}

	f.answer = func(w http.ResponseWriter, _ string) bool {
		_, _ = w.Write(make([]byte, maxAnswer+10))
		return true
	}
	assertStraight(t, c)
	if s := c.Stats(); s.Lies == 0 || s.Failures == 0 || s.Retries == 0 {
		t.Errorf("%+v", s)
	}
}

func TestAHangingOSRMServerIsDoneWithout(t *testing.T) {
	release := make(chan struct{})
	f := &fakeOSRM{answer: func(http.ResponseWriter, string) bool { <-release; return true }}
	c := osrmClient(t, f, ClientOptions{Timeout: 20 * time.Millisecond})
	t.Cleanup(func() { close(release) })
	for range 4 {
		assertStraight(t, c)
	}
	if s := c.Stats(); s.Skipped == 0 {
		t.Errorf("it was asked again and again: %+v", s)
	}
}
