package detectors

import (
	"math"
	"math/rand/v2"
	"time"
)

// link models a TCP connection that carries one phone's heartbeats to the node.
// Now and then the radio stalls and nothing passes; single segments may be lost
// as well. TCP sends a lost segment again after a timeout that doubles, and
// holds up all segments after it. So a stall lasts until the first
// retransmission after its end.
type link struct {
	name        string
	stalls      float64       // per hour
	stallMedian time.Duration // of log-normal lengths
	stallSpread float64       // deviation of the length's logarithm
	loss        float64       // share of segments lost one by one
	delay       time.Duration // minimum
	jitter      time.Duration // mean of an exponential addition to delay
}

// heartbeatInterval is how often a driver's phone sends its position. Positions
// are the heartbeats.
const heartbeatInterval = time.Second

// Retransmission timeouts of Linux start at 0.2 s or more above the smoothed
// round trip, which differs from loss to loss, and double up to 120 s.
const (
	minFirstTimeout = 250 * time.Millisecond
	maxFirstTimeout = 750 * time.Millisecond
	maxTimeout      = 120 * time.Second
)

// modelLinks are those of a driver in a city with good coverage, and of one
// among high buildings, tunnels and full cells, who has so many stalls an hour.
// All of their figures are assumptions.
func modelLinks(badStalls float64) []link {
	return []link{
		{goodLink, 4, time.Second, 0.6, 0.002, 30 * time.Millisecond, 15 * time.Millisecond},
		{badLink, badStalls, 2 * time.Second, 0.7, 0.03, 60 * time.Millisecond, 60 * time.Millisecond},
	}
}

const goodLink, badLink = "good link", "bad link"

// stallsLongerThan returns how many stalls an hour last longer than so many
// seconds. A timeout of that length errs at least as often.
func (l link) stallsLongerThan(seconds float64) float64 {
	deviations := math.Log(seconds/l.stallMedian.Seconds()) / l.stallSpread
	return l.stalls * math.Erfc(deviations/math.Sqrt2) / 2
}

// radio is the state of one phone's link.
type radio struct {
	link
	rng      *rand.Rand
	from, to time.Duration // of the current or the next stall
	clearAt  time.Duration // when the pending retransmission passes
	arrived  time.Duration // when the last beat arrived
}

func newRadio(l link, seed uint64, phone uint64) *radio {
	return &radio{link: l, rng: rand.New(rand.NewPCG(seed, phone))}
}

// sendBeat returns when a beat arrives. Beats are sent in order.
func (r *radio) sendBeat(at time.Duration) time.Duration {
	if at >= r.clearAt {
		timeout := minFirstTimeout + time.Duration(r.rng.Int64N(int64(maxFirstTimeout-minFirstTimeout)))
		for ; !r.passesAt(at); timeout = min(2*timeout, maxTimeout) {
			at += timeout
		}
		r.clearAt = at
	}

	late := time.Duration(r.rng.ExpFloat64() * float64(r.jitter))
	r.arrived = max(r.arrived, r.clearAt+r.delay+late)
	return r.arrived
}

// passesAt reports whether a segment sent at a time arrives. Callers pass times
// in ascending order.
func (r *radio) passesAt(at time.Duration) bool {
	for at >= r.to {
		r.from = r.to + time.Duration(r.rng.ExpFloat64()/r.stalls*float64(time.Hour))
		r.to = r.from + time.Duration(float64(r.stallMedian)*math.Exp(r.stallSpread*r.rng.NormFloat64()))
	}
	return at < r.from && r.rng.Float64() >= r.loss
}
