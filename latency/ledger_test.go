package latency

import (
	"strings"
	"testing"

	"github.com/ridehail/ridehail/wire"
)

func TestTripEventsAreCountedByTheirNumbers(t *testing.T) {
	n := numbers{first: 2} // a driver's
	for _, e := range []*wire.TripEvent{nil, {TripId: "a", Seq: 2}, {TripId: "a", Seq: 3}, {TripId: "a", Seq: 3}, {TripId: "a", Seq: 6},
		{TripId: "b", Seq: 2}, {TripId: "b", Seq: 3}} {
		n.take(e)
	}
	if want := (Numbered{Delivered: 5, Duplicated: 1, Missing: 2}); n.sum != want {
		t.Errorf("counted %+v, want %+v", n.sum, want)
	}
	text := Report{Sent: 9, Delivered: 6, Overwritten: 2, Duplicated: 4, Lost: 1, TripEvents: n.sum}.Text()
	for _, says := range []string{"sent 9, delivered 6, overwritten on purpose 2, lost 1\n",
		"positions that came twice: 4; trip events delivered 5, twice 1, missing 2\n"} {
		if !strings.Contains(text, says) {
			t.Errorf("no %q in\n%s", says, text)
		}
	}
}
