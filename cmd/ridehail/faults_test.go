package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/demo"
	"github.com/ridehail/ridehail/lab/faults"
	"github.com/ridehail/ridehail/xray"
)

// switches are the fault switches of a demo, as the page /xray uses them.
type switches struct {
	t   *testing.T
	url string
}

func (s switches) put(id, body string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPut, s.url+"/"+id, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s", id, body, res.Status)
	}
}

func (s switches) list() []xray.Fault {
	s.t.Helper()
	res, err := http.Get(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Faults []xray.Fault }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		s.t.Fatal(err)
	}
	return answer.Faults
}

// await waits until a switch is on or off, and has a sentence for that.
func (s switches) await(id string, on bool) {
	s.t.Helper()
	var f xray.Fault
	for late := time.Now().Add(time.Minute); time.Now().Before(late); time.Sleep(20 * time.Millisecond) {
		all := s.list()
		f = all[slices.IndexFunc(all, func(f xray.Fault) bool { return f.ID == id })]
		if f.On == on && f.Sentence != "" {
			s.t.Logf("%s: %s", id, f.Sentence)
			return
		}
	}
	s.t.Fatalf("never happened: %s is on %v, with its effect: %+v", id, on, f)
}

// TestADemoSurvivesEachOfItsFaults switches every fault on until its effect is
// measured, and off again. The last is left on.
func TestADemoSurvivesEachOfItsFaults(t *testing.T) {
	slowtest.Require(t)
	t.Parallel()
	address := freeAddress(t)
	p := start(t, "demo", "--json", "--listen", address, "--data", t.TempDir(), "--drivers", "60", "--riders", "60", "--speed", "30")
	awaitReady(t, p, "http://"+address)
	desk := switches{t, "http://" + address + faults.Path}

	all := desk.list()
	if len(all) != 7 {
		t.Errorf("%d switches, want 7", len(all))
	}
	for _, f := range all {
		desk.put(f.ID, `{"on":true,"page":"a test"}`)
		if f.ID != "disconnect" { // it ends by itself
			desk.await(f.ID, true)
			desk.put(f.ID, `{"on":false}`)
		}
		desk.await(f.ID, false)
	}

	desk.put("redis_away", `{"on":true,"page":"a test"}`)
	desk.await("redis_away", true)
	p.stop()
	code := p.wait(t)
	var s demo.Summary
	if err := json.Unmarshal([]byte(p.out.String()), &s); err != nil || code != exitDone || s.Violations != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, p.out.String())
	}
	if s.Connections.Lost == 0 || s.Trips.Completed == 0 {
		t.Errorf("nothing happened: %+v", s)
	}
}
