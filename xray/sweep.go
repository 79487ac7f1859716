package xray

import (
	"cmp"
	"slices"
)

// span is a time from began to ended, both in nanoseconds.
type span struct{ began, ended int64 }

// sweepTime shares the time from began to ended among spans: each moment belongs
// to the span that began last of those that cover it, and of several that began
// at once to the last in order. It returns what belongs to each span, and what
// to none; all of it together is ended - began. A span outside counts for what
// lies inside.
func sweepTime(spans []span, began, ended int64) (own []int64, free int64) {
	own = make([]int64, len(spans))
	byBegin := make([]int, len(spans))
	bounds := append(make([]int64, 0, 2*len(spans)+2), began, ended)
	for i, s := range spans {
		byBegin[i] = i
		bounds = append(bounds, min(max(s.began, began), ended), min(max(s.ended, began), ended))
	}
	slices.SortStableFunc(byBegin, func(a, b int) int { return cmp.Compare(spans[a].began, spans[b].began) })
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)

	var covering []int // by their beginning; ended ones below the last are still there
	for i := range len(bounds) - 1 {
		from, to := bounds[i], bounds[i+1]
		for len(byBegin) > 0 && spans[byBegin[0]].began <= from {
			covering, byBegin = append(covering, byBegin[0]), byBegin[1:]
		}
		for len(covering) > 0 && spans[covering[len(covering)-1]].ended <= from {
			covering = covering[:len(covering)-1]
		}

		if len(covering) > 0 {
			own[covering[len(covering)-1]] += to - from
		} else {
			free += to - from
		}
	}
	return own, free
}
