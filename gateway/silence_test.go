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
	r := reserved(t, newTown(t, nil), asProto, asProto)
	goOn := func(on time.Duration) {
		for range on / detector.BeatInterval {
			r.pass(detector.BeatInterval)
			r.drivers.Guard().RecordBeat(r.now())
		}
		r.g.tick()
	}

	told := func() int { return len(frames[*wire.ServerFrame_Comms](r.rider.sofar())) }
	goOn(10 * time.Second)
	r.pass(time.Minute)
	r.g.tick()
	goOn(detector.CommsLostAfter)
	r.rider.settled()
	if n := told(); n != 0 {
		t.Errorf("told %d times too early", n)
	}

	goOn(detector.BeatInterval)
	if lost := has[*wire.ServerFrame_Comms](r.rider, 1)[0].Comms; !lost.Lost || lost.AgeS < 90 {
		t.Errorf("then told %v", lost)
	}
}

func TestTheNodeWatchesItself(t *testing.T) {
	c := newTown(t, nil)
	c.runs()
	silent := func() bool {
		return c.drivers.Guard().SilenceCutoff(c.now(), time.Second).Equal(c.now().Add(-time.Second))
	}
	c.until("the first beat makes a jump of the clock a pause", func() bool {
		c.pass(time.Hour)
		return !silent()
	})
}
