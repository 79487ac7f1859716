// Package quantile computes quantiles in two ways. Sorted is exact and keeps
// every value, for the hundreds of an experiment whose figures must not vary
// between runs. Histogram keeps counts, for millions of latencies in bounded
// memory, with a known relative error.
package quantile

import (
	"iter"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Summary holds the quantiles that reports print. Its JSON keys are part of the
// public output.
type Summary struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Counted is a Summary and the number of its values.
type Counted struct {
	Count int64 `json:"count"`
	Summary
}

// Histogram counts whole values from 1 to a limit. It is not safe for
// concurrent use.
type Histogram struct{ h *hdrhistogram.Histogram }

// NewHistogram returns an empty histogram that keeps 1 to 5 significant digits
// of each value.
func NewHistogram(limit int64, digits int) *Histogram {
	return &Histogram{hdrhistogram.New(1, limit, digits)}
}

// Record counts a value without its fraction. It counts values below 1 as 1,
// and values above the limit as the limit.
func (h *Histogram) Record(v float64) {
	// It cannot fail within the limits.
	_ = h.h.RecordValue(max(1, min(int64(v), h.h.HighestTrackableValue())))
}

// Merge adds the counts of a histogram with the same limit and digits.
func (h *Histogram) Merge(other *Histogram) { h.h.Merge(other.h) }

// Reset forgets all values.
func (h *Histogram) Reset() { h.h.Reset() }

// Count returns how many values were recorded.
func (h *Histogram) Count() int64 { return h.h.TotalCount() }

// At returns the percentile (0 to 100) divided by unit, or 0 without values.
func (h *Histogram) At(percent, unit float64) float64 {
	return float64(h.h.ValueAtPercentile(percent)) / unit
}

// Summary returns the usual quantiles, divided by unit.
func (h *Histogram) Summary(unit float64) Summary {
	return Summary{P50: h.At(50, unit), P90: h.At(90, unit), P99: h.At(99, unit), P999: h.At(99.9, unit),
		Max: float64(h.h.Max()) / unit}
}

// Counted returns the Summary together with the count.
func (h *Histogram) Counted(unit float64) Counted { return Counted{h.Count(), h.Summary(unit)} }

// Buckets yields the greatest value and the count of each bucket that is not
// empty, in rising order.
func (h *Histogram) Buckets() iter.Seq2[int64, int64] {
	return func(yield func(to, count int64) bool) {
		for _, b := range h.h.Distribution() {
			if b.Count > 0 && !yield(b.To, b.Count) {
				return
			}
		}
	}
}
