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

func TestPositionsPassedOverBetweenNodesCountAsOverwritten(t *testing.T) {
	type step struct {
		seq, second int // of the fix
		want        positionResult
	}
	for name, c := range map[string]struct {
		steps       []step // after the fix of second 5, which was sent
		overwritten uint32
		kept        uint32 // the number of the fix
	}{
		"the next":                 {[]step{{6, 6, positionNew}}, 0, 6},
		"three between":            {[]step{{9, 9, positionNew}}, 3, 9},
		"one between, twice":       {[]step{{7, 7, positionNew}, {9, 9, positionReplacing}}, 3, 9},
		"one of them late":         {[]step{{8, 8, positionNew}, {7, 7, positionRepeated}, {9, 9, positionReplacing}}, 3, 9},
		"the same twice":           {[]step{{7, 7, positionNew}, {7, 7, positionRepeated}}, 1, 7},
		"the phone began anew":     {[]step{{1, 6, positionNew}, {3, 8, positionReplacing}}, 2, 3},
		"the phone jumped":         {[]step{{5_000_000, 6, positionNew}}, 0, 5_000_000},
		"more than are believed":   {[]step{{5 + maxPassedOver + 2, 6, positionNew}}, 0, 5 + maxPassedOver + 2},
		"as many as are believed":  {[]step{{5 + maxPassedOver + 1, 6, positionNew}}, maxPassedOver, 5 + maxPassedOver + 1},
		"without numbers, as some": {[]step{{0, 6, positionNew}, {0, 7, positionReplacing}}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var p latestPosition
			p.followCar("t", "d")
			if result, passedOver := p.takeReplica(fixAt(5), fixAt(5).At); result != positionNew || passedOver != 0 {
				t.Fatalf("the first one is %d and passes over %d", result, passedOver)
			}
			p.fillFrame(newPositionFrame(), fixAt(5).At)

			for _, s := range c.steps {
				fix := fixAt(s.second)
				fix.Seq = uint32(s.seq)
				if got, _ := p.takeReplica(fix, fix.At); got != s.want {
					t.Errorf("fix %d of second %d: %d, want %d", s.seq, s.second, got, s.want)
				}
			}
			if p.countOverwritten() != c.overwritten || p.fix.Seq != c.kept {
				t.Errorf("%d overwritten and fix %d kept, want %d and %d", p.countOverwritten(), p.fix.Seq, c.overwritten, c.kept)
			}
		})
	}
}

func TestOnOneNodeAGapInTheNumbersIsNoOverwriting(t *testing.T) {
	var p latestPosition
	p.followCar("t", "d")
	p.takePosition(fixAt(5), fixAt(5).At)
	p.fillFrame(newPositionFrame(), fixAt(5).At)
	p.takePosition(fixAt(9), fixAt(9).At)
	if p.countOverwritten() != 0 {
		t.Errorf("%d positions that never came here count as overwritten", p.countOverwritten())
	}
}
