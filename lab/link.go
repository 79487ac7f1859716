package lab

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// link is a model of the way of one phone's heartbeats to the node over a TCP
// connection. Now and then the radio stalls and nothing passes; a segment may
// also be lost alone. What did not pass is sent again after a timeout that
// doubles, as TCP does, and holds up all that was sent after it; so a stall is
// felt until the first retransmission after its end.
type link struct {
	name        string
	stalls      float64       // per hour
	stallMedian time.Duration // lengths are log-normal
	stallSpread float64       // deviation of the length's logarithm
	loss        float64       // of one segment alone
	delay       time.Duration // least
	// mean of what comes on top, exponentially distributed
	jitter time.Duration
}

// heartbeatInterval is how often a driver's phone sends its position; they are the
// heartbeats.
const heartbeatInterval = time.Second

// Retransmission timeouts of Linux: 0.2 s or more on top of the smoothed round
// trip, which differs from loss to loss; doubled up to 120 s.
const (
	minFirstTimeout = 250 * time.Millisecond
	maxFirstTimeout = 750 * time.Millisecond
	maxTimeout      = 120 * time.Second
)

// modelLinks are the two links: a driver in a city with good coverage, and one among
// high buildings, tunnels and full cells.
var modelLinks = []link{
	{"good link", 4, time.Second, 0.6, 0.002, 30 * time.Millisecond, 15 * time.Millisecond},
	{"bad link", 40, 2 * time.Second, 0.7, 0.03, 60 * time.Millisecond, 60 * time.Millisecond},
}

const assumed = "assumption"

// linkParameters states the model.
func linkParameters() []Parameter {
	out := []Parameter{
		{"heartbeat", "every " + heartbeatInterval.String(), "the protocol: a fix a second over one TCP connection"},
		{"retransmission", fmt.Sprintf("after %v to %v, doubled up to %v", minFirstTimeout, maxFirstTimeout, maxTimeout),
			"Linux: round trip (assumed) and TCP_RTO_MIN; TCP_RTO_MAX"},
		{"order", "a segment sent again holds up all after it", "TCP; what waited arrives with it"},
		{"death", "at any moment with equal chance, without a word", assumed},
	}

	for _, l := range modelLinks {
		out = append(out,
			Parameter{l.name + ": stalls", fmt.Sprintf("%g an hour, log-normal, median %v, sigma %g", l.stalls, l.stallMedian,
				l.stallSpread), assumed},
			Parameter{l.name + ": loss", fmt.Sprintf("%g %% of segments, alone", 100*l.loss), assumed},
			Parameter{l.name + ": delay", fmt.Sprintf("%v and %v on average on top, exponential", l.delay, l.jitter), assumed})
	}

	return out
}

// radio is the state of one phone's link.
type radio struct {
	link
	rng      *rand.Rand
	from, to time.Duration // the stall under way, or the next
	clearAt  time.Duration // when the retransmission under way passes
	arrived  time.Duration // the last beat
}

func newRadio(l link, seed uint64, phone uint64) *radio {
	return &radio{link: l, rng: rand.New(rand.NewPCG(seed, phone))}
}

// send returns when a beat arrives. Beats are sent in order.
func (r *radio) send(at time.Duration) time.Duration {
	if at >= r.clearAt {
		timeout := minFirstTimeout + time.Duration(r.rng.Int64N(int64(maxFirstTimeout-minFirstTimeout)))
		for ; !r.passes(at); timeout = min(2*timeout, maxTimeout) {
			at += timeout
		}
		r.clearAt = at
	}

	late := time.Duration(r.rng.ExpFloat64() * float64(r.jitter))
	r.arrived = max(r.arrived, r.clearAt+r.delay+late)
	return r.arrived
}

// passes says whether a segment sent now arrives. The times asked for never go
// back.
func (r *radio) passes(at time.Duration) bool {
	for at >= r.to {
		r.from = r.to + time.Duration(r.rng.ExpFloat64()/r.stalls*float64(time.Hour))
		r.to = r.from + time.Duration(float64(r.stallMedian)*math.Exp(r.stallSpread*r.rng.NormFloat64()))
	}
	return at < r.from && r.rng.Float64() >= r.loss
}
