package quantile

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestSortedQuantilesAreValues(t *testing.T) {
	s := Sort([]float64{3, 1, 2})
	for q, want := range map[float64]float64{0: 1, .3: 1, .34: 2, .5: 2, .9: 3, .99: 3, 1: 3} {
		if got := s.At(q); got != want {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}

	if s.Max() != 3 {
		t.Errorf("max %v", s.Max())
	}
}

func TestWithoutValuesEveryQuantileIsZero(t *testing.T) {
	none := Sort([]time.Duration(nil))
	if none.At(.5) != 0 || none.Max() != 0 {
		t.Errorf("%v, %v", none.At(.5), none.Max())
	}
	if got := NewHistogram(1000, 3).Counted(1); got != (Counted{}) {
		t.Errorf("%+v", got)
	}
}

func TestAHistogramIsNearTheTruth(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	one, two := NewHistogram(60e6, 3), NewHistogram(60e6, 3)
	var values []float64
	for i := range 100_000 {
		v := math.Exp(rng.NormFloat64()) * 1e4
		values = append(values, v)

		if i%3 == 0 {
			two.Record(v)
		} else {
			one.Record(v)
		}
	}

	one.Merge(two)
	exact, got := Sort(values), one.Counted(1e3)
	if got.Count != int64(len(values)) {
		t.Errorf("counted %d", got.Count)
	}

	for q, is := range map[float64]float64{.5: got.P50, .9: got.P90, .99: got.P99, .999: got.P999, 1: got.Max} {
		rank := 1 / float64(len(values)) // the histogram rounds it
		low, high := exact.At(max(0, q-rank))/1e3, exact.At(q+rank)/1e3
		if is < low*.999-1e-3 || is > high*1.001+1e-3 {
			t.Errorf("quantile %v: %v, exactly %v to %v", q, is, low, high)
		}
	}

	one.Reset()
	if one.Count() != 0 {
		t.Error("values are left after a reset")
	}
}

func TestWhatLiesOutsideIsCountedAtTheNearerEnd(t *testing.T) {
	h := NewHistogram(1000, 3)
	for _, v := range []float64{-5, 0, .4, 2, 1e9} {
		h.Record(v)
	}
	counts := map[int64]int64{}
	for to, n := range h.Buckets() {
		counts[to] += n
	}
	if counts[1] != 3 || counts[2] != 1 || h.Count() != 5 || h.At(100, 1) < 1000 {
		t.Errorf("%v, in all %d, the greatest %v", counts, h.Count(), h.At(100, 1))
	}
	for range h.Buckets() {
		break // a caller may stop early
	}
}

func TestTheKeysOfAReportStay(t *testing.T) {
	got, err := json.Marshal(Counted{7, Summary{1, 2, 3, 4, 5}})
	if want := `{"count":7,"p50":1,"p90":2,"p99":3,"p999":4,"max":5}`; err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
