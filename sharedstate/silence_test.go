package sharedstate

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/trips"
)

// shift is a city whose drivers are all on duty and send a fix a second to a
// node that knows when it is awake.
type shift struct {
	t *testing.T
	c *clock
	d *Drivers
	n int
}

func newShift(t *testing.T, n int) *shift {
	s := &shift{t: t, c: newClock(), n: n}
	s.d = city(s.c)
	for i := range n {
		onDuty(t, s.d, s.c, driver(i), lagoon)
	}
	return s
}

func driver(i int) trips.DriverID { return trips.DriverID(strconv.Itoa(i)) }

// goes on for a time in which the first so many drivers are heard, and calls
// look at every beat of the node.
func (s *shift) goes(on time.Duration, heard int, look func()) {
	for i := range int(on / detector.BeatEvery) {
		s.c.pass(detector.BeatEvery)
		s.d.Guard().Beat(s.c.now())
		look()

		if i%int(time.Second/detector.BeatEvery) == 0 {
			for i := range heard {
				s.d.Move(driver(i), s.c.fix(lagoon))
			}
		}
	}
}

// wants checks how many drivers may be offered a trip, and how many are on the
// map and counted as available.
func (s *shift) wants(when string, offered, online int) {
	s.t.Helper()
	near, seen := len(s.d.Nearest(lagoon, 2*s.n, 1e4, nil)), len(s.d.Around(lagoon, 1e4, 2*s.n, nil))
	counts := s.d.Counts()
	if near != offered || seen != online || counts.Status[Available] != online ||
		counts.Status[NonContactable] != s.n-online {
		s.t.Fatalf("%s: %d may be offered (want %d), %d on the map (want %d), counted %v",
			when, near, offered, seen, online, counts.Status)
	}
}

func TestOurOwnPauseKillsNoDriver(t *testing.T) {
	for _, away := range []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second} {
		t.Run(fmt.Sprint(away), func(t *testing.T) {
			s := newShift(t, 100)
			all := func() { s.wants("while some are not read yet", 100, 100) }
			s.goes(20*time.Second, 100, all)
			s.c.pass(away)
			s.wants("back, before anything else ran", 100, 100)

			// the sockets are read late, too
			s.goes(2900*time.Millisecond, 0, all)
			s.goes(20*time.Second, 100, all)
			check(t, s.d)
		})
	}
}

func TestWhoDiedDuringOurPauseIsFoundAfterAFullPeriod(t *testing.T) {
	s := newShift(t, 100)
	s.goes(20*time.Second, 100, func() {})
	s.c.pass(15 * time.Second)
	s.goes(3*time.Second, 75, func() { s.wants("less than 3 s after", 100, 100) })
	s.goes(7*time.Second, 75, func() { s.wants("less than 10 s after", 75, 100) })
	s.goes(200*time.Millisecond, 75, func() {})
	s.wants("10 s after", 75, 75)
}

func TestNineOfTenDriversSilentAtOnceAreSuspectedWhileWeAreWell(t *testing.T) {
	s := newShift(t, 100)
	s.goes(20*time.Second, 100, func() { s.wants("all is well", 100, 100) })
	s.goes(5*time.Second, 10, func() {})
	s.wants("after 5 s", 10, 100)
	s.goes(7*time.Second, 10, func() {})
	s.wants("after 12 s", 10, 10)
	s.goes(100*time.Millisecond, 100, func() {})
	s.wants("all are back", 100, 100)
	check(t, s.d)
}

func TestADriverWhoseSocketClosedIsNotCountedAsAvailable(t *testing.T) {
	s := newShift(t, 3)
	s.d.Leave(driver(0), "n1")
	if c := s.d.Counts().Status; c[Available] != 2 || c[NonContactable] != 1 {
		t.Errorf("counted %v", c)
	}
	s.d.Assign(driver(1), "t", OnTrip)
	s.c.pass(time.Minute)
	if c := s.d.Counts().Status; c[Available] != 0 || c[NonContactable] != 2 || c[OnTrip] != 1 {
		t.Errorf("a minute later, one of them on a trip: counted %v", c)
	}
}
