package accrual

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

var start = time.Unix(1_700_000_000, 0)

// regular hears n beats a second apart and returns the last one's time.
func regular(d Detector, n int, jitter time.Duration) time.Time {
	rng := rand.New(rand.NewPCG(1, 2))
	at := start
	for i := range n {
		at = start.Add(time.Duration(i)*time.Second + time.Duration(rng.NormFloat64()*float64(jitter)))
		d.RecordHeartbeat(at)
	}
	return at
}

func all() map[string]func() Detector {
	return map[string]func() Detector{
		"fixed": func() Detector { return new(Fixed) },
		"phi":   func() Detector { return NewPhi(PhiOptions{}) },
		"akka":  func() Detector { return NewPhi(AkkaOptions(3 * time.Second)) },
	}
}

func TestWhoWasNeverHeardIsNotSuspected(t *testing.T) {
	for name, make := range all() {
		if d := make(); d.Suspicion(start) != 0 || !d.ReachesAt(1).IsZero() {
			t.Errorf("%s suspects a stranger", name)
		}
	}
}

func TestSuspicionGrowsWithSilenceAndEndsWithTheNextSignOfLife(t *testing.T) {
	for name, make := range all() {
		d := make()
		last := regular(d, 100, 50*time.Millisecond)
		before := -1.0
		for silent := range 60 {
			s := d.Suspicion(last.Add(time.Duration(silent) * time.Second))
			if s < before || math.IsInf(s, 0) || math.IsNaN(s) {
				t.Fatalf("%s: after %d s of silence the suspicion is %v, before it was %v", name, silent, s, before)
			}
			before = s
		}

		back := last.Add(time.Minute)
		d.RecordHeartbeat(back)
		if s := d.Suspicion(back); s > before/10 {
			t.Errorf("%s: suspicion %v with the sign of life, %v just before", name, s, before)
		}
	}
}

func TestReachesAtForetellsWhenTheSuspicionComes(t *testing.T) {
	for name, make := range all() {
		d := make()
		last := regular(d, 300, 80*time.Millisecond)
		for _, level := range []float64{0.5, 1, 3, 8, 16, 40, 400} {
			at := d.ReachesAt(level)
			if at.Before(last) {
				t.Errorf("%s reaches %v %v before the last sign of life", name, level, last.Sub(at))
			}
			if got := d.Suspicion(at); math.Abs(got-level) > 1e-4*level {
				t.Errorf("%s reaches %v at a moment when the suspicion is %v", name, level, got)
			}
		}
	}
}

func TestPhiIsTheLogarithmOfBeingWrong(t *testing.T) {
	p := NewPhi(PhiOptions{})
	last := regular(p, 2000, 70*time.Millisecond)

	mean, deviation := p.estimateInterval()
	if math.Abs(mean-1) > 0.01 || math.Abs(deviation-0.1) > 0.01 {
		// Both ends of an interval have a deviation of 70 ms.
		t.Fatalf("mean %v, deviation %v", mean, deviation)
	}

	for _, y := range []float64{0, 1, 2, 3, 4} {
		at := last.Add(time.Duration((mean + y*deviation) * float64(time.Second)))
		want := -math.Log10(math.Erfc(y/math.Sqrt2) / 2)
		if got := p.Suspicion(at); math.Abs(got-want) > 0.1*want {
			t.Errorf("%v deviations late: phi %v, the normal distribution says %v", y, got, want)
		}
	}
}

func TestPhiIsPatientWithUnsteadyPeers(t *testing.T) {
	steady, unsteady := NewPhi(PhiOptions{}), NewPhi(PhiOptions{})
	a := regular(steady, 500, 10*time.Millisecond)
	b := regular(unsteady, 500, 200*time.Millisecond)
	if steady.ReachesAt(8).Sub(a) >= unsteady.ReachesAt(8).Sub(b) {
		t.Error("the steady peer is waited for as long as the unsteady one")
	}
}

func TestTheWindowForgets(t *testing.T) {
	p := NewPhi(PhiOptions{Window: 50})
	at := start
	for range 200 {
		at = at.Add(10 * time.Second)
		p.RecordHeartbeat(at)
	}

	for range 51 {
		at = at.Add(time.Second)
		p.RecordHeartbeat(at)
	}

	if mean, deviation := p.estimateInterval(); mean != 1 || deviation != 0.001 {
		t.Errorf("after a window of 1 s intervals: mean %v, deviation %v", mean, deviation)
	}
	if len(p.ring) != 50 || cap(p.ring) != 50 {
		t.Errorf("the window holds %d of %d", len(p.ring), cap(p.ring))
	}
}

func TestAkkasVariantForgivesAPauseAndLearnsNothingFromOutages(t *testing.T) {
	paper, akka := NewPhi(PhiOptions{MinDeviation: 100 * time.Millisecond}), NewPhi(AkkaOptions(3*time.Second))
	last := regular(paper, 100, 0)
	regular(akka, 100, 0)
	if more := akka.ReachesAt(8).Sub(last) - paper.ReachesAt(8).Sub(last); more.Round(time.Millisecond) != 3*time.Second {
		t.Errorf("waits %v longer", more)
	}
	before := akka.ReachesAt(8).Sub(last)

	for _, d := range []*Phi{paper, akka} {
		d.RecordHeartbeat(last.Add(50 * time.Second))
		d.RecordHeartbeat(last.Add(51 * time.Second))
	}

	last = last.Add(51 * time.Second)
	if after := akka.ReachesAt(8).Sub(last); (after - before).Abs() > 20*time.Millisecond {
		t.Errorf("an outage changed the patience from %v to %v", before, after)
	}
	if paper.ReachesAt(8).Sub(last) < 2*before {
		t.Error("the paper's detector did not learn the outage")
	}
}

// The window's sums must hold for the longest intervals there may be.
func TestTheLongestIntervalsDoNotOverflow(t *testing.T) {
	p := NewPhi(PhiOptions{Window: 1 << 30})
	at := start
	for range maxWindow + 10 {
		at = at.Add(24 * time.Hour)
		p.RecordHeartbeat(at)
	}

	if mean, deviation := p.estimateInterval(); mean != maxInterval.Seconds() || deviation != 0.001 {
		t.Errorf("mean %v, deviation %v", mean, deviation)
	}
}

func TestAHeartbeatAllocatesNothing(t *testing.T) {
	for name, make := range all() {
		d, at := make(), start
		if n := testing.AllocsPerRun(1000, func() {
			at = at.Add(time.Second)
			d.RecordHeartbeat(at)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkRecordHeartbeat shows what a heartbeat costs, and how much dearer
// phi is than a fixed timeout.
func BenchmarkRecordHeartbeat(b *testing.B) {
	var fixed float64
	for _, name := range []string{"fixed", "phi", "akka"} {
		b.Run(name, func(b *testing.B) {
			d, at := all()[name](), start
			for b.Loop() {
				at = at.Add(time.Second)
				d.RecordHeartbeat(at)
			}

			each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			if name == "fixed" {
				fixed = each
			}

			b.ReportMetric(each/fixed, "x_fixed")
		})
	}
}
