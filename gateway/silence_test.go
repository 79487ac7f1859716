package gateway

import (
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/wire"
)

// A node that was stopped and goes on first listens for the whole time before
// it calls anyone lost.
func TestOurOwnPauseMakesNoDriverSilent(t *testing.T) {
	r := newReservedRide(t, newTestNode(t, nil), asProto, asProto)
	goOn := func(on time.Duration) {
		for range on / detector.BeatInterval {
			r.pass(detector.BeatInterval)
			r.drivers.Guard().RecordBeat(r.now())
		}
		r.g.tickSessions()
	}

	told := func() int { return len(bodiesOf[*wire.ServerFrame_Comms](r.rider.framesSoFar())) }
	goOn(10 * time.Second)
	r.pass(time.Minute)
	r.g.tickSessions()
	goOn(detector.CommsLostAfter)
	r.rider.awaitHandled()
	if n := told(); n != 0 {
		t.Errorf("told %d times too early", n)
	}

	goOn(detector.BeatInterval)
	if lost := awaitBodies[*wire.ServerFrame_Comms](r.rider, 1)[0].Comms; !lost.Lost || lost.AgeS < 90 {
		t.Errorf("then told %v", lost)
	}
}

func TestTheNodeWatchesItself(t *testing.T) {
	c := newTestNode(t, nil)
	c.startRunning()
	silent := func() bool {
		return c.drivers.Guard().SilenceCutoff(c.now(), time.Second).Equal(c.now().Add(-time.Second))
	}
	c.awaitCondition("the first beat makes a jump of the clock a pause", func() bool {
		c.pass(time.Hour)
		return !silent()
	})
}
