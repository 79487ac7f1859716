package tracing

import (
	"math"
	"testing"

	"github.com/google/uuid"
)

func TestTheShareSampledIsTheShareAskedFor(t *testing.T) {
	for _, ratio := range []float64{0, .01, .25, .5, .8, 1} {
		limit, n, text, id := newThreshold(ratio), 40000, 0, 0
		for range n {
			u := uuid.New()
			if limit.admitsText(u.String()) {
				text++
			}
			if limit.admits([16]byte(u)) {
				id++
			}
		}
		if text != id {
			t.Errorf("%v: %d by text and %d by id", ratio, text, id)
		}
		if off := math.Abs(float64(text)/float64(n) - ratio); off > 5*math.Sqrt(ratio*(1-ratio)/float64(n)) {
			t.Errorf("asked for %v, sampled %v", ratio, float64(text)/float64(n))
		}
	}
}

func TestATripIsSampledIfItsQuoteIs(t *testing.T) {
	limit := newThreshold(.5)
	for range 1000 {
		quote := uuid.NewString()
		trip := NewTripID(quote)
		if trip == quote || uuid.Validate(trip) != nil || limit.admitsText(trip) != limit.admitsText(quote) {
			t.Fatalf("quote %s, trip %s", quote, trip)
		}
	}
	for _, other := range []string{"", "X7KQ2RFAOTHERBUILD", "{" + uuid.NewString() + "}"} {
		if a, b := NewTripID(other), NewTripID(other); a == b || uuid.Validate(a) != nil {
			t.Errorf("%q: %s and %s", other, a, b)
		}
	}
}

func TestTextThatIsNoTripIsNotSampled(t *testing.T) {
	limit := newThreshold(1)
	for _, id := range []string{"", "trip-1", "urn:uuid:" + uuid.NewString(), "{" + uuid.NewString() + "}"} {
		if limit.admitsText(id) {
			t.Errorf("%q is sampled", id)
		}
	}
}
