package detectors

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"github.com/ridehail/ridehail/lab/finding"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/detector"
)

func detectors(t *testing.T, hours int, seed uint64) finding.OldFinding {
	t.Helper()
	f, err := Run(t.Context(), Config{Hours: hours, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// everything a finding can be printed as.
func everything(t *testing.T, f finding.OldFinding) string {
	t.Helper()
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return f.Text() + f.SVG() + string(data)
}

func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	one := everything(t, detectors(t, 3, 7))
	if one != everything(t, detectors(t, 3, 7)) {
		t.Error("two runs with one seed differ")
	}
	if one == everything(t, detectors(t, 3, 8)) {
		t.Error("two seeds give the same")
	}
}

func TestWaitingLongerFindsLaterAndErrsLess(t *testing.T) {
	points := detectors(t, 6, 1).Figures.(Figures).Points
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
	simulateShift(newRadio(link{stalls: 1e-5, stallMedian: 1}, 1, 2), shiftLength, field)

	for _, e := range field {
		for _, s := range e.settings {
			mean := s.tally.mean()
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
	for _, l := range modelLinks {
		r := newRadio(l, 1, 1)
		last, longest := time.Duration(0), time.Duration(0)
		for at := time.Duration(0); at < 10*time.Hour; at += heartbeatInterval {
			arrived := r.send(at)
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

func TestPhiIsComparedWithTheTimeoutThatIsAsFast(t *testing.T) {
	points := []DetectorPoint{
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

func TestTheSentenceFollowsTheFigures(t *testing.T) {
	say := func(good, bad, mixed float64) string {
		return formatVerdict([]DetectorPoint{{Link: "good link", Ratio: good}, {Link: "bad link", Ratio: bad}, {Link: mixedFleet, Ratio: mixed}})
	}
	for want, got := range map[string]string{
		"alike it saves nothing, because":                say(1, 1, 1.2),
		"for good and bad links it saves up to 30 %.":    say(1, 1, 0.7),
		"where all links are alike it saves up to 50 %,": say(1, 0.5, 1),
		"0.99 to 0.99 times (bad link)":                  say(1, 0.99, 1),
		"run more hours":                                 say(1, 0, 1),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}

func TestTheServicesOwnSettingsAreInTheFinding(t *testing.T) {
	f := detectors(t, 2, 1)
	text, picture := f.Text(), f.SVG()
	for _, want := range []string{"suspect", "offline", "comms_lost", f.Says, f.Question} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q", want)
		}
	}

	if !strings.Contains(picture, ">suspect<") {
		t.Error("the picture does not mark what the service does")
	}

	decoder := xml.NewDecoder(strings.NewReader(picture))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnExperimentCanBeStoppedAndRefusesNonsense(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Run(ctx, Config{Hours: 1e6}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if _, err := Run(t.Context(), Config{}); err == nil {
		t.Error("runs for no hours")
	}
}

// The guard and the grades are what the service uses; the experiment must run
// the same ones.
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
