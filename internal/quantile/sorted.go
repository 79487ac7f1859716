package quantile

import (
	"cmp"
	"slices"
)

// Sorted holds values in rising order. Each of its quantiles is one of them.
type Sorted[T cmp.Ordered] []T

// Sort sorts the values in place and returns them.
func Sort[T cmp.Ordered](values []T) Sorted[T] {
	slices.Sort(values)
	return values
}

// At returns the quantile q, from 0 to 1: the value with a share q of all
// values below it. It returns zero without values.
func (s Sorted[T]) At(q float64) (value T) {
	if len(s) == 0 {
		return value
	}
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

// Max returns the greatest value, or zero when there is none.
func (s Sorted[T]) Max() T { return s.At(1) }
