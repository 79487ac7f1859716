package chaos

import (
	"math/rand/v2"
	"time"
)

// isolationPause is the time between a heal and the next fault of an isolated
// plan. It is longer than the jobs and phones of a lost node need to find
// another one, and than the longest pause of a phone.
const isolationPause = 8 * time.Second

// PlanIsolated is Plan for measuring: each fault is healed, and the city has
// time to recover, before the next begins, so that each figure has one cause.
// The plan depends on the arguments alone. It has as many faults as fit into
// the length, and one at least. All kinds come once, in random order, before
// any comes again.
func PlanIsolated(seed uint64, length time.Duration, nodes int, on Engines) (plan []Fault) {
	rng := rand.New(rand.NewPCG(seed, 0x616c6f6e65))
	var deck []Kind
	for at := min(warmUp, length/6); ; {
		if len(deck) == 0 {
			deck = shuffleKinds(rng, on.kinds())
		}
		f := drawFault(rng, deck[0], nodes, on.lines())
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
