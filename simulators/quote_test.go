package simulators

import (
	"fmt"
	"testing"

	"github.com/ridehail/ridehail/wire"
)

func TestARiderTakesTheQuotedPriceAndAsksOnceMoreWhenItExpired(t *testing.T) {
	for _, late := range []int{0, 1, 2} {
		t.Run(fmt.Sprintf("%d quotes expired", late), func(t *testing.T) {
			var asked []*wire.ClientFrame
			open := riderScript(nil)
			n := newFakeNode(t, nil)
			n.script = func(c *fakeConn, f *wire.ClientFrame) {
				if isRequest(f) {
					asked = append(asked, f)
					if len(asked) <= late {
						c.sendTripAck(f, wire.CodeQuoteExpired)
						return
					}
				}

				open(c, f)
			}

			stats := NewStats()
			stop := startRiders(t, n, RiderConfig{PerMinute: 60, Speed: 300, Stats: stats})
			n.waitUntil("a trip is requested", func() bool { return stats.Snapshot().TripsRequested >= 1 })
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			seen := map[string]bool{}
			for i, f := range asked {
				quote := f.GetRequestTrip().Quote
				if quote == "" || seen[quote] {
					t.Errorf("request %d came with the quote %q", i, quote)
				}
				seen[quote] = true
			}

			if late == 1 && asked[0].GetRequestTrip().Pickup.String() != asked[1].GetRequestTrip().Pickup.String() {
				t.Error("the rider asked again for another way")
			}
			if late == 2 && asked[1].GetRequestTrip().Pickup.String() == asked[2].GetRequestTrip().Pickup.String() {
				t.Error("the rider asked more than once again")
			}
		})
	}
}
