package simulators

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// newRandomStream returns the random numbers of one user for one purpose. Each
// purpose has its own stream: how often one of them draws may depend on the
// network, and must not change the others.
func newRandomStream(seed uint64, user, purpose string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(user + "\x00" + purpose))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// drawUniform returns a number from [lo, hi).
func drawUniform(r *rand.Rand, lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }

// cityClock is how many seconds of the city pass per real second.
type cityClock float64

func (c cityClock) realDuration(seconds float64) time.Duration {
	return time.Duration(seconds / float64(c) * float64(time.Second))
}

// earliestTime returns the first of the times that are not zero, or zero.
func earliestTime(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// isDue reports whether a time is set and has come.
func isDue(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
