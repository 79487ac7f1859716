package accrual

import (
	"cmp"
	"math"
	"time"
)

// PhiOptions are the settings of a Phi. The zero value is the detector of the
// paper.
type PhiOptions struct {
	// intervals remembered, 4 bytes each [1,000, as in the paper]
	Window int
	Expect time.Duration // the interval assumed until some are known [1 s]
	// a link that was never late may still be a little late [1 ms]
	MinDeviation time.Duration
	// silence forgiven on top of the usual interval [none]
	Pause time.Duration
	// intervals that reached this suspicion are not remembered [all are]
	Learn float64
}

// AkkaOptions is the variant of the AkkaOptions toolkit with the defaults of its cluster
// module (threshold 8, window 1,000, deviation of at least 100 ms), with a
// pause to forgive (3 s there). It does not learn from an outage, so that a
// long one does not make the detector patient with the next.
func AkkaOptions(pause time.Duration) PhiOptions {
	return PhiOptions{MinDeviation: 100 * time.Millisecond, Pause: pause, Learn: AkkaThreshold}
}

// AkkaThreshold is the suspicion at which Akka's cluster gives a member up,
// unless it is told otherwise.
const AkkaThreshold = 8

// Phi is the phi-accrual detector (Hayashibara, Défago, Yared, Katayama: "The φ
// accrual failure detector", SRDS 2004). It takes the intervals between signs
// of life for normally distributed, with the mean and deviation of a bounded
// window of them, and its suspicion is -log10 of the probability that the next
// one comes even later than now: at 1 a verdict would be wrong once in ten
// times, at 8 once in a hundred million times, if intervals were so
// distributed.
type Phi struct {
	opts  PhiOptions
	heard time.Time

	// The window is a ring of microseconds beside its running sums. Whole
	// numbers, so that nothing drifts.
	ring    []uint32
	next    int
	count   int
	sum     int64
	squares int64
}

// maxInterval keeps the sum of squares within 64 bits for windows up to 2,500
// intervals.
const maxInterval = time.Minute

// maxWindow is the longest window.
const maxWindow = 2500

// NewPhi makes a detector that has heard nothing.
func NewPhi(opts PhiOptions) *Phi {
	opts.Window = min(max(2, cmp.Or(opts.Window, 1000)), maxWindow)
	opts.Expect = cmp.Or(opts.Expect, time.Second)
	opts.MinDeviation = cmp.Or(opts.MinDeviation, time.Millisecond)
	p := &Phi{opts: opts, ring: make([]uint32, opts.Window)}
	p.addInterval(opts.Expect - opts.Expect/4)
	p.addInterval(opts.Expect + opts.Expect/4)
	return p
}

// RecordHeartbeat notes a sign of life, and learns from how long it took to come.
func (p *Phi) RecordHeartbeat(at time.Time) {
	if !p.heard.IsZero() && (p.opts.Learn == 0 || p.Suspicion(at) < p.opts.Learn) {
		p.addInterval(at.Sub(p.heard))
	}
	p.heard = at
}

// addInterval puts an interval in the place of the oldest.
func (p *Phi) addInterval(interval time.Duration) {
	us := min(max(0, interval), maxInterval).Microseconds()

	if p.count == len(p.ring) {
		old := int64(p.ring[p.next])
		p.sum -= old
		p.squares -= old * old
	} else {
		p.count++
	}

	p.ring[p.next] = uint32(us)
	p.sum += us
	p.squares += us * us
	if p.next++; p.next == len(p.ring) {
		p.next = 0
	}
}

// estimateInterval returns the mean of the intervals, with the pause to forgive, and their
// deviation, in seconds.
func (p *Phi) estimateInterval() (mean, deviation float64) {
	n := float64(p.count)
	mean = float64(p.sum) / n
	variance := max(0, float64(p.squares)/n-mean*mean)
	return mean/1e6 + p.opts.Pause.Seconds(), max(math.Sqrt(variance)/1e6, p.opts.MinDeviation.Seconds())
}

// The tail of the normal distribution is taken as 1/(1+e^(y(a+by²))), the
// logistic approximation that Akka uses too: at most 0.00014 off, though far
// out phi comes sooner than by the normal law (8 at 5.1 deviations instead of
// 5.6). It can be turned round, which gives ReachesAt, and its logarithm never
// overflows.
const (
	tailA = 1.5976
	tailB = 0.070566
)

// Suspicion is phi.
func (p *Phi) Suspicion(now time.Time) float64 {
	if p.heard.IsZero() {
		return 0
	}
	mean, deviation := p.estimateInterval()
	y := (now.Sub(p.heard).Seconds() - mean) / deviation

	odds := y * (tailA + tailB*y*y) // natural logarithm of
	if odds > 700 {
		return odds / math.Ln10
	}
	return math.Log1p(math.Exp(odds)) / math.Ln10
}

// ReachesAt says when phi will reach a level, not before the last sign of life.
func (p *Phi) ReachesAt(level float64) time.Time {
	if p.heard.IsZero() || level <= 0 {
		return p.heard
	}
	odds := level * math.Ln10
	if odds < 700 {
		odds = math.Log(math.Expm1(odds))
	}

	// The one real root of by³ + ay = odds.
	y := 2 * math.Sqrt(tailA/(3*tailB)) * math.Sinh(math.Asinh(1.5*odds/tailA*math.Sqrt(3*tailB/tailA))/3)
	mean, deviation := p.estimateInterval()
	return p.heard.Add(time.Duration(max(0, mean+y*deviation) * float64(time.Second)))
}
