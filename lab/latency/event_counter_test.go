package latency

import (
	"strings"
	"testing"

	"github.com/ridehail/ridehail/wire"
)

func TestTripEventsAreCountedByTheirNumbers(t *testing.T) {
	n := eventCounter{first: 2} // a driver's
	for _, e := range []*wire.TripEvent{nil, {TripId: "a", Seq: 2}, {TripId: "a", Seq: 3}, {TripId: "a", Seq: 3}, {TripId: "a", Seq: 6},
		{TripId: "b", Seq: 2}, {TripId: "b", Seq: 3}} {
		n.countEvent(e)
	}

	if want := (Numbered{Delivered: 5, Duplicated: 1, Missing: 2}); n.sum != want {
		t.Errorf("counted %+v, want %+v", n.sum, want)
	}

	text := Report{Sent: 9, Delivered: 6, Overwritten: 2, Duplicated: 4, Lost: 1, TripEvents: n.sum}.Text()
	for _, says := range []string{"position   13 sent = 6 delivered + 4 repeated + 2 overwritten on purpose + 1 lost\n",
		"trip_event 8 sent = 5 delivered + 1 repeated + 0 overwritten on purpose + 2 lost\n"} {
		if !strings.Contains(text, says) {
			t.Errorf("no %q in\n%s", says, text)
		}
	}
}

func TestEverySentPositionIsDeliveredOverwrittenOrLost(t *testing.T) {
	for name, c := range map[string]struct {
		sent, delivered, over, lost int64
	}{
		"all came":            {sent: 9, delivered: 9},
		"some overwritten":    {sent: 9, delivered: 6, over: 3},
		"some lost":           {sent: 9, delivered: 6, over: 2, lost: 1},
		"more came than went": {sent: 9, delivered: 10, lost: -1},
	} {
		m := &recorder{}
		one, two := &pair{driver: &phone{}, rider: &phone{}}, &pair{driver: &phone{}, rider: &phone{}}
		one.over.Store(5) // of the warm-up
		m.startMeasuring([]*pair{one, two})
		one.sent.Store(c.sent)
		one.delivered.Store(c.delivered)
		one.over.Add(c.over)

		two.sent.Store(3)
		two.delivered.Store(3)

		r := m.buildReport([]*pair{one, two})
		if r.Sent != c.sent+3 || r.Delivered != c.delivered+3 || r.Overwritten != c.over || r.Lost != c.lost ||
			r.Sent != r.Delivered+r.Overwritten+r.Lost {
			t.Errorf("%s: sent %d, delivered %d, overwritten %d, lost %d", name, r.Sent, r.Delivered, r.Overwritten, r.Lost)
		}
	}
}
