package gateway

import (
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

// fixAt is a fix of a second.
func fixAt(second int) location.Fix {
	return location.Fix{Seq: uint32(second), At: time.Unix(1_700_000_000+int64(second), 0)}
}

func TestTheNewestPositionOverwritesTheOthers(t *testing.T) {
	const unsent, sent = false, true
	for name, c := range map[string]struct {
		sent        bool // the fix of second 5, which came first
		second      int
		want        positionResult
		ready       bool
		shows       uint32 // the fix that is kept
		overwritten uint32
	}{
		"newer":                      {sent, 6, positionNew, true, 6, 0},
		"newer, the last not sent":   {unsent, 6, positionReplacing, true, 6, 1},
		"older":                      {sent, 4, positionLate, false, 5, 1},
		"older, the last not sent":   {unsent, 4, positionLate, true, 5, 1},
		"the same":                   {sent, 5, positionRepeated, false, 5, 0},
		"the same, which waits":      {unsent, 5, positionRepeated, true, 5, 0},
		"much older than the newest": {sent, -9, positionLate, false, 5, 1},
	} {
		var p latestPosition
		p.followCar("t", "d")
		if got := p.takePosition(fixAt(5), fixAt(5).At); got != positionNew {
			t.Fatalf("%s: the first one is %d", name, got)
		}
		if c.sent {
			p.fillFrame(newPositionFrame(), fixAt(5).At)
		}
		if got := p.takePosition(fixAt(c.second), fixAt(6).At); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		if p.isReady() != c.ready || p.fix.Seq != c.shows || p.countOverwritten() != c.overwritten {
			t.Errorf("%s: ready %v with fix %d and %d overwritten, want %v, %d and %d", name, p.isReady(), p.fix.Seq,
				p.countOverwritten(), c.ready, c.shows, c.overwritten)
		}
	}
}

func newPositionFrame() *positionFrame { return positionFrames.New().(*positionFrame) }

func TestAPositionIsSentWhileTheAckWindowHasRoom(t *testing.T) {
	var p latestPosition
	p.followCar("t", "d")

	for n := range uint32(ackWindow) {
		p.takePosition(fixAt(int(n)+1), fixAt(0).At)
		if !p.isReady() {
			t.Fatalf("position %d is not sent", n+1)
		}
		f := newPositionFrame()
		if p.fillFrame(f, fixAt(9).At); f.pos.N != n+1 || f.pos.DriverId != "d" || f.pos.Seq != n+1 {
			t.Errorf("position %d is sent as %v", n+1, &f.pos)
		}
	}
	p.takePosition(fixAt(ackWindow+1), fixAt(0).At)

	for _, c := range []struct {
		ack, shown uint32
		ready      bool
	}{
		{0, 0, false},
		{ackWindow + 1, 0, false}, // never sent
		{1, 1, true},
		{1, 0, true}, // again
		{ackWindow, ackWindow - 1, true},
	} {
		if got := p.ackUpTo(c.ack); got != c.shown || p.isReady() != c.ready {
			t.Errorf("after ack %d: shown %d and ready %v, want %d and %v", c.ack, got, p.isReady(), c.shown, c.ready)
		}
	}
}

func TestAnotherCarStartsAnewButTheNumbersGoOn(t *testing.T) {
	var p latestPosition
	p.followCar("t", "d")
	p.takePosition(fixAt(5), fixAt(5).At)
	p.fillFrame(newPositionFrame(), fixAt(5).At)
	p.takePosition(fixAt(6), fixAt(6).At)
	if p.followCar("t2", "d") || p.trip != "t2" || !p.isReady() {
		t.Error("the same driver's next trip lost the position")
	}
	if !p.followCar("t3", "e") || p.isReady() || p.sent != 1 || p.came != 2 || !p.received.IsZero() {
		t.Errorf("another driver's car is %+v", p)
	}
	if got := p.takePosition(fixAt(1), fixAt(7).At); got != positionNew || p.countOverwritten() != 1 {
		t.Errorf("its first position is %d, with %d overwritten", got, p.countOverwritten())
	}
}

func TestContactIsLostAndRegainedOnce(t *testing.T) {
	var p latestPosition
	if p.loseContact(fixAt(9).At) {
		t.Error("no car is silent")
	}

	p.followCar("t", "d")
	if p.loseContact(fixAt(9).At) {
		t.Error("a car never heard of is silent")
	}
	p.takePosition(fixAt(5), fixAt(5).At)
	if p.regainContact() || p.loseContact(fixAt(5).At) {
		t.Error("a car heard of in time is silent")
	}
	if !p.loseContact(fixAt(6).At) || p.loseContact(fixAt(7).At) {
		t.Error("a silent car is not told once")
	}
	if !p.regainContact() || p.regainContact() || !p.loseContact(fixAt(6).At) {
		t.Error("contact is not regained once")
	}
}
