package accrual

import (
	"cmp"
	"math"
	"time"
)

// PhiOptions are the settings of a Phi. The zero value is the detector of the
// paper.
type PhiOptions struct {
	// Window is how many intervals are remembered, 4 bytes each. The default
	// is the paper's 1,000.
	Window int
	// Expect is the interval assumed until some are known. The default is 1 s.
	Expect time.Duration
	// MinDeviation is the least deviation assumed, so that a link that was
	// never late may still be a little late. The default is 1 ms.
	MinDeviation time.Duration
	// Pause is the silence forgiven on top of the usual interval.
	Pause time.Duration
	// Learn, unless it is 0, is the suspicion from which on an interval is not
	// remembered.
	Learn float64
}

// AkkaOptions returns the settings of the Akka toolkit's cluster module: window
// 1,000, deviation of at least 100 ms, to be used with AkkaThreshold. Akka's
// pause is 3 s. The variant does not learn from an outage, so that a long one
// does not make the detector patient with the next.
func AkkaOptions(pause time.Duration) PhiOptions {
	return PhiOptions{MinDeviation: 100 * time.Millisecond, Pause: pause, Learn: AkkaThreshold}
}

// AkkaThreshold is the suspicion at which Akka's cluster gives a member up by
// default.
const AkkaThreshold = 8

// Phi is the phi-accrual detector (Hayashibara, Défago, Yared, Katayama: "The φ
// accrual failure detector", SRDS 2004). It assumes that intervals between
// signs of life are normally distributed, with the mean and deviation of a
// bounded window of them. Its suspicion is -log10 of the probability that the
// next one comes even later than now. If the assumption held, a verdict at 1
// would be wrong once in ten times, and a verdict at 8 once in a hundred
// million times.
type Phi struct {
	opts  PhiOptions
	heard time.Time

	// The window is a ring of microseconds beside its running sums, which are
	// integers so that they do not drift.
	ring    []uint32
	next    int
	count   int
	sum     int64
	squares int64
}

// The limits keep the sum of squares within 64 bits.
const (
	maxInterval = time.Minute
	maxWindow   = 2500 // intervals
)

// NewPhi returns a detector without a heartbeat. Windows are limited to 2 to
// 2,500 intervals.
func NewPhi(opts PhiOptions) *Phi {
	opts.Window = min(max(2, cmp.Or(opts.Window, 1000)), maxWindow)
	opts.Expect = cmp.Or(opts.Expect, time.Second)
	opts.MinDeviation = cmp.Or(opts.MinDeviation, time.Millisecond)
	p := &Phi{opts: opts, ring: make([]uint32, opts.Window)}
	p.addInterval(opts.Expect - opts.Expect/4)
	p.addInterval(opts.Expect + opts.Expect/4)
	return p
}

// RecordHeartbeat records a sign of life, and learns how long it took to come.
// It allocates nothing.
func (p *Phi) RecordHeartbeat(at time.Time) {
	if !p.heard.IsZero() && (p.opts.Learn == 0 || p.Suspicion(at) < p.opts.Learn) {
		p.addInterval(at.Sub(p.heard))
	}
	p.heard = at
}

// addInterval overwrites the oldest interval when the window is full.
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

// estimateInterval returns the mean of the intervals, plus the pause, and their
// deviation, in seconds.
func (p *Phi) estimateInterval() (mean, deviation float64) {
	n := float64(p.count)
	mean = float64(p.sum) / n
	variance := max(0, float64(p.squares)/n-mean*mean)
	return mean/1e6 + p.opts.Pause.Seconds(), max(math.Sqrt(variance)/1e6, p.opts.MinDeviation.Seconds())
}

// The tail of the normal distribution is approximated by the logistic function
// 1/(1+e^(y(a+by²))), as in Akka. The error is at most 0.00014, but far out phi
// comes sooner than by the normal law: 8 at 5.1 deviations instead of 5.6. The
// function can be inverted, which gives ReachesAt, and its logarithm never
// overflows.
const (
	tailA = 1.5976
	tailB = 0.070566
)

// Suspicion returns phi.
func (p *Phi) Suspicion(now time.Time) float64 {
	if p.heard.IsZero() {
		return 0
	}
	mean, deviation := p.estimateInterval()
	y := (now.Sub(p.heard).Seconds() - mean) / deviation

	logOdds := y * (tailA + tailB*y*y)
	switch {
	case logOdds > 700:
		return logOdds / math.Ln10
	case logOdds < -50: // below 1e-21, and most heartbeats are this early
		return 0
	}
	return math.Log1p(math.Exp(logOdds)) / math.Ln10
}

// ReachesAt returns when phi will reach a level, but never a time before the
// last heartbeat.
func (p *Phi) ReachesAt(level float64) time.Time {
	if p.heard.IsZero() || level <= 0 {
		return p.heard
	}
	logOdds := level * math.Ln10
	if logOdds < 700 {
		logOdds = math.Log(math.Expm1(logOdds))
	}

	// y is the one real root of by³ + ay = logOdds.
	y := 2 * math.Sqrt(tailA/(3*tailB)) * math.Sinh(math.Asinh(1.5*logOdds/tailA*math.Sqrt(3*tailB/tailA))/3)
	mean, deviation := p.estimateInterval()
	return p.heard.Add(time.Duration(max(0, mean+y*deviation) * float64(time.Second)))
}
