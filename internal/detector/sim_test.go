package detector_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/store/faulty"
	"github.com/ridehail/ridehail/trips"
)

// silenceSim is a node that hears some drivers and is paused now and then. It
// has no goroutines: its clock is a number.
type silenceSim struct {
	t       *testing.T
	rng     *rand.Rand
	now     time.Time
	up      time.Time // since when the node listens without a break
	drivers *sharedstate.Drivers
	fleet   []*driver
}

// driver is one phone, and what an observer who knows everything thinks of it.
type driver struct {
	id     trips.DriverID
	trip   trips.TripID
	steady bool // a link that never keeps a position longer than it may
	due    time.Time
	seq    uint64
	skew   time.Duration // of the phone's clock
	heard  time.Time
	// silent is the longest time that the node listened without a break since
	// then.
	silent time.Duration
}

// The verdicts are compared with an observer that counts the time in which the
// node listened and heard nothing, and does not know the guard. A driver is
// suspected after 3 s of that, taken off the map after 10 s, and reported to
// the rider after 20 s, at that very beat. Pauses of the node, in any number,
// make no driver silent, and silence of any length ends no trip.
func TestSimulatedSilenceIsJudgedByWhatWasListenedTo(t *testing.T) {
	first, n := faulty.Seeds(t, 20)
	began := time.Now()

	for seed := first; seed < first+n && !t.Failed(); seed++ {
		newSilenceSim(t, seed).runHour()
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}

	real := time.Since(began)
	t.Logf("%d virtual hours in %s: %.0f a second", n, real.Round(time.Millisecond), float64(n)/real.Seconds())
}

func newSilenceSim(t *testing.T, seed uint64) *silenceSim {
	w := &silenceSim{t: t, rng: rand.New(rand.NewPCG(seed, 9)), now: time.Unix(1_700_000_000, 0)}
	w.up = w.now
	w.drivers = sharedstate.NewDrivers(sharedstate.DriverOptions{Now: func() time.Time { return w.now }, Shards: 1})
	w.drivers.Guard().RecordBeat(w.now)

	for i := range 4 {
		d := &driver{id: trips.DriverID(fmt.Sprint(i)), steady: i%2 == 0, due: w.now, skew: w.randomUpTo(8*time.Second) - 4*time.Second}
		w.drivers.Connect(d.id, "node")
		w.drivers.SetAvailable(d.id, true)
		if i >= 2 {
			d.trip = trips.TripID("trip " + d.id)
			w.drivers.Assign(d.id, d.trip, sharedstate.OnTrip)
		}
		w.fleet = append(w.fleet, d)
	}

	return w
}

func (w *silenceSim) randomUpTo(d time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(int64(d)))
}

// runHour is an hour of beats. Now and then the node is paused, or its clock
// set forward, which looks the same.
func (w *silenceSim) runHour() {
	beat := 0
	for end := w.now.Add(time.Hour); w.now.Before(end) && !w.t.Failed(); beat++ {
		step := detector.BeatInterval
		switch {
		case w.rng.IntN(600) == 0:
			step = detector.LateAfter + 1 + w.randomUpTo(30*time.Second)
		case w.rng.IntN(200) == 0:
			step = w.randomUpTo(detector.LateAfter) // busy, which is no pause
		}

		w.now = w.now.Add(step)
		if step > detector.LateAfter {
			w.up = w.now
		}

		w.drivers.Guard().RecordBeat(w.now)
		for _, d := range w.fleet {
			d.silent = max(d.silent, w.now.Sub(laterOf(d.heard, w.up)))
		}
		matters := beat%16 == 0 || step != detector.BeatInterval
		for _, d := range w.fleet {
			matters = matters || d.nearVerdict()
		}
		if matters {
			w.checkVerdicts("before anything was read")
		}
		for _, d := range w.fleet {
			w.deliverFix(d)
		}
		if matters {
			w.checkVerdicts("after")
		}
	}
}

// deliverFix takes what a phone sent. What came during a pause waits in the
// socket.
func (w *silenceSim) deliverFix(d *driver) {
	if w.now.Before(d.due) {
		return
	}
	d.seq++

	fix := location.Fix{Point: location.Point{Lng: 3.42, Lat: 6.45}, At: w.now.Add(d.skew), Seq: uint32(d.seq)}
	if why := w.drivers.Move(d.id, fix); why != location.Accepted {
		w.t.Errorf("a good fix is refused: %v", why)
	}

	d.heard, d.silent = w.now, 0
	d.due = w.now.Add(500*time.Millisecond + w.randomUpTo(1500*time.Millisecond))
	if !d.steady && w.rng.IntN(20) == 0 {
		// The driver is in a tunnel or a dead zone.
		d.due = w.now.Add(w.randomUpTo(40 * time.Second))
	}
}

var grades = []time.Duration{detector.SuspectAfter, detector.OfflineAfter, detector.CommsLostAfter}

// nearVerdict reports whether a verdict may have changed at the last beat, or
// may at the next.
func (d *driver) nearVerdict() bool {
	for _, g := range grades {
		if (d.silent - g).Abs() <= 2*detector.BeatInterval {
			return true
		}
	}
	return false
}

// disagreesWith reports whether a verdict differs from the observer's. A
// millisecond is tolerated, because the map counts in milliseconds.
func (d *driver) disagreesWith(silent bool, grade time.Duration) bool {
	return silent != (d.silent > grade) && (d.silent-grade).Abs() > time.Millisecond
}

func (w *silenceSim) checkVerdicts(when string) {
	near, around := map[trips.DriverID]bool{}, map[trips.DriverID]bool{}
	at := location.Point{Lng: 3.42, Lat: 6.45}
	for _, n := range w.drivers.Nearest(at, 10, 1e4, nil) {
		near[n.ID] = true
	}
	for _, n := range w.drivers.FindAround(at, 1e4, 10, nil) {
		around[n.ID] = true
	}

	lost := w.drivers.Guard().SilenceCutoff(w.now, detector.CommsLostAfter)
	for _, d := range w.fleet {
		if d.heard.IsZero() {
			continue
		}
		is, _ := w.drivers.Get(d.id)
		switch {
		case is.Trip != d.trip:
			w.t.Errorf("%s: silence took trip %q from driver %s", when, d.trip, d.id)
		case d.trip == "" && d.disagreesWith(!near[d.id], detector.SuspectAfter):
			w.t.Errorf("%s: driver %s was silent for %s, offered trips: %v", when, d.id, d.silent, near[d.id])
		case d.trip == "" && d.disagreesWith(!around[d.id], detector.OfflineAfter):
			w.t.Errorf("%s: driver %s was silent for %s, on the map: %v", when, d.id, d.silent, around[d.id])
		case d.trip != "" && d.disagreesWith(is.ReceivedAt.Before(lost), detector.CommsLostAfter):
			w.t.Errorf("%s: driver %s was silent for %s on a trip, reported: %v", when, d.id, d.silent, is.ReceivedAt.Before(lost))
		case d.steady && d.silent > detector.SuspectAfter:
			w.t.Errorf("%s: driver %s on a good link was silent for %s", when, d.id, d.silent)
		}
	}
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
