package sharedstate

import (
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// Flags are evidence and no verdict. The fix that raises one is accepted like
// any other, and the driver may be offered trips.
func TestAFlaggedDriverIsBelievedAndOfferedAsBefore(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	handle := d.Connect("d", "n")
	d.SetAvailable("d", true)

	var all location.Flags
	at := lagoon
	for range 100 { // 60 m/s along a line that no receiver could draw
		c.advance(time.Second)
		at.Lng += 60 / 111_000.0

		why, flags := handle.Move(location.Fix{Point: at, At: c.now(), Speed: 60, Accuracy: 5}, c.now())
		if why != location.Accepted {
			t.Fatalf("refused: %s", why)
		}
		if all&flags != 0 {
			t.Errorf("%v was raised again", (all & flags).Names())
		}
		all |= flags
	}

	if all != location.FlagSpeed|location.FlagSmooth {
		t.Errorf("flagged as %v", all.Names())
	}
	if err := d.Reserve("d", "offer"); err != nil {
		t.Error(err)
	}
}

func TestADriveThatAnotherDriverMadeIsKnownAgain(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	drive := func(name string) (all location.Flags) {
		handle := d.Connect(trips.DriverID(name), "n")
		at, step := lagoon, uint32(1)
		for range 300 {
			c.advance(time.Second)
			step = step*1664525 + 1013904223
			at.Lng += (80 + float64(step>>25)) * 1e-6
			at.Lat += float64(step>>17&127) * 1e-6
			_, flags := handle.Move(location.Fix{Point: at, At: c.now(), Accuracy: 5}, c.now())
			all |= flags
		}

		return all
	}

	if first := drive("first"); first != 0 {
		t.Errorf("the first drive is flagged: %v", first.Names())
	}
	if second := drive("second"); second != location.FlagReplay {
		t.Errorf("the copied drive is flagged: %v", second.Names())
	}
}
