package chaos

import (
	"math/rand/v2"
	"time"
)

// isolationPause is how long a run that breaks one thing at a time waits after each heal:
// longer than a lost node's jobs and phones need to find another one, and than
// the longest pause of a phone.
const isolationPause = 8 * time.Second

// PlanIsolated is Plan for measuring. Each fault is healed, and the city had time
// to recover, before the next begins, so that what is seen meanwhile is that
// fault's doing. It depends on nothing but its arguments; all kinds come once,
// in some order, before any comes again, as many as fit into the length, and
// one at least.
func PlanIsolated(seed uint64, length time.Duration, nodes int) (plan []Fault) {
	rng := rand.New(rand.NewPCG(seed, 0x616c6f6e65))
	var deck []Kind
	for at := min(warmUp, length/6); ; {
		if len(deck) == 0 {
			deck = shuffleKinds(rng, allKinds)
		}
		f := drawFault(rng, deck[0], nodes)
		deck = deck[1:]

		f.At = at
		if f.At+f.Lasts > length {
			if len(plan) > 0 {
				return plan
			}
			f.Lasts = length - f.At
		}

		plan = append(plan, f)
		at += f.Lasts + isolationPause
	}
}
