package detector

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const second = time.Second

var start = time.Unix(1_700_000_000, 0)

// beatSteadily beats from one time to another, as a healthy node does.
func beatSteadily(g *Guard, from, to time.Duration) {
	for at := from; at <= to; at += BeatInterval {
		g.RecordBeat(start.Add(at))
	}
}

// isSilent reports whether a peer last heard at a time counts as silent.
func isSilent(g *Guard, now, heard, grade time.Duration) bool {
	return start.Add(heard).Before(g.SilenceCutoff(start.Add(now), grade))
}

func TestAGuardWithoutBeatsTakesSilenceAtItsWord(t *testing.T) {
	g := new(Guard)
	if isSilent(g, 13*second, 10*second, SuspectAfter) || !isSilent(g, 13*second+1, 10*second, SuspectAfter) {
		t.Error("3 s of silence are not 3 s")
	}
}

func TestWhileWeAreWellSilenceCountsInFull(t *testing.T) {
	g := new(Guard)
	beatSteadily(g, 0, 60*second)

	for _, grade := range []time.Duration{SuspectAfter, OfflineAfter, CommsLostAfter} {
		if isSilent(g, 60*second, 60*second-grade, grade) || !isSilent(g, 60*second, 60*second-grade-1, grade) {
			t.Errorf("%v of silence are not %v", grade, grade)
		}
	}
}

func TestOurOwnPauseMakesNobodySilent(t *testing.T) {
	for _, away := range []time.Duration{5 * second, 10 * second, 15 * second, time.Hour} {
		for _, grade := range []time.Duration{SuspectAfter, OfflineAfter, CommsLostAfter} {
			g := new(Guard)
			beatSteadily(g, 0, 60*second)

			heard, back := 59*second, 60*second+away
			if isSilent(g, back, heard, grade) {
				t.Errorf("away %v: silent for %v before anyone noticed that we were away", away, grade)
			}
			if got := g.RecordBeat(start.Add(back)); got != away {
				t.Errorf("away %v, said %v", away, got)
			}

			beatSteadily(g, back, back+grade)
			if isSilent(g, back+grade-1, heard, grade) {
				t.Errorf("away %v: silent for %v before we had listened so long", away, grade)
			}
			if !isSilent(g, back+grade, heard, grade) {
				t.Errorf("away %v: who was not heard in the %v after was forgiven", away, grade)
			}
		}
	}
}

func TestWhoWasSilentBeforeOurPauseStaysSilent(t *testing.T) {
	g := new(Guard)
	beatSteadily(g, 0, 60*second)
	g.RecordBeat(start.Add(70 * second))
	if !isSilent(g, 70*second, 56*second, SuspectAfter) || isSilent(g, 70*second, 58*second, SuspectAfter) {
		t.Error("the verdicts of before do not hold")
	}
}

func TestPauseUponPause(t *testing.T) {
	g := new(Guard)
	beatSteadily(g, 0, 60*second)
	beatSteadily(g, 65*second, 70*second)
	beatSteadily(g, 75*second, 90*second)

	for _, c := range []struct {
		now, heard, grade time.Duration
		want              bool
	}{
		// After the first pause the node never listened for 10 s without a break.
		{76 * second, 58 * second, OfflineAfter, false},
		// Before it the peer had been silent for 9 s only.
		{76 * second, 51 * second, OfflineAfter, false},
		{76 * second, 49 * second, OfflineAfter, true},
		{84 * second, 58 * second, OfflineAfter, false},
		{86 * second, 58 * second, OfflineAfter, true},
		// Between the pauses the node listened for 5 s.
		{76 * second, 60 * second, SuspectAfter, true},
		{76 * second, 68 * second, SuspectAfter, false},
		{79 * second, 68 * second, SuspectAfter, true},
	} {
		if got := isSilent(g, c.now, c.heard, c.grade); got != c.want {
			t.Errorf("at %v, heard at %v, %v of silence: %v", c.now, c.heard, c.grade, got)
		}
	}
}

func TestShortBreaksAndAClockSetBackAreNoPauses(t *testing.T) {
	g := new(Guard)
	g.RecordBeat(start)

	for _, at := range []time.Duration{LateAfter, -time.Hour, -time.Hour + LateAfter} {
		if away := g.RecordBeat(start.Add(at)); away != 0 {
			t.Errorf("beat at %v: away for %v", at, away)
		}
	}

	if isSilent(g, -time.Hour, 0, SuspectAfter) {
		t.Error("who was heard before the clock was set back is silent")
	}
}

// With any pauses, the guard never finds a peer silent that a plain timeout
// would not, nor one that was heard since the node is back, and its memory is
// bounded.
func TestAnyScheduleOfPauses(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		g, now, back := new(Guard), time.Duration(0), time.Duration(0)
		var cutoffs []time.Duration
		for range 300 {
			step := BeatInterval
			if rng.IntN(20) == 0 {
				step = time.Duration(rng.Int64N(int64(20 * second)))
			}

			now += step
			if g.RecordBeat(start.Add(now)) > 0 {
				back = now
			}

			cutoff := g.SilenceCutoff(start.Add(now), OfflineAfter).Sub(start)
			if cutoff > now-OfflineAfter {
				t.Fatal("finds silence where there was none")
			}
			if now-back < OfflineAfter && cutoff > back {
				t.Fatal("finds silent who was heard since we are back")
			}
			cutoffs = append(cutoffs, cutoff)
		}

		if !slices.IsSorted(cutoffs) {
			t.Fatal("a verdict was taken back without a sign of life")
		}
		if len(g.pauses) > pausesKept {
			t.Fatalf("remembers %d pauses", len(g.pauses))
		}
	}
}
