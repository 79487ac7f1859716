package sharedstate

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/trips"
)

// dutyShift is a city whose drivers are all on duty and send a fix a second.
// The node beats its guard, so that it knows when it is awake.
type dutyShift struct {
	t       *testing.T
	clock   *clock
	drivers *Drivers
	count   int
}

func newDutyShift(t *testing.T, n int) *dutyShift {
	s := &dutyShift{t: t, clock: newClock(), count: n}
	s.drivers = newDriversAt(s.clock)
	for i := range n {
		enterOnDuty(t, s.drivers, s.clock, driverID(i), lagoon)
	}
	return s
}

func driverID(i int) trips.DriverID { return trips.DriverID(strconv.Itoa(i)) }

// runFor lets time pass in which the first heard drivers send fixes. It calls
// look at every beat of the node.
func (s *dutyShift) runFor(on time.Duration, heard int, look func()) {
	for i := range int(on / detector.BeatInterval) {
		s.clock.advance(detector.BeatInterval)
		s.drivers.Guard().RecordBeat(s.clock.now())
		look()

		if i%int(time.Second/detector.BeatInterval) == 0 {
			for i := range heard {
				s.drivers.Move(driverID(i), s.clock.fixAt(lagoon))
			}
		}
	}
}

// wantCounts checks how many drivers may be offered a trip, and how many are on
// the map and counted as available.
func (s *dutyShift) wantCounts(when string, offered, online int) {
	s.t.Helper()
	near, seen := len(s.drivers.Nearest(lagoon, 2*s.count, 1e4, nil)), len(s.drivers.FindAround(lagoon, 1e4, 2*s.count, nil))
	counts := s.drivers.Counts()
	if near != offered || seen != online || counts.Status[Available] != online ||
		counts.Status[NonContactable] != s.count-online {
		s.t.Fatalf("%s: %d may be offered (want %d), %d on the map (want %d), counted %v",
			when, near, offered, seen, online, counts.Status)
	}
}

func TestOurOwnPauseKillsNoDriver(t *testing.T) {
	for _, away := range []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second} {
		t.Run(fmt.Sprint(away), func(t *testing.T) {
			s := newDutyShift(t, 100)
			all := func() { s.wantCounts("while some are not read yet", 100, 100) }
			s.runFor(20*time.Second, 100, all)
			s.clock.advance(away)
			s.wantCounts("back, before anything else ran", 100, 100)

			// The sockets are read late, too.
			s.runFor(2900*time.Millisecond, 0, all)
			s.runFor(20*time.Second, 100, all)
			checkInvariants(t, s.drivers)
		})
	}
}

func TestWhoDiedDuringOurPauseIsFoundAfterAFullPeriod(t *testing.T) {
	s := newDutyShift(t, 100)
	s.runFor(20*time.Second, 100, func() {})
	s.clock.advance(15 * time.Second)
	s.runFor(3*time.Second, 75, func() { s.wantCounts("less than 3 s after", 100, 100) })
	s.runFor(7*time.Second, 75, func() { s.wantCounts("less than 10 s after", 75, 100) })
	s.runFor(200*time.Millisecond, 75, func() {})
	s.wantCounts("10 s after", 75, 75)
}

func TestNineOfTenDriversSilentAtOnceAreSuspectedWhileWeAreWell(t *testing.T) {
	s := newDutyShift(t, 100)
	s.runFor(20*time.Second, 100, func() { s.wantCounts("all is well", 100, 100) })
	s.runFor(5*time.Second, 10, func() {})
	s.wantCounts("after 5 s", 10, 100)
	s.runFor(7*time.Second, 10, func() {})
	s.wantCounts("after 12 s", 10, 10)
	s.runFor(100*time.Millisecond, 100, func() {})
	s.wantCounts("all are back", 100, 100)
	checkInvariants(t, s.drivers)
}

func TestADriverWhoseSocketClosedIsNotCountedAsAvailable(t *testing.T) {
	s := newDutyShift(t, 3)
	s.drivers.Disconnect(driverID(0), "n1")
	if c := s.drivers.Counts().Status; c[Available] != 2 || c[NonContactable] != 1 {
		t.Errorf("counted %v", c)
	}
	s.drivers.Assign(driverID(1), "t", OnTrip)
	s.clock.advance(time.Minute)
	if c := s.drivers.Counts().Status; c[Available] != 0 || c[NonContactable] != 2 || c[OnTrip] != 1 {
		t.Errorf("a minute later, one of them on a trip: counted %v", c)
	}
}
