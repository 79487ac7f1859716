package httpapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

func TestOperatorsSeeTheNewestSuspectsAndEachOnce(t *testing.T) {
	r := newTestAPI(t, nil)
	s, now := r.api.cfg.Suspects, r.now()
	for i := range suspectsMost + 50 {
		s.Note(trips.DriverID(fmt.Sprint("d", i)), location.FlagReplay, now)
	}
	s.Note("d60", location.FlagReplay|location.FlagSpeed, now.Add(time.Minute))

	got := r.api.listSuspects()
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
	r := newTestAPI(t, nil)
	r.api.cfg.Suspects.Note(`<script>alert(1)</script>`, location.FlagJump, r.now())
	if page := r.askAdmin("GET", "/ops").Body.String(); strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") {
		t.Errorf("the page is %s", page)
	}
}
