package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// TestWhatWaitsForASlowPhoneIsCountedUntilItIsLost fills a phone's socket with
// chat. Each message is written, waits or is lost.
func TestWhatWaitsForASlowPhoneIsCountedUntilItIsLost(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.Queue = 200 })
	r, slow := slowRide(t, c)
	said := r.fillSocket(slow)
	for awaitBodies[*wire.ServerFrame_Chat](r.driver, said); c.g.Traffic().Waiting["chat"] < 20; {
		said++
		r.sendChat(trips.Driver("d"), r.trip, fmt.Sprint(said, strings.Repeat(" and so on", 90)))
		awaitBodies[*wire.ServerFrame_Chat](r.driver, said)
	}
	accounted := func() int { return c.countOutcomes(classChat) + c.g.Traffic().Waiting["chat"] }

	c.awaitCondition("all that was said is accounted for", func() bool { return accounted() == 2*said })
	traffic := c.g.Traffic()
	if traffic.Riders.Slow != 1 || traffic.Drivers.Slow != 0 || traffic.Riders.Phones != 1 || traffic.Drivers.Phones != 1 || traffic.Waiting["chat"] < 20 {
		t.Errorf("one rider does not read, and it says %+v", traffic)
	}
	written := traffic.Riders.Written

	r.rider.conn.Close()
	c.awaitCondition("the phone is gone", func() bool { return len(c.g.sessions.OfUser(trips.Rider("r"), nil)) == 0 })
	// The driver has the last message a moment before the node knows.
	c.awaitCondition("nothing waits and all is accounted for", func() bool { return c.g.Traffic().Waiting["chat"] == 0 && accounted() == 2*said })
	traffic = c.g.Traffic()
	if traffic.Riders.Phones != 0 || traffic.Riders.Written < written {
		t.Errorf("what was written to a phone that left is forgotten: %+v, before %d", traffic.Riders, written)
	}
}

func TestTrafficCountsTheFramesOfBothRoles(t *testing.T) {
	c := newTestNode(t, nil)
	r := newReservedRide(t, c, asProto, asJSONText)
	before := c.g.Traffic()
	for i := range 5 {
		r.driver.driveOn()
		awaitBodies[*wire.ServerFrame_Position](r.rider, i+2)
		r.rider.ackPositions(uint32(i + 2))
	}
	r.rider.awaitHandled()

	after := c.g.Traffic()
	if got := after.Drivers.Read - before.Drivers.Read; got != 5 {
		t.Errorf("%d frames were read from the driver, who sent 5", got)
	}
	if got := after.Riders.Written - before.Riders.Written; got < 5 {
		t.Errorf("%d frames were written to the rider, who got 5 positions", got)
	}
	if got := after.Riders.Read - before.Riders.Read; got < 5 {
		t.Errorf("%d frames were read from the rider, who acked 5 positions", got)
	}
}
