package page

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/page/pagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a page behind a real server.
type rig struct {
	t    *testing.T
	page *Page
	url  string
	web  *http.Client
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	cfg := Config{Experiments: pagetest.Experiments(), MayRun: true, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&cfg)
	}
	p := New(t.Context(), cfg)
	s := httptest.NewServer(p)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() { client.CloseIdleConnections(); p.Close(); s.Close() })
	return &rig{t, p, s.URL, client}
}

func (r *rig) ask(method, path, body string, headers ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}

	res, err := r.web.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { res.Body.Close() })
	return res
}

// event is one of a run's events.
type event struct{ name, data string }

// events reads events as they come.
type events struct {
	t     *testing.T
	lines *bufio.Scanner
}

func (r *rig) startRun(body string) *events {
	r.t.Helper()
	res := r.ask("POST", "/lab/api/runs", body)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(res.Body)
		r.t.Fatalf("%d %s", res.StatusCode, text)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<22)
	return &events{r.t, lines}
}

// next returns the next event, and ok false at the end of the stream.
func (e *events) next() (ev event, ok bool) {
	for e.lines.Scan() {
		switch name, value, _ := strings.Cut(e.lines.Text(), ": "); name {
		case "event":
			ev.name = value
		case "data":
			ev.data = value
		case "":
			return ev, true
		}
	}
	return ev, false
}

// until returns the first event of a name.
func (e *events) until(name string) string {
	e.t.Helper()
	for {
		ev, ok := e.next()
		if !ok {
			e.t.Fatalf("the stream ended before %s", name)
		}
		if ev.name == name {
			return ev.data
		}
	}
}

func decode[T any](t *testing.T, text string) (out T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

func TestARunTellsItsFrameItsPointsAndItsFinding(t *testing.T) {
	r := newRig(t)
	run := r.startRun(`{"experiment":"curves","guess":"B","knobs":{"pace":"1","rate":"30"},"seed":"7"}`)

	first := decode[start](t, run.until("started"))
	if first.Seed != "7" || first.Guess != "B" || first.Knobs["rate"] != "30" || first.Takes != 3 || first.Deadline != 19 || len(first.Corrections) != 0 {
		t.Errorf("started with %+v", first)
	}
	if frame := decode[plot.Chart](t, run.until("frame")); frame.X.End != 16 || len(frame.Panels[0].Curves) != 6 {
		t.Errorf("frame %+v", frame)
	}

	points := 0
	for {
		ev, ok := run.next()
		if !ok {
			t.Fatal("the stream ended before the result")
		}
		if ev.name != "points" {
			found := decode[finding.Finding](t, ev.data)
			if ev.name != "result" || found.Seen != "C" || found.Guess != "B" || len(found.Claims) != 3 || found.Process == 0 ||
				!strings.Contains(found.Command, "--rate 30") {
				t.Errorf("%s: %+v", ev.name, found)
			}
			break
		}
		points += len(decode[pointsEvent](t, ev.data).Points)
	}
	if points != 5*65 {
		t.Errorf("%d points, want all 325", points)
	}
	if _, ok := run.next(); ok {
		t.Error("something came after the result")
	}
}

func TestKnobsAreClampedAndToldSo(t *testing.T) {
	r := newRig(t)
	run := r.startRun(`{"experiment":"curves","knobs":{"pace":"0","rate":"400","hang":"-1s","timeout":"soon","order":"best"}}`)
	first := decode[start](t, run.until("started"))
	got := map[string]string{}
	for _, c := range first.Corrections {
		got[c.Knob] = first.Knobs[c.Knob] + ": " + c.Says
	}
	for knob, want := range map[string]string{"rate": "40: set to 40 a second, the most", "hang": "0: set to 0 s, the least",
		"timeout": "250: set to 250 ms, the default", "order": "oldest: set to oldest, the default", "pace": ""} {
		if got[knob] != want {
			t.Errorf("%s: %q, want %q", knob, got[knob], want)
		}
	}
	run.until("result")
}

func TestTheEmptyPlotFollowsTheKnobs(t *testing.T) {
	r := newRig(t)
	text, _ := io.ReadAll(r.ask("GET", "/lab/api/experiments/curves/frame?hang=1.5&rate=99", "").Body)
	got := decode[empty](t, string(text))
	if got.Chart.Panels[0].Bands[0].To != 3.5 || got.Knobs["rate"] != "40" || len(got.Corrections) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestTheListHasQuestionsWordForWord(t *testing.T) {
	r := newRig(t)
	text, _ := io.ReadAll(r.ask("GET", "/lab/api/experiments", "").Body)
	got := decode[list](t, string(text))
	if len(got.Experiments) != 3 || got.Experiments[1].Asks[0] != (ask{"R4", finding.CourseQuestions["R4"]}) || !got.MayRun || len(got.Planted) != 6 {
		t.Errorf("%+v", got)
	}

	page, _ := io.ReadAll(r.ask("GET", "/lab", "").Body)
	if !strings.Contains(string(page), "<code>ridehail lab curves</code>") {
		t.Error("a browser without scripts gets no list")
	}
}

func TestWhatCannotBeRunIsRefusedWithAReason(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"unknown experiment":          {"POST", "/lab/api/runs", `{"experiment":"flying"}`, 404, `There is no experiment \"flying\"`},
		"plot of an unknown one":      {"GET", "/lab/api/experiments/flying/frame", "", 404, "There is no experiment"},
		"unknown knob":                {"POST", "/lab/api/runs", `{"experiment":"curves","knobs":{"wings":"2"}}`, 400, `has no knob \"wings\"`},
		"unknown knob of a plot":      {"GET", "/lab/api/experiments/curves/frame?wings=2", "", 400, `has no knob \"wings\"`},
		"a guess that is no option":   {"POST", "/lab/api/runs", `{"experiment":"curves","guess":"E"}`, 400, "the guess is"},
		"a guess of two letters":      {"POST", "/lab/api/runs", `{"experiment":"curves","guess":"AB"}`, 400, "the guess is"},
		"a seed below 0":              {"POST", "/lab/api/runs", `{"experiment":"curves","seed":"-1"}`, 400, "the seed is"},
		"no JSON":                     {"POST", "/lab/api/runs", `experiment=curves`, 400, "The body must be JSON"},
		"too long":                    {"POST", "/lab/api/runs", `{"experiment":"` + strings.Repeat("x", maxBody) + `"}`, 400, "too large"},
		"a server of the page's own":  {"POST", "/lab/api/runs", `{"experiment":"curves","knobs":{"redis":"redis://elsewhere"}}`, 400, `has no knob \"redis\"`},
		"an endpoint that is not":     {"GET", "/lab/api/nothing", "", 404, "no such endpoint"},
		"a file that is not":          {"GET", "/lab/app/nothing.js", "", 404, ""},
		"another method for the page": {"POST", "/lab", "", 405, ""},
	} {
		res := r.ask(c.method, c.path, c.body)
		text, _ := io.ReadAll(res.Body)
		if res.StatusCode != c.status || !strings.Contains(string(text), c.says) {
			t.Errorf("%s: %d %s, want %d and %q", name, res.StatusCode, text, c.status, c.says)
		}
	}
}

func TestASecondRunIsToldHowLongToWait(t *testing.T) {
	r := newRig(t)
	first := r.startRun(`{"experiment":"endless"}`)
	begun := decode[start](t, first.until("started"))

	res := r.ask("POST", "/lab/api/runs", `{"experiment":"bars"}`)
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusConflict || !strings.Contains(string(text), "Another run is on, 9 s left") || res.Header.Get("Retry-After") != "9" ||
		!strings.Contains(string(text), `"lab_busy"`) {
		t.Errorf("%d %s", res.StatusCode, text)
	}

	if res := r.ask("DELETE", "/lab/api/runs/"+begun.Run, ""); res.StatusCode != http.StatusNoContent {
		t.Errorf("stop: %d", res.StatusCode)
	}
	if s := decode[stoppedEvent](t, first.until("stopped")); s.Why != "asked" || !strings.HasPrefix(s.Says, "Stopped at ") {
		t.Errorf("%+v", s)
	}
	r.startRun(`{"experiment":"bars"}`).until("result")
}

func TestAStopOfAnotherRunStopsNothing(t *testing.T) {
	r := newRig(t)
	run := r.startRun(`{"experiment":"bars"}`)
	r.ask("DELETE", "/lab/api/runs/999", "")
	run.until("result")
}

func TestARunWhoseAskerWentAwayStops(t *testing.T) {
	r := newRig(t)
	ctx, leave := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", r.url+"/lab/api/runs", strings.NewReader(`{"experiment":"endless"}`))
	res, err := r.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	r.page.mu.Lock()
	active := r.page.current
	r.page.mu.Unlock()
	leave()
	<-active.ended
	if !errors.Is(active.err, errGone) {
		t.Errorf("ended with %v, want %v", active.err, errGone)
	}
}

func TestARunEndsWithTheProgram(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	p := New(ctx, Config{Experiments: pagetest.Experiments(), MayRun: true, Log: slog.New(slog.DiscardHandler)})
	s := httptest.NewServer(p)
	defer s.Close()
	r := &rig{t, p, s.URL, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	run := r.startRun(`{"experiment":"endless"}`)
	run.until("points")
	end()

	if s := decode[stoppedEvent](t, run.until("stopped")); s.Why != "ending" {
		t.Errorf("%+v", s)
	}
	p.Close()
	if res := r.ask("POST", "/lab/api/runs", `{"experiment":"bars"}`); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a run after the end: %d", res.StatusCode)
	}
}

// TestARunEndsAtItsDeadline works in the time of package synctest, where the
// deadline of 37 s comes at once.
func TestARunEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(t.Context(), Config{Experiments: pagetest.Experiments(), MayRun: true, Log: slog.New(slog.DiscardHandler)})
		defer p.Close()
		w := send(p, "POST", "/lab/api/runs", `{"experiment":"endless"}`)
		if body := w.Body.String(); !strings.Contains(body, `event: stopped`) || !strings.Contains(body, `{"why":"deadline","says":"Stopped at 37 s`) {
			t.Errorf("the last event is %s", body[max(0, len(body)-200):])
		}
	})
}

// TestAnExperimentThatDoesNotStopKeepsNobodyWaiting has one that ends long
// after it should.
func TestAnExperimentThatDoesNotStopKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stubborn := pagetest.Endless()
		stubborn.Run = func(context.Context, *finding.Run) (finding.Result, error) {
			time.Sleep(time.Hour)
			return finding.Result{}, nil
		}
		p := New(t.Context(), Config{Experiments: []finding.Experiment{stubborn}, MayRun: true, Log: slog.New(slog.DiscardHandler)})
		began := time.Now()
		w := send(p, "POST", "/lab/api/runs", `{"experiment":"endless"}`)
		if took := time.Since(began); took > time.Minute || !strings.Contains(w.Body.String(), `"why":"deadline"`) {
			t.Errorf("after %v: %s", took, w.Body)
		}
		if w := send(p, "POST", "/lab/api/runs", `{"experiment":"endless"}`); w.Code != http.StatusConflict {
			t.Errorf("beside it another one runs: %d", w.Code)
		}
		p.Close()
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("the end waited %v", took)
		}
		time.Sleep(time.Hour) // it ends at last
	})
}

func TestAnExperimentThatFailsSaysWhy(t *testing.T) {
	failing, panicking, endlessly := pagetest.Bars(), pagetest.Bars(), pagetest.Bars()
	failing.Name, failing.Run = "failing", func(context.Context, *finding.Run) (finding.Result, error) {
		return finding.Result{}, fmt.Errorf("%w: no port is free", finding.ErrUnreachable)
	}
	panicking.Name, panicking.Run = "panicking", func(context.Context, *finding.Run) (finding.Result, error) { panic("the wheel came off") }
	endlessly.Name, endlessly.Run = "infinite", func(_ context.Context, run *finding.Run) (finding.Result, error) {
		run.Point("a", 1, math.Inf(1)) // is left out
		return finding.Result{Figures: math.NaN()}, nil
	}
	r := newRig(t, func(c *Config) { c.Experiments = []finding.Experiment{failing, panicking, endlessly} })
	for name, want := range map[string]string{"failing": "no port is free", "panicking": "the wheel came off", "infinite": "no number"} {
		if got := decode[errorEvent](t, r.startRun(`{"experiment":"`+name+`"}`).until("error")); !strings.Contains(got.Says, want) {
			t.Errorf("%s: %s", name, got.Says)
		}
	}
}

func TestWithoutDevelopmentTokensThePageShowsAndRunsNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MayRun = false })
	text, _ := io.ReadAll(r.ask("GET", "/lab/api/experiments", "").Body)
	if got := decode[list](t, string(text)); got.MayRun || got.WhyNot == "" || len(got.Experiments) != 3 {
		t.Errorf("%+v", got)
	}
	if res := r.ask("POST", "/lab/api/runs", `{"experiment":"bars"}`); res.StatusCode != http.StatusForbidden {
		t.Errorf("a run: %d", res.StatusCode)
	}
}

// ask sends a request without a connection.
func send(p *Page, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = "localhost:8080", "127.0.0.1:5000"
	for i := 0; i < len(headers); i += 2 {
		switch headers[i] {
		case "Host":
			r.Host = headers[i+1]
		case "from":
			r.RemoteAddr = headers[i+1]
		default:
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

func TestOnlyThePageOnThisMachineIsAnswered(t *testing.T) {
	p := New(t.Context(), Config{Experiments: pagetest.Experiments(), MayRun: true, Log: slog.New(slog.DiscardHandler)})
	defer p.Close()
	for name, c := range map[string]struct {
		method  string
		headers []string
		want    int
	}{
		"a program here":                 {"GET", nil, 200},
		"by IPv6":                        {"GET", []string{"from", "[::1]:5000", "Host", "[::1]:8080"}, 200},
		"by a mapped address":            {"GET", []string{"from", "[::ffff:127.0.0.1]:5000", "Host", "127.0.0.1"}, 200},
		"the page itself":                {"GET", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"a typed address":                {"GET", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, 200},
		"a link on another site":         {"GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
		"another machine":                {"GET", []string{"from", "192.168.1.7:5000"}, 403},
		"no address":                     {"GET", []string{"from", "@"}, 403},
		"a name that points here":        {"GET", []string{"Host", "evil.example:8080"}, 403},
		"a name that looks like here":    {"GET", []string{"Host", "localhost.evil.example"}, 403},
		"a public address":               {"GET", []string{"Host", "0.0.0.0:8080"}, 403},
		"behind a proxy":                 {"GET", []string{"X-Forwarded-For", "203.0.113.9"}, 403},
		"a script of another site":       {"GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, 403},
		"another port's page":            {"GET", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		"a form of another site":         {"POST", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},
		"an old browser at another site": {"POST", []string{"Origin", "https://evil.example"}, 403},
	} {
		path, body := "/lab/api/experiments", ""
		if c.method == "POST" {
			path, body = "/lab/api/runs", `{"experiment":"bars"}`
		}
		if w := send(p, c.method, path, body, c.headers...); w.Code != c.want {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, c.want, w.Body)
		}
	}
}

func TestASlowBrowserNeverHoldsUpTheExperimentAndGetsTheNewestPoints(t *testing.T) {
	f := &feed{}
	const added = 3 * maxWaiting
	for i := range added {
		f.addPoint([]string{"a", "b"}[i%2], plot.Point{X: float64(i)})
	}
	points, merged := f.takePoints()
	if len(points) > maxWaiting || len(points)+merged != added || len(points) < maxWaiting/4 {
		t.Errorf("%d points wait and %d were merged, of %d", len(points), merged, added)
	}
	if last := points[len(points)-1]; last.X != added-1 {
		t.Errorf("the newest is %+v", last)
	}
	for i := range 2 * maxWaiting {
		f.addPoint(fmt.Sprint(i), plot.Point{}) // nothing to thin out
	}
	if points, _ := f.takePoints(); len(points) > maxWaiting || points[len(points)-1].Curve != fmt.Sprint(2*maxWaiting-1) {
		t.Errorf("%d points wait", len(points))
	}
}
