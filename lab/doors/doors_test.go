package doors

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/finding/findingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seen are the figures of a run at the defaults.
func seen() []Door {
	return []Door{
		{Name: "poll every 2 s", Every: 2, Published: 96, Shown: 48, Requests: 48, AgeMean: 1.5, AgeWorst: 2.96, BytesDown: 740, BytesUp: 620},
		{Name: "poll every 1 s", Every: 1, Published: 96, Shown: 96, Requests: 96, AgeMean: 1.01, AgeWorst: 1.99, BytesDown: 740, BytesUp: 620},
		{Name: "poll every 0.2 s", Every: .2, Published: 96, Shown: 96, Requests: 477, AgeMean: .58, AgeWorst: 1.2, BytesDown: 2630, BytesUp: 620},
		{Name: "long polling", Published: 96, Shown: 96, Requests: 96, AgeMean: .5, AgeWorst: 1.02, BytesDown: 745, BytesUp: 620},
		{Name: "SSE", Published: 96, Shown: 96, AgeMean: .5, AgeWorst: 1.02, BytesDown: 233, BytesUp: 620},
		{Name: "WebSocket, JSON", Published: 96, Shown: 96, AgeMean: .5, AgeWorst: 1.02, BytesDown: 238, BytesUp: 147},
		{Name: "WebSocket, protobuf", Published: 96, Shown: 96, AgeMean: .5, AgeWorst: 1.02, BytesDown: 81, BytesUp: 54},
	}
}

// TestAnotherDoorInPlaceOfTheOneThatIsClaimedIsFound puts what another door did
// in the place of the one that a claim is about.
func TestAnotherDoorInPlaceOfTheOneThatIsClaimedIsFound(t *testing.T) {
	findingtest.CheckFailing(t, judgeDoors(seen()))
	for name, c := range map[string]struct {
		replace func(all []Door)
		failing int
	}{
		"polls that bring all positions since the last": {func(all []Door) { all[slowPoll].Shown = all[slowPoll].Published }, 0},
		"a poll every 0.2 s":                            {func(all []Door) { all[slowPoll].AgeMean = all[quickPoll].AgeMean }, 1},
		"long polling, with headers for each answer":    {func(all []Door) { all[stream] = all[longPoll] }, 2},
		"frames on a socket, said to be POSTs":          {func(all []Door) { all[slowPoll].BytesUp = all[socketJSON].BytesUp }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			all := seen()
			c.replace(all)
			findingtest.CheckFailing(t, judgeDoors(all), c.failing)
		})
	}
}

func TestTheOptionThatCameTrueFollowsFromTheFigures(t *testing.T) {
	for want, change := range map[int]func(all []Door){
		0: func(all []Door) { all[stream].BytesDown = 3 * all[socketJSON].BytesDown },
		1: func([]Door) {},
		2: func(all []Door) { all[stream].AgeMean = 4 },
		3: func(all []Door) { all[stream].BytesUp, all[slowPoll].AgeMean, all[slowPoll].Shown = 60, .6, 96 },
	} {
		all := seen()
		change(all)
		if got := seenDoors(all); got != want {
			t.Errorf("option %d, want %d", got, want)
		}
	}
}

// TestThePictureAgesEvenly checks the age against a polling rider whose answers
// are 1 s old and come every 2 s.
func TestThePictureAgesEvenly(t *testing.T) {
	var s screen
	begun := time.Unix(1000, 0)
	s.beginAfter(5)
	s.showNewest(5, begun, begun) // belongs to no measurement
	for i := range 3 {
		at := begun.Add(time.Duration(2*i) * time.Second)
		s.showNewest(uint32(6+i), at.Add(-time.Second), at)
		s.showNewest(uint32(6+i), at, at) // a repeat changes nothing
		s.notePoll(at)
	}

	a := s.ageUntil(begun.Add(time.Hour))
	if a.over != 4 || a.total/a.over != 2 || a.worst != 3 {
		t.Errorf("%+v, want 4 s, on average 2 s old, at most 3 s", a)
	}
	want := []plot.Point{{X: 0, Y: 1}, {X: 2, Y: 3}, {X: 2, Y: 1}, {X: 4, Y: 3}, {X: 4, Y: 1}, {X: 5, Y: 2}}
	if got := s.agePoints(begun, begun.Add(5*time.Second)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestACityWatchedThroughAllDoors(t *testing.T) {
	slowtest.Require(t)
	run := findingtest.NewRun(t, Doors(), map[string]string{"drivers": "3", "seconds": "3", "fix": "500", "show": "card"})
	f := findingtest.CheckShown(t, Doors(), run)
	findingtest.CheckFailing(t, f.Claims)

	got := f.Figures.(Figures)
	for _, d := range got.Doors {
		if d.Published != 18 || d.Shown == 0 || d.AgeMean <= 0 || d.BytesDown <= 0 || d.BytesUp <= 0 {
			t.Errorf("%+v", d)
		}
	}
	o := got.Others
	if o.Offers < 3 || o.Events < 6 || o.EventGaps != 0 || o.Jobs != 3 || o.JobsDone != 3 || o.Routes != 3 || o.RoutesByRoad != 3 {
		t.Errorf("%+v", o)
	}
}

// The node's server waits two seconds for a connection that was never used, so
// findingtest.CheckStops would allow too little.
func TestAnInterruptedRunLeavesNothingBehind(t *testing.T) {
	slowtest.Require(t)
	run := findingtest.NewRun(t, Doors(), map[string]string{"drivers": "4", "seconds": "20"})
	ctx, interrupt := context.WithCancel(t.Context())
	var interrupted time.Time
	run.OnPoint = func(string, plot.Point) {
		if interrupted.IsZero() {
			interrupted = time.Now()
		}
		interrupt()
	}

	if _, err := Doors().Run(ctx, run); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if took := time.Since(interrupted); took > 5*time.Second {
		t.Errorf("it took %v to end", took)
	}
}

const decisionsPage = "../../docs/decisions.md"

// TestTheDocumentHasTheRowsOfTheCard compares names and reasons: figures differ
// between runs.
func TestTheDocumentHasTheRowsOfTheCard(t *testing.T) {
	text, err := os.ReadFile(decisionsPage)
	if err != nil {
		t.Fatal(err)
	}

	var told []string
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|"); len(cells) == len(cardColumns) {
			told = append(told, strings.TrimSpace(cells[0])+": "+strings.TrimSpace(cells[1])+", unless "+strings.TrimSpace(cells[3]))
		}
	}
	want := []string{cardColumns[0] + ": " + cardColumns[1] + ", unless " + cardColumns[3], "---: ---, unless ---"}
	for _, d := range newCard(seen(), Others{}) {
		want = append(want, d.What+": "+d.Mechanism+", unless "+d.ChangesIf)
	}
	if !slices.Equal(told, want) {
		t.Errorf("docs/decisions.md has\n%s\nwant\n%s\nWrite it with the command that it names.", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}
