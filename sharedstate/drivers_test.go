package sharedstate

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that tests move by hand.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}
func (c *clock) now() time.Time                      { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(d time.Duration)             { c.nanos.Add(int64(d)) }
func (c *clock) fixAt(p location.Point) location.Fix { return location.Fix{Point: p, At: c.now()} }

var lagoon = location.Point{Lng: 3.4, Lat: 6.45}

func newDriversAt(c *clock) *Drivers { return NewDrivers(DriverOptions{Node: "n1", Now: c.now}) }

// enterOnDuty puts a driver who may be offered trips at a place.
func enterOnDuty(t testing.TB, d *Drivers, c *clock, id trips.DriverID, p location.Point) {
	d.Connect(id, "n1")
	d.SetAvailable(id, true)
	if r := d.Move(id, c.fixAt(p)); r != location.Accepted {
		t.Fatalf("driver %s at %v: %s", id, p, r)
	}
}

func checkInvariants(t testing.TB, d *Drivers) {
	t.Helper()
	if err := d.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
}

func TestTwoRidersWantTheLastDriver(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	enterOnDuty(t, d, c, "d", lagoon)

	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			if d.Reserve("d", fmt.Sprint(i)) == nil {
				won.Add(1)
			}
		})
	}

	wg.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d riders got the last driver", won.Load())
	}
	if n := d.Nearest(lagoon, 10, 1e4, nil); len(n) != 0 {
		t.Fatalf("a held driver is still offered: %v", n)
	}

	checkInvariants(t, d)
}

func TestOnlyTheHolderReleases(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	enterOnDuty(t, d, c, "d", lagoon)
	if err := d.Reserve("d", "a"); err != nil {
		t.Fatal(err)
	}
	if d.Release("d", "b") || d.Release("unknown", "a") || d.Release("d", "") {
		t.Fatal("a stranger released the driver")
	}
	if !errors.Is(d.Reserve("d", "b"), ErrNotAvailable) || !errors.Is(d.Reserve("x", "b"), ErrNotAvailable) {
		t.Fatal("a held or unknown driver was held")
	}
	if c := d.Counts(); c.Reserved != 1 || c.NotReserved != 2 {
		t.Errorf("of three calls %d got the driver, %d did not", c.Reserved, c.NotReserved)
	}
	if !d.Release("d", "a") || d.Release("d", "a") {
		t.Fatal("a hold must end exactly once")
	}

	checkInvariants(t, d)
}

func TestSilentGoneAndOffDutyDriversAreNotOffered(t *testing.T) {
	for name, leave := range map[string]func(*Drivers, *clock){
		"silent":   func(_ *Drivers, c *clock) { c.advance(3*time.Second + time.Millisecond) },
		"gone":     func(d *Drivers, _ *clock) { d.Disconnect("d", "n1") },
		"off duty": func(d *Drivers, _ *clock) { d.SetAvailable("d", false) },
		"on trip":  func(d *Drivers, _ *clock) { d.Assign("d", "t", Reserved) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			d := newDriversAt(c)
			enterOnDuty(t, d, c, "d", lagoon)
			leave(d, c)
			if n := d.Nearest(lagoon, 1, 1e4, nil); len(n) != 0 {
				t.Fatalf("offered: %+v", n)
			}
			if n := d.FindAround(lagoon, 1e4, 10, nil); len(n) != 1 {
				t.Fatalf("not on the map: %+v", n)
			}

			checkInvariants(t, d)
		})
	}
}

func TestLateTripEventsDoNotBindADriverAgain(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	enterOnDuty(t, d, c, "d", lagoon)
	d.Assign("d", "t1", OnTrip)
	d.Assign("d", "t1", Reserved)
	if got, _ := d.Get("d"); got.Status != OnTrip {
		t.Fatalf("a late event took the trip back to %s", got.Status)
	}
	d.ClearTrip("d", "other")
	d.ClearTrip("d", "t1")
	d.Assign("d", "t1", Reserved)
	if got, _ := d.Get("d"); got.Status != Available || got.Trip != "" {
		t.Fatalf("a late event bound the driver: %+v", got)
	}
	checkInvariants(t, d)
}

func TestPhoneReconnectsElsewhereBeforeTheOldSocketDies(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	enterOnDuty(t, d, c, "d", lagoon)
	c.advance(time.Second)
	d.ApplyReplica(Driver{ID: "d", Node: "n2", Fix: c.fixAt(lagoon), ReceivedAt: c.now(), Status: Available, Connected: true})
	d.Disconnect("d", "n1")

	got, _ := d.Get("d")
	if !got.Connected || got.Node != "n2" || len(d.Nearest(lagoon, 1, 100, nil)) != 1 {
		t.Fatalf("the old socket's end took the driver away: %+v", got)
	}

	d.ApplyReplica(Driver{ID: "d", Node: "n1", Fix: location.Fix{Point: lagoon, At: c.now().Add(-time.Second)}})
	if got, _ := d.Get("d"); got.Node != "n2" {
		t.Fatal("an old mirror won")
	}
	checkInvariants(t, d)
}

func TestALateMirrorDoesNotPutADriverBackWhoCameHere(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	d.ApplyReplica(Driver{ID: "d", Node: "n2", Fix: c.fixAt(lagoon), ReceivedAt: c.now(), Status: Available, Connected: true})
	c.advance(time.Second)
	last := Driver{ID: "d", Node: "n2", Fix: c.fixAt(lagoon), ReceivedAt: c.now(), Status: Available, Connected: true}
	c.advance(time.Second)

	handle := d.Connect("d", "n1")
	d.ApplyReplica(last) // Sent before the driver came here.
	left := last
	left.Connected = false
	d.ApplyReplica(left)

	got, _ := d.Get("d")
	if got.Node != "n1" || !got.Connected || !got.Fix.At.Equal(last.Fix.At) {
		t.Errorf("a late mirror left %+v", got)
	}

	c.advance(time.Second)
	d.ApplyReplica(Driver{ID: "d", Node: "n2", Fix: c.fixAt(lagoon), ReceivedAt: c.now(), Status: Available, Connected: true})
	if got, _ := d.Get("d"); got.Node != "n2" {
		t.Errorf("the driver was heard at n2 later and is at %s", got.Node)
	}

	c.advance(time.Second)
	if why, _ := handle.Move(c.fixAt(lagoon), c.now()); why != location.Accepted {
		t.Fatal(why)
	}
	if got, _ := d.Get("d"); got.Node != "n1" || !got.Connected {
		t.Errorf("the driver's phone speaks here, and is at %s, connected: %v", got.Node, got.Connected)
	}

	checkInvariants(t, d)
}

func TestAMirrorDoesNotEndAHold(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	m := Driver{ID: "d", Node: "n2", Fix: c.fixAt(lagoon), ReceivedAt: c.now(), Status: Available, Connected: true}
	d.ApplyReplica(m)
	if err := d.Reserve("d", "o"); err != nil {
		t.Fatal(err)
	}

	c.advance(time.Second)
	m.Fix, m.ReceivedAt = c.fixAt(lagoon), c.now()
	d.ApplyReplica(m)
	if got, _ := d.Get("d"); got.Hold != "o" || got.Status != Offered {
		t.Fatalf("%+v", got)
	}
	checkInvariants(t, d)
}

func TestEveryChangeIsMirroredOnce(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	enterOnDuty(t, d, c, "a", lagoon)
	enterOnDuty(t, d, c, "b", lagoon)
	d.Connect("c", "n2")

	if got := d.TakeChanged(nil); len(got) != 0 {
		t.Fatalf("%d drivers while nothing is tracked", len(got))
	}
	if got := d.DriversOf("n1", nil); len(got) != 2 {
		t.Fatalf("%d drivers at first", len(got))
	}

	d.SetTracking(true)
	d.SetAvailable("b", false)
	d.SetAvailable("b", true)
	d.SetAvailable("b", false)
	d.SetAvailable("c", true)
	got := d.TakeChanged(nil)
	if len(got) != 1 || got[0].ID != "b" || got[0].Status != NonOperational {
		t.Fatalf("after changes of one driver: %+v", got)
	}
	if got = d.TakeChanged(nil); len(got) != 0 {
		t.Fatalf("after none: %+v", got)
	}
}

func TestStrangersFixesAreRefusedAndCounted(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	if r := d.Move("x", c.fixAt(lagoon)); r != UnknownDriver {
		t.Fatalf("got %q", r)
	}

	enterOnDuty(t, d, c, "d", lagoon)
	c.advance(time.Second)
	if r := d.Move("d", c.fixAt(location.Point{Lng: 4, Lat: 6})); r != location.Teleport {
		t.Fatalf("got %q", r)
	}

	n := d.Counts()
	if n.Rejected[UnknownDriver] != 1 || n.Rejected[location.Teleport] != 1 || n.Accepted != 1 || n.Status[Available] != 1 {
		t.Fatalf("%+v", n)
	}

	checkInvariants(t, d)
}

func TestForgottenDriversLeaveNoTrace(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	enterOnDuty(t, d, c, "stays", lagoon)
	enterOnDuty(t, d, c, "goes", lagoon)
	d.Disconnect("goes", "n1")
	c.advance(time.Hour)
	if n := d.RemoveInactive(c.now()); n != 1 {
		t.Fatalf("swept %d", n)
	}
	if _, ok := d.Get("goes"); ok || d.Counts().Drivers != 1 {
		t.Fatal("still there")
	}

	checkInvariants(t, d)
}

// TestNearestIsExact compares with brute force, for crowds and lonely drivers,
// near and far, anywhere except at the poles.
func TestNearestIsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		d := newDriversAt(c)
		centre := location.Point{Lng: rapid.Float64Range(-180, 180).Draw(rt, "lng"), Lat: rapid.Float64Range(-70, 70).Draw(rt, "lat")}
		spread := rapid.SampledFrom([]float64{0.002, 0.02, 0.2}).Draw(rt, "spread")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		at := func() location.Point {
			p := location.Point{Lng: centre.Lng + (rng.Float64()-.5)*spread, Lat: centre.Lat + (rng.Float64()-.5)*spread}
			if p.Lng > 180 {
				p.Lng -= 360
			} else if p.Lng < -180 {
				p.Lng += 360
			}
			return p
		}

		all := map[trips.DriverID]location.Point{}
		for i := range rapid.IntRange(0, 400).Draw(rt, "drivers") {
			id := trips.DriverID(fmt.Sprint(i))
			all[id] = at()
			enterOnDuty(t, d, c, id, all[id])
		}

		for id := range all { // Each driver moves once.
			if c.advance(time.Second); rng.IntN(2) == 0 {
				p := all[id]
				p.Lat += (rng.Float64() - .5) * 0.001
				if d.Move(id, location.Fix{Point: p, At: c.now()}) == location.Accepted {
					all[id] = p
				}
			}
		}

		d.opts.SuspectAfter = time.Hour
		k, limit := rapid.IntRange(1, 20).Draw(rt, "k"), rapid.SampledFrom([]float64{100, 1000, 5000, 30000}).Draw(rt, "limit")
		for range 5 {
			q := at()
			compareWithBruteForce(rt, all, q, k, limit, d.Nearest(q, k, limit, nil))
		}

		checkInvariants(t, d)
	})
}

func compareWithBruteForce(t *rapid.T, all map[trips.DriverID]location.Point, q location.Point, k int, limit float64, got []NearbyDriver) {
	var want []float64
	for _, p := range all {
		if m := location.MetresBetween(q, p); m <= limit {
			want = append(want, m)
		}
	}

	slices.Sort(want)
	want = want[:min(k, len(want))]
	if len(got) != len(want) {
		t.Fatalf("found %d, brute force %d", len(got), len(want))
	}

	for i := range got {
		if diff := got[i].Metres - want[i]; diff > 0.1 || diff < -0.1 {
			t.Fatalf("place %d: %.3f m, brute force %.3f m", i, got[i].Metres, want[i])
		}
	}

	if !slices.IsSortedFunc(got, func(a, b NearbyDriver) int { return cmp.Compare(a.Metres, b.Metres) }) {
		t.Fatal("not sorted")
	}
}

// TestAllMethodsAtOnce calls all methods concurrently on few drivers, then lets
// the state check itself.
func TestAllMethodsAtOnce(t *testing.T) {
	d := NewDrivers(DriverOptions{SuspectAfter: time.Hour, FixFilter: location.FixFilter{MaxSpeed: 1e9, MaxAccuracy: 1, MaxAhead: time.Hour, MaxAge: time.Hour}})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			for range 3000 {
				callAtRandom(d, rng)
			}
		})
	}

	wg.Wait()
	checkInvariants(t, d)
}

func callAtRandom(d *Drivers, rng *rand.Rand) {
	id := trips.DriverID(fmt.Sprint(rng.IntN(20)))
	word := fmt.Sprint(rng.IntN(3))
	p := location.Point{Lng: lagoon.Lng + rng.Float64()*.02, Lat: lagoon.Lat + rng.Float64()*.02}
	switch rng.IntN(12) {
	case 0:
		d.Connect(id, "n"+word)
	case 1:
		d.Disconnect(id, "n"+word)
	case 2, 3, 4:
		d.Move(id, location.Fix{Point: p, At: time.Now()})
	case 5:
		d.SetAvailable(id, rng.IntN(4) > 0)
	case 6:
		_ = d.Reserve(id, word)
	case 7:
		d.Release(id, word)
	case 8:
		d.Assign(id, trips.TripID(word), Reserved)
		d.ClearTrip(id, trips.TripID(word))
	case 9:
		d.Nearest(p, 5, 3000, nil)
		d.FindAround(p, 3000, 5, nil)
	case 10:
		d.ApplyReplica(Driver{ID: id, Node: "n" + word, Fix: location.Fix{Point: p, At: time.Now()}, ReceivedAt: time.Now(), Connected: true, Status: Available})
	case 11:
		d.DriversOf("n1", nil)
		d.SetTracking(rng.IntN(4) > 0)
		d.Touch(id)
		d.RemoveUnheard(time.Now().Add(-time.Millisecond), time.Now().Add(-time.Millisecond))
		d.RemoveInactive(time.Now().Add(-time.Millisecond))
	}
}

// holdCall is one call of Reserve or Release in a history.
type holdCall struct {
	release bool
	offerID string
}

// TestHoldsAreLinearizable checks recorded histories with porcupine against a
// model that handles one call at a time.
func TestHoldsAreLinearizable(t *testing.T) {
	model := porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, in, out any) (bool, any) {
			held, h, ok := state.(string), in.(holdCall), out.(bool)
			if h.release {
				if held == h.offerID {
					return ok, ""
				}
				return !ok, held
			}

			if held == "" {
				return ok, h.offerID
			}
			return !ok, held
		},
	}

	for round := range 30 {
		c := newClock()
		d := newDriversAt(c)
		enterOnDuty(t, d, c, "d", lagoon)
		if !porcupine.CheckOperations(model, recordHolds(d, uint64(round))) {
			t.Fatal("no order of these calls explains their answers")
		}
	}
}

func recordHolds(d *Drivers, seed uint64) []porcupine.Operation {
	var mu sync.Mutex
	var ops []porcupine.Operation

	start := time.Now()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for range 50 {
				h := holdCall{release: rng.IntN(2) == 0, offerID: fmt.Sprint(rng.IntN(3))}
				call := time.Since(start)

				ok := false
				if h.release {
					ok = d.Release("d", h.offerID)
				} else {
					ok = d.Reserve("d", h.offerID) == nil
				}

				end := time.Since(start)
				mu.Lock()
				ops = append(ops, porcupine.Operation{ClientId: w, Input: h, Call: int64(call), Output: ok, Return: int64(end)})
				mu.Unlock()
			}
		})
	}

	wg.Wait()
	return ops
}
