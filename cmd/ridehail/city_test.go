package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/demo"
	"github.com/ridehail/ridehail/web/webtest"
)

// program is the program running inside the test.
type program struct {
	out, logs lockedBuffer
	stop      context.CancelFunc
	ended     chan struct{}
	code      int
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())

	p := &program{stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.code = run(ctx, nil, args, &p.out, &p.logs)
	}()

	t.Cleanup(func() {
		stop()
		<-p.ended
		if t.Failed() {
			t.Logf("ridehail %s logged:\n%s", strings.Join(args, " "), p.logs.String())
		}
	})

	return p
}

func (p *program) wait(t *testing.T) int {
	t.Helper()
	<-p.ended
	return p.code
}

// freeAddress returns an address that is not in use now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// awaitReady waits until a node is ready for traffic.
func awaitReady(t *testing.T, p *program, url string) {
	t.Helper()

	for {
		if res, err := http.Get(url + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}

		select {
		case <-p.ended:
			t.Fatalf("the program ended with %d: %s", p.code, p.logs.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func demoSummary(t *testing.T, args ...string) demo.Summary {
	t.Helper()
	p := start(t, append([]string{"demo", "--json", "--listen", "127.0.0.1:0"}, args...)...)
	code := p.wait(t)
	var s demo.Summary
	dec := json.NewDecoder(strings.NewReader(p.out.String()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		t.Fatalf("exit %d, standard output is not one JSON object: %v\n%s", code, err, p.out.String())
	}
	if dec.More() {
		t.Error("there is more than one JSON object on standard output")
	}
	if code != exitDone || s.Violations != 0 {
		t.Fatalf("exit %d, %d violations: %s", code, s.Violations, strings.Join(s.Broken, "\n"))
	}

	return s
}

func TestThirtySecondsOfTheCityBreakNoPromiseAndASecondStartGoesOn(t *testing.T) {
	slowtest.Require(t)
	t.Parallel()
	data := t.TempDir()
	s := demoSummary(t, "--data", data, "--for", "30s", "--drivers", "120", "--riders", "60", "--speed", "40", "--flaky")
	t.Logf("%+v", s)
	if s.Drivers != 120 || s.Trips.Requested == 0 || s.Trips.Completed == 0 || s.Settled != s.Trips.Completed {
		t.Errorf("trips %+v, %d settled", s.Trips, s.Settled)
	}
	if s.Updates.Accepted == 0 || s.Updates.Accepted+s.Updates.Refused > uint64(s.Updates.Sent) {
		t.Errorf("updates do not add up: %+v", s.Updates)
	}
	if s.Latency.Count == 0 || s.Latency.P50 > s.Latency.P99 || s.Latency.P99 > s.Latency.Max {
		t.Errorf("latency %+v", s.Latency)
	}
	if s.Chat.Sent == 0 || s.Chat.Delivered == 0 {
		t.Errorf("chat %+v", s.Chat)
	}
	if s.Connections.Lost == 0 || s.Connections.Resumed == 0 || s.Connections.Resumed > s.Connections.Lost || s.Provider.AnswersLost == 0 {
		t.Errorf("a flaky city loses connections and answers: %+v", s.Losses)
	}
	if s.TooFar != 0 {
		t.Errorf("%d steps of honest drivers were refused", s.TooFar)
	}
	if s.Trips.Requested != s.Trips.Completed+s.Trips.Cancelled+s.Trips.Expired+s.Trips.Open {
		t.Errorf("trips do not add up: %+v", s.Trips)
	}

	again := demoSummary(t, "--data", data, "--for", "8s", "--drivers", "120", "--riders", "60", "--speed", "40")
	ended := again.Trips.Completed + again.Trips.Cancelled + again.Trips.Expired
	if s.Trips.Open+again.Trips.Requested != ended+again.Trips.Open {
		t.Errorf("the second start lost trips: %d were open, then %+v", s.Trips.Open, again.Trips)
	}

	audit := start(t, "audit", "--database", data+"/ridehail.db", "--json")
	if code := audit.wait(t); code != exitDone {
		t.Errorf("the audit found: %s", audit.out.String())
	}
}

// A newcomer watches for a minute. On an idle machine of two cores about 25
// rides end in it, and one or two before the city began warm.
func TestTheFirstMinuteOfADemoCompletesTenRides(t *testing.T) {
	slowtest.Require(t)
	t.Parallel()
	if s := demoSummary(t, "--data", t.TempDir(), "--for", "60s"); s.Trips.Completed < 10 {
		t.Errorf("%+v", s.Trips)
	}
}

func TestSimulatorsThatDoNotFitTheirNodeAreToldHow(t *testing.T) {
	slowtest.Require(t)
	t.Parallel()
	url := "http://" + freeAddress(t)
	node := start(t, "serve", "--listen", strings.TrimPrefix(url, "http://"), "--admin", freeAddress(t), "--dev-tokens",
		"--database", filepath.Join(t.TempDir(), "r.db"), "--speed", "5")
	awaitReady(t, node, url)
	drive, _ := recordDrive(t)

	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"drivers --speed 1", exitUsage, "the node at " + url + " runs 5 times real time; leave --speed out or start the node with --speed 1"},
		{"riders --speed 7.5", exitUsage, "start the node with --speed 7.5"},
		{"drivers --speed 1 --replay " + drive, exitUsage, "runs 5 times real time"},
		{"riders --city 2", exitUsage, "give the --city that the node was started with"},
		{"drivers --speed 0", exitUsage, "--speed 0"},
		{"riders --speed NaN", exitUsage, "--speed NaN"},
		{"drivers --speed 5 --count 1 --for 200ms", exitDone, ""},
		{"riders --count 1 --for 200ms", exitDone, ""},
	} {
		p := start(t, append(strings.Fields(c.args), "--server", url)...)
		if code := p.wait(t); code != c.code || !strings.Contains(p.logs.String(), c.says) {
			t.Errorf("%s: exit %d, want %d; it says: %s", c.args, code, c.code, p.logs.String())
		}
	}
}

func TestARideOnThePageOfTheRealCity(t *testing.T) {
	slowtest.Require(t)
	t.Parallel()
	webtest.RequireBrowser(t)
	address := freeAddress(t)
	p := start(t, "demo", "--data", t.TempDir(), "--listen", address, "--drivers", "250", "--riders", "30", "--speed", "10")
	awaitReady(t, p, "http://"+address)

	for _, screen := range []webtest.Screen{webtest.Desktop, webtest.Phone} {
		t.Run(screen.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			webtest.RideOn(ctx, t, "http://"+address, screen)
		})
	}
}

func TestTheXrayOfARideAndOfACutRedisOnThePageOfTheRealCity(t *testing.T) {
	slowtest.Require(t)
	t.Parallel()
	webtest.RequireBrowser(t)
	address := freeAddress(t)
	p := start(t, "demo", "--data", t.TempDir(), "--listen", address, "--drivers", "250", "--riders", "60", "--speed", "10")
	awaitReady(t, p, "http://"+address)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	webtest.XrayRide(ctx, t, "http://"+address, webtest.Desktop)
}

// TestAnExperimentOnThePageOfTheDemo runs races as a student does, in a city
// that is alive.
func TestAnExperimentOnThePageOfTheDemo(t *testing.T) {
	slowtest.Require(t)
	t.Parallel()
	webtest.FindBrowser(t)
	address := freeAddress(t)
	p := start(t, "demo", "--data", t.TempDir(), "--listen", address, "--drivers", "20", "--riders", "5")
	awaitReady(t, p, "http://"+address)

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	webtest.RunExperiment(ctx, t, "http://"+address, "races", webtest.Desktop)
	if !strings.Contains(p.logs.String(), "the lab is at http://"+address+"/lab\n") {
		t.Errorf("the demo does not say where its lab is: %s", p.logs.String())
	}
}

func TestANodeThatServesHasNoLab(t *testing.T) {
	slowtest.Require(t)
	t.Parallel()
	url := "http://" + freeAddress(t)
	node := start(t, "serve", "--listen", strings.TrimPrefix(url, "http://"), "--admin", freeAddress(t), "--dev-tokens",
		"--database", filepath.Join(t.TempDir(), "r.db"))
	awaitReady(t, node, url)
	for _, path := range []string{"/lab", "/lab/", "/lab/races", "/lab/app/main.js", "/lab/api/experiments"} {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, res.StatusCode)
		}
	}
}

func TestAStrangerIsToldWhatToDoNext(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, exitDone, ""},
		{[]string{"fly"}, exitUsage, "unexpected argument fly"},
		{[]string{"serve"}, exitUsage, "--dev-tokens"},
		{[]string{"serve", "--dev-tokens", "--city", "/nowhere.city"}, exitUsage, "/nowhere.city"},
		{[]string{"serve", "--dev-tokens", "--database", "mysql://x"}, exitUsage, "postgres://"},
		{[]string{"serve", "--dev-tokens", "--database", "postgres://127.0.0.1:1/x"}, exitUnreachable, "127.0.0.1"},
		{[]string{"audit", "--database", "/nowhere/ridehail.db"}, exitUsage, "no database: stat /nowhere/ridehail.db"},
		{[]string{"latency", "--server", "http://127.0.0.1:1", "--pairs", "1"}, exitUnreachable, "is the node running?"},
		{[]string{"drivers", "--server", "http://127.0.0.1:1", "--count", "1", "--for", "1s"}, exitUnreachable, "is the node running?"},
	} {
		t.Run(fmt.Sprint(c.args), func(t *testing.T) {
			p := start(t, c.args...)
			if code := p.wait(t); code != c.code || !strings.Contains(p.logs.String(), c.says) {
				t.Errorf("exit %d, want %d; it says: %s", code, c.code, p.logs.String())
			}
		})
	}
}

func TestHelpOfEveryCommandShowsAnExample(t *testing.T) {
	for _, name := range []string{"demo", "serve", "drivers", "riders", "latency", "audit", "migrate", "routing", "payments", "queue", "chaos", "refund", "lab detectors", "lab storm"} {
		p := start(t, append(strings.Fields(name), "--help")...)
		if code := p.wait(t); code != exitDone || !strings.Contains(p.out.String(), "xample") || !strings.Contains(p.out.String(), "ridehail "+name) {
			t.Errorf("%s: exit %d\n%s", name, code, p.out.String())
		}
	}
}
