package quantile

import (
	"cmp"
	"slices"
)

// Sorted are values in rising order, of which each quantile is one.
type Sorted[T cmp.Ordered] []T

// Sort sorts the values in place.
func Sort[T cmp.Ordered](values []T) Sorted[T] {
	slices.Sort(values)
	return values
}

// At returns the value with a share q of all values below it, between 0 and 1;
// of few values, a high quantile is the greatest. Without values it is zero.
func (s Sorted[T]) At(q float64) (value T) {
	if len(s) == 0 {
		return value
	}
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

// Max returns the greatest value, or zero when there is none.
func (s Sorted[T]) Max() T { return s.At(1) }
