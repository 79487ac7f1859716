package detectors

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/finding/findingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newRun(t *testing.T, seed uint64, turned map[string]string) *finding.Run {
	run := findingtest.NewRun(t, Detectors(), turned)
	run.Seed = seed
	return run
}

// raceFor returns the points of a short run.
func raceFor(t *testing.T, seed uint64, turned map[string]string) []detectorPoint {
	t.Helper()
	result, err := runDetectors(t.Context(), newRun(t, seed, turned))
	if err != nil {
		t.Fatal(err)
	}
	return result.Figures.(figures).Points
}

// hundredHours are the points of one run, which many tests read.
var hundredHours = sync.OnceValues(func() ([]detectorPoint, error) {
	values, err := Detectors().Check(map[string]string{"hours": "100"})
	if err != nil {
		return nil, err
	}
	result, err := runDetectors(context.Background(), &finding.Run{Values: values, Seed: 1})
	if err != nil {
		return nil, err
	}
	return result.Figures.(figures).Points, nil
})

func sharedPoints(t *testing.T) []detectorPoint {
	t.Helper()
	points, err := hundredHours()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(points)
}

func TestTheSameSeedGivesTheSameFigures(t *testing.T) {
	written := func(seed uint64) string {
		data, err := json.Marshal(raceFor(t, seed, map[string]string{"hours": "50"}))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	one := written(7)
	if one != written(7) {
		t.Error("two runs with one seed differ")
	}
	if one == written(8) {
		t.Error("two seeds give the same")
	}
}

func TestWaitingLongerFindsLaterAndErrsLess(t *testing.T) {
	points := sharedPoints(t)
	for i := 1; i < len(points); i++ {
		p, q := points[i-1], points[i]
		if p.Link != q.Link || p.Detector != q.Detector {
			continue
		}
		if p.Mean >= q.Mean || p.P99 > q.P99 || p.False < q.False {
			t.Errorf("%+v, and then %+v", p, q)
		}
	}
}

// A perfect link leaves only what the settings themselves say.
func TestOnAPerfectLinkATimeoutTakesItsTimeAndNeverErrs(t *testing.T) {
	field := newEntrants()
	simulateShift(newRadio(link{stalls: 1e-5, stallMedian: 1}, 1, 2), shiftHours*time.Hour, field)

	for _, e := range field {
		for _, s := range e.settings {
			mean := s.tally.meanSeconds()
			switch {
			case s.tally.deaths < 1000:
				t.Errorf("%s %s: asked for %d deaths only", e.name, s.name, s.tally.deaths)
			case s.tally.wrong != 0:
				t.Errorf("%s %s: wrong %d times", e.name, s.name, s.tally.wrong)
			case e.name == fixedTimeout && math.Abs(mean-(s.level-0.5)) > 0.05:
				// On average half a beat had passed before the death.
				t.Errorf("%s %s: found after %.2f s on average", e.name, s.name, mean)
			case e.name == fixedTimeout && math.Abs(s.tally.p99()-s.level) > 0.15:
				t.Errorf("%s %s: found within %.1f s in 99 of 100", e.name, s.name, s.tally.p99())
			}
		}
	}
}

func TestBeatsArriveInOrderAndAStallHoldsThemUp(t *testing.T) {
	for _, l := range modelLinks(40) {
		r := newRadio(l, 1, 1)
		last, longest := time.Duration(0), time.Duration(0)
		for at := time.Duration(0); at < 10*time.Hour; at += heartbeatInterval {
			arrived := r.sendBeat(at)
			if arrived < last || arrived < at+l.delay {
				t.Fatalf("%s: the beat of %v arrives at %v, the one before at %v", l.name, at, arrived, last)
			}
			longest, last = max(longest, arrived-last), arrived
		}

		if longest < 2*l.stallMedian || longest > time.Hour {
			t.Errorf("%s: the longest silence in ten hours lasts %v", l.name, longest)
		}
	}
}

// The law is a lower bound: a silence lasts at least as long as its stall.
func TestNoTimeoutErrsMoreSeldomThanTheLinkStalls(t *testing.T) {
	points := sharedPoints(t)
	for _, l := range modelLinks(40) {
		for _, p := range pointsOf(points, l.name, fixedTimeout) {
			if law := 100 * l.stallsLongerThan(p.level); float64(p.False) < law-4*math.Sqrt(law) {
				t.Errorf("%s, %s: %d false alarms, by the law %.1f", l.name, p.Setting, p.False, law)
			}
		}
	}
}

func TestPhiIsComparedWithTheTimeoutThatIsAsFast(t *testing.T) {
	points := []detectorPoint{
		{Link: "l", Detector: fixedTimeout, Mean: 2, PerHour: 1, False: 1000},
		{Link: "l", Detector: fixedTimeout, Mean: 4, PerHour: 0.01, False: 100},
		{Link: "l", Detector: fixedTimeout, Mean: 6, PerHour: 0.001, False: 1},
		{Link: "other", Detector: fixedTimeout, Mean: 3, PerHour: 9, False: 1000},
		{Link: "l", Detector: phiAkka, Mean: 3, PerHour: 0.2, False: 100},
		{Link: "l", Detector: phiAkka, Mean: 3, PerHour: 0.2, False: 1},
		{Link: "l", Detector: phiAkka, Mean: 5, PerHour: 0.2, False: 100},
	}

	compareWithTimeouts(points)
	var got []float64
	for _, p := range points {
		got = append(got, p.Ratio)
	}
	if want := []float64{0, 0, 0, 0, 2, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("ratios %v, want %v", got, want)
	}
}

// Each broken world is a run's own figures with those of one link or detector
// in another's place.
func TestEachClaimCanFail(t *testing.T) {
	values := newRun(t, 1, nil).Values
	points := sharedPoints(t)
	findingtest.CheckFailing(t, judgeDetectors(values, points))

	for name, broken := range map[string]struct {
		change func(*detectorPoint)
		fails  int
	}{
		"a bad link that is as good beyond 10 s": {func(p *detectorPoint) {
			if p.Link == badLink && p.Detector == fixedTimeout && p.level > 2*detector.SuspectAfter.Seconds() && p.level != 10 {
				p.PerHour = 0.01
			}
		}, 0},
		"a bad link that forgives sooner": {func(p *detectorPoint) {
			if p.Link == badLink && p.level == detector.OfflineAfter.Seconds() && p.Detector == fixedTimeout {
				p.False = 1
			}
		}, 1},
		"phi that foresees stalls": {func(p *detectorPoint) {
			if p.Link == goodLink {
				p.Ratio /= 2
			}
		}, 2},
		"phi with one patience for all": {func(p *detectorPoint) {
			if p.Link == mixedFleet && p.Ratio > 0 {
				p.Ratio = 1
			}
		}, 3},
	} {
		changed := slices.Clone(points)
		for i := range changed {
			broken.change(&changed[i])
		}
		t.Run(name, func(t *testing.T) { findingtest.CheckFailing(t, judgeDetectors(values, changed), broken.fails) })
	}
}

func TestTheOptionFollowsTheTimeouts(t *testing.T) {
	fixed := func(link string, level, perHour float64) detectorPoint {
		return detectorPoint{Link: link, Detector: fixedTimeout, level: level, PerHour: perHour}
	}
	for bad, want := range map[float64]int{5: 0, 10: 1, 22: 2} {
		if got := optionSeen([]detectorPoint{fixed(goodLink, 5, 0.2), fixed(badLink, bad, 0.1)}, 0.2); got != want {
			t.Errorf("5 s and %g s: option %d, want %d", bad, got, want)
		}
	}
	if got := optionSeen([]detectorPoint{fixed(goodLink, 5, 0.2), fixed(badLink, 30, 0.3)}, 0.2); got != 3 {
		t.Errorf("never: option %d", got)
	}
}

func TestTheServicesOwnSettingsAreInTheFinding(t *testing.T) {
	f := findingtest.CheckShown(t, Detectors(), newRun(t, 1, map[string]string{"hours": "50"}))
	text, picture := f.Text(false), f.SVG()
	for _, want := range []string{"suspect", "offline", "comms_lost", f.Question} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q", want)
		}
	}
	if !strings.Contains(picture, ">suspect<") {
		t.Error("the picture does not mark what the service does")
	}
}

func TestTheExperimentStopsWithItsContext(t *testing.T) {
	findingtest.CheckStops(t, Detectors(), newRun(t, 1, map[string]string{"hours": "5000"}))
}

// The experiment must mark the grades that the service uses.
func TestTheGradesAreAmongTheTimeouts(t *testing.T) {
	grades := map[float64]bool{}
	for _, s := range newEntrants()[0].settings {
		grades[s.level] = s.app != ""
	}

	for _, g := range []time.Duration{detector.SuspectAfter, detector.OfflineAfter, detector.CommsLostAfter} {
		if !grades[g.Seconds()] {
			t.Errorf("%v is not marked as the service's own", g)
		}
	}
}
