package races

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// addOne is an operation on a counter; its output is the number it made.
type addOne struct{}

// verdictWithin bounds the search for an order. It takes milliseconds.
const verdictWithin = 10 * time.Second

// exactCounter is a counter of which all additions are looked at.
var exactCounter = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, _, output any) (bool, any) {
		made := output.(int64)
		return made == state.(int64)+1, made
	},
}

// risingCounter is one of which only some are looked at. Others may have come
// between, so the number may have risen, but never fallen. By it a part of a
// history contradicts only if the whole does.
var risingCounter = porcupine.Model{
	Init: exactCounter.Init,
	Step: func(state, _, output any) (bool, any) {
		made := output.(int64)
		return made > state.(int64), made
	},
}

// isLinearizable says whether some order of the operations explains what each
// of them saw, each between its call and its return (Herlihy and Wing 1990).
func isLinearizable(m porcupine.Model, history []porcupine.Operation) bool {
	return porcupine.CheckOperationsTimeout(m, history, verdictWithin) == porcupine.Ok
}

// findContradiction returns the fewest operations that no order explains, those
// that returned first, by their calls; none if there is an order. Two are
// enough: either both made the same number, or the later one made a lower.
func findContradiction(history []porcupine.Operation) []porcupine.Operation {
	if isLinearizable(exactCounter, history) {
		return nil
	}

	ops := slices.SortedFunc(slices.Values(history), func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	for i, later := range ops {
		for _, earlier := range ops[:i] {
			if pair := []porcupine.Operation{earlier, later}; !isLinearizable(risingCounter, pair) {
				return slices.SortedFunc(slices.Values(pair), func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
			}
		}
	}
	return ops
}

// step is an operation as people read it.
type step struct {
	Worker  int     `json:"worker"`
	Read    int64   `json:"read"`
	Wrote   int64   `json:"wrote"`
	FromMs  float64 `json:"from_ms"`
	UntilMs float64 `json:"until_ms"`
}

func describeSteps(ops []porcupine.Operation) (out []step) {
	for _, op := range ops {
		made := op.Output.(int64)
		out = append(out, step{Worker: op.ClientId + 1, Read: made - 1, Wrote: made,
			FromMs: float64(op.Call) / 1e6, UntilMs: float64(op.Return) / 1e6})
	}
	return out
}

func (s step) String() string {
	return fmt.Sprintf("worker %d read %d, wrote %d", s.Worker, s.Read, s.Wrote)
}
