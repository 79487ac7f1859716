package gateway

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

func (c *town) operatorsPage() string {
	w := httptest.NewRecorder()
	c.g.Admin().ServeHTTP(w, httptest.NewRequest("GET", "/ops", nil))
	return w.Body.String()
}

// A driver whose phone claims to drive and never leaves its coordinates goes on working; the operators are told once.
func TestADriverWithMadeUpPositionsIsShownToTheOperatorsAndNotCutOff(t *testing.T) {
	c := newTown(t, nil)
	p := c.connect(trips.Driver("d"), asProto, nil)
	if page := c.operatorsPage(); strings.Contains(page, "Positions in doubt") {
		t.Fatalf("before anything happened: %s", page)
	}
	for i := range 120 {
		c.pass(time.Second)
		f := fixFrame(market, uint32(i+1), c.now())
		f.GetFix().Speed = 12
		p.send(f)
		p.settled()
	}
	if n := c.fixes("accepted"); n != 120 {
		t.Errorf("%d of 120 fixes were believed", n)
	}
	flags := func(reason string) float64 { return testutil.ToFloat64(c.g.m.suspects.total.WithLabelValues(reason)) }
	for _, reason := range location.FlagNames {
		if got, want := flags(reason), map[bool]float64{true: 1}[reason == "frozen"]; got != want {
			t.Errorf("%s was raised %v times, not %v", reason, got, want)
		}
	}
	page := c.operatorsPage()
	for _, want := range []string{"Positions in doubt", "<b>frozen</b>", "driver d", "6.45000, 3.38000"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page %s", want, page)
		}
	}
}

func TestOperatorsSeeTheNewestSuspectsAndEachOnce(t *testing.T) {
	c := newTown(t, nil)
	s, now := c.g.m.suspects, c.now()
	for i := range suspectsMost + 50 {
		s.note(trips.DriverID(fmt.Sprint("d", i)), location.FlagReplay, now)
	}
	s.note("d60", location.FlagReplay|location.FlagSpeed, now.Add(time.Minute))
	got := c.g.door.suspected()
	if len(got) != suspectsMost {
		t.Fatalf("%d are shown", len(got))
	}
	if a, b := got[0], got[1]; a.Driver != "d60" || a.Reason != "replay" || a.Times != 2 || b.Reason != "speed" || b.Times != 1 {
		t.Errorf("the newest are %+v and %+v", a, b)
	}
	if last := got[suspectsMost-1]; last.Driver != "d51" {
		t.Errorf("the oldest is %+v", last)
	}
}

func TestASuspectsNameCannotRunOnTheOperatorsPage(t *testing.T) {
	c := newTown(t, nil)
	c.g.m.suspects.note(`<script>alert(1)</script>`, location.FlagJump, c.now())
	if page := c.operatorsPage(); strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") {
		t.Errorf("the page is %s", page)
	}
}
