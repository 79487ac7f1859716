package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// withWindows makes the town gather its requests in windows.
func withWindows(c *Config) {
	c.Policy = Policy{Name: BatchedPolicy, Matcher: MinCostMatcher{}, Window: DefaultWindow}
}

func TestALoneRiderDoesNotWaitForAWindowToFill(t *testing.T) {
	runInTown(t, metresOf{"near": 300, "far": 900}, func(w *testTown) {
		w.requestTrip("r1", true)
		w.wantOffered("near")
		w.acceptOffer(w.lastOffer(), true)
		w.advance(DefaultWindow)
		w.requestTrip("r2", true)
		w.wantOffered("near", "far")
	}, withWindows)
}

func TestRidersOfOneWindowAreServedTogetherWhenItCloses(t *testing.T) {
	runInTown(t, metresOf{"a": 300, "b": 900, "c": 1000}, func(w *testTown) {
		w.requestTrip("r1", true)
		w.wantOffered("a")
		w.requestTrip("r2", true)
		w.requestTrip("r3", true)
		w.advance(DefaultWindow - time.Millisecond)
		w.wantOffered("a")
		w.advance(time.Millisecond)
		got := w.offeredDrivers()
		slices.Sort(got)
		if !slices.Equal(got, []trips.DriverID{"a", "b", "c"}) {
			t.Errorf("asked %v", got)
		}
	}, withWindows)
}

func TestADeclineIsForTheNextWindow(t *testing.T) {
	runInTown(t, metresOf{"a": 300, "b": 900}, func(w *testTown) {
		w.requestTrip("r1", true)
		w.declineOffer(w.lastOffer())
		w.wantOffered("a")
		w.advance(DefaultWindow)
		w.wantOffered("a", "b")
	}, withWindows)
}

func TestARiderWhoCancelsInAnOpenWindowTakesNoDriver(t *testing.T) {
	runInTown(t, metresOf{"a": 300, "b": 400}, func(w *testTown) {
		w.requestTrip("r1", true)
		w.acceptOffer(w.lastOffer(), true)
		quitter := w.requestTrip("r2", true)
		w.requestTrip("r3", true)
		w.cancelTrip(quitter, "r2", true)
		w.wantSearches(1)
		w.advance(DefaultWindow)
		w.wantOffered("a", "b")
		w.wantWithdrawn()
	}, withWindows)
}

func TestAnUnreachablePickupIsNoPair(t *testing.T) {
	eta := etaFunc(func(_ context.Context, from []location.Point, _ location.Point) ([]time.Duration, string, error) {
		return slices.Repeat([]time.Duration{1 << 62}, len(from)), "road", nil
	})
	if pairs := (MinCostMatcher{ETA: eta}).MatchWindow(t.Context(), []Candidates{{Waited: time.Hour, Nearby: []sharedstate.NearbyDriver{nearbyDriver("island", 10)}}}); len(pairs) > 0 {
		t.Errorf("paired %+v", pairs)
	}
}

func TestAWindowIsMatchedThoughTravelTimesFailOrHang(t *testing.T) {
	hanging := etaFunc(func(ctx context.Context, _ []location.Point, _ location.Point) ([]time.Duration, string, error) {
		<-ctx.Done()
		return nil, "", ctx.Err()
	})
	failing := etaFunc(func(context.Context, []location.Point, location.Point) ([]time.Duration, string, error) {
		return nil, "", errors.New("no routing")
	})
	short := etaFunc(func(context.Context, []location.Point, location.Point) ([]time.Duration, string, error) {
		return []time.Duration{}, "road", nil
	})
	for name, eta := range map[string]ETA{"none": nil, "failing": failing, "too few": short, "hanging": hanging} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			p := pickOne(t, MinCostMatcher{ETA: eta}, twoDrivers)
			if p.Driver.ID != "by_air" || p.PickupTime == 0 || time.Since(start) > defaultETADeadline {
				t.Errorf("%s: picked %+v after %v", name, p, time.Since(start))
			}
		})
	}
}

func TestAFarPickupIsPutOffUntilTheRiderHasWaitedLong(t *testing.T) {
	far := []sharedstate.NearbyDriver{nearbyDriver("far", 6000)}
	for waited, want := range map[time.Duration]int{0: 0, time.Minute: 0, DefaultMaxWait: 1} {
		if pairs := (MinCostMatcher{}).MatchWindow(t.Context(), []Candidates{{Waited: waited, Nearby: far}}); len(pairs) != want {
			t.Errorf("after %v: %d pairs", waited, len(pairs))
		}
	}
}

func TestWhereTheCityRunsFasterAWaitIsLonger(t *testing.T) {
	far := []Candidates{{Waited: DefaultMaxWait / 5, Nearby: []sharedstate.NearbyDriver{nearbyDriver("far", 6000)}}}
	if pairs := (MinCostMatcher{}).MatchWindow(t.Context(), far); len(pairs) != 0 {
		t.Errorf("by the clock: %+v", pairs)
	}
	if pairs := (MinCostMatcher{Pace: 5}).MatchWindow(t.Context(), far); len(pairs) != 1 {
		t.Error("five times as fast, no driver is sent")
	}

	for pace, want := range map[float64]time.Duration{0: DefaultWindow, 1: DefaultWindow, 5: DefaultWindow / 5} {
		if p, err := NewPolicy(BatchedPolicy, nil, pace); err != nil || p.Window != want {
			t.Errorf("%v times as fast: a window of %v, %v", pace, p.Window, err)
		}
	}
}

func TestOfTwoDriversAlikeTheOneWhoWaitedLongerGoes(t *testing.T) {
	patient := nearbyDriver("patient", 310)
	patient.Idle = 10 * time.Minute
	if p := pickOne(t, MinCostMatcher{}, []Candidates{{Nearby: []sharedstate.NearbyDriver{nearbyDriver("fresh", 300), patient}}}); p.Driver.ID != "patient" {
		t.Errorf("picked %+v", p.Driver)
	}
	if p := pickOne(t, MinCostMatcher{Weights: Weights{IdleWeight: -1}}, []Candidates{{Nearby: []sharedstate.NearbyDriver{nearbyDriver("fresh", 300), patient}}}); p.Driver.ID != "fresh" {
		t.Errorf("without weight, picked %+v", p.Driver)
	}
}

func TestALongWaitTakesNoDriverFromANearRider(t *testing.T) {
	late := Candidates{Trip: trips.Trip{ID: "late"}, Waited: DefaultMaxWait, Nearby: []sharedstate.NearbyDriver{nearbyDriver("d", 6000)}}
	here := Candidates{Trip: trips.Trip{ID: "here"}, Nearby: []sharedstate.NearbyDriver{nearbyDriver("d", 100)}}
	if p := pickOne(t, MinCostMatcher{}, []Candidates{late, here}); p.Trip != "here" {
		t.Errorf("%s got the driver", p.Trip)
	}

	late.Nearby = append(late.Nearby, nearbyDriver("further", 6500))
	if pairs := (MinCostMatcher{}).MatchWindow(t.Context(), []Candidates{late, here}); len(pairs) != 2 || pairs[0].Driver.ID != "further" {
		t.Errorf("paired %+v", pairs)
	}
}

func TestAfterALongWaitTheNearestFarDriverComes(t *testing.T) {
	late := Candidates{Trip: trips.Trip{ID: "late"}, Waited: DefaultMaxWait, Nearby: []sharedstate.NearbyDriver{nearbyDriver("e", 9000), nearbyDriver("d", 8990)}}
	if p := pickOne(t, MinCostMatcher{}, []Candidates{late}); p.Driver.ID != "d" {
		t.Errorf("%s comes", p.Driver.ID)
	}
}

// One driver comes free in every second window of a city, always next to a
// newcomer and far from all who wait. No waiting rider may be passed over by a
// rider who is younger by more than the bound.
func TestNoRiderStarves(t *testing.T) {
	const windows, far = 3000, 5500.0
	type rider struct {
		id   trips.TripID
		came time.Duration
	}
	bound := scaleDuration(estimatePickup(nearbyDriver("d", far)), 1/DefaultWaitWeight)
	var waiting []rider
	served := 0
	for n := range windows {
		now := time.Duration(n) * DefaultWindow
		if n%100 < 90 { // More riders come than are served.
			waiting = append(waiting, rider{trips.TripID(fmt.Sprint("t", n)), now})
		}
		window := make([]Candidates, len(waiting))
		for i, r := range waiting {
			metres := far
			if i == len(waiting)-1 {
				metres = 10
			}
			window[i] = Candidates{Trip: trips.Trip{ID: r.id}, Waited: now - r.came, Nearby: []sharedstate.NearbyDriver{nearbyDriver("d", metres)}}
		}

		if n%2 == 1 {
			continue
		}
		for _, p := range (MinCostMatcher{}).MatchWindow(t.Context(), window) {
			i := slices.IndexFunc(waiting, func(r rider) bool { return r.id == p.Trip })
			if passed := waiting[i].came - waiting[0].came; passed > bound {
				t.Fatalf("%s was passed over by a rider %v younger, more than %v", waiting[0].id, passed, bound)
			}
			if i < len(waiting)-1 {
				served++
			}
			waiting = slices.Delete(waiting, i, i+1)
		}
	}

	if served == 0 {
		t.Errorf("no rider far away was served in %v; the bound is %v", windows*DefaultWindow, bound)
	}
}

// The matcher rounds each pair's cost to whole microseconds and is exact in
// that unit. So the totals are sums of whole microseconds too, rounded pair by
// pair, and are compared without a tolerance. Sums of unrounded costs may
// differ by less than a microsecond per pair in either direction.
func TestTheWindowsTotalIsNeverMoreThanGreedsNorThanAnyOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drivers, metres := rapid.IntRange(1, 4).Draw(t, "drivers"), rapid.Float64Range(0, 8000)
		var window []Candidates
		for i := range rapid.IntRange(1, 4).Draw(t, "trips") {
			ask := Candidates{Trip: trips.Trip{ID: trips.TripID(fmt.Sprint("t", i))},
				Waited: time.Duration(rapid.Int64Range(0, 170).Draw(t, "waited")) * time.Second}
			for d := range drivers {
				n := nearbyDriver(trips.DriverID(fmt.Sprint("d", d)), metres.Draw(t, "metres"))
				n.Idle = time.Duration(d) * time.Minute
				ask.Nearby = append(ask.Nearby, n)
			}

			window = append(window, ask)
		}

		got := totalCost(t, window, (MinCostMatcher{}).MatchWindow(context.Background(), window))
		if greedy := totalCost(t, window, (GreedyMatcher{}).MatchWindow(context.Background(), window)); got > greedy {
			t.Errorf("%d µs, by greed %d µs", got, greedy)
		}
		if best := cheapestByBruteForce(window, 0, map[trips.DriverID]bool{}); got != best {
			t.Errorf("%d µs, and %d µs is possible", got, best)
		}
	})
}

// wholePairCost is the cost of a pair in microseconds, with default weights.
func wholePairCost(ask Candidates, n sharedstate.NearbyDriver) int64 {
	return (Weights{}).pairCost(ask.Waited, estimatePickup(n), n.Idle).Microseconds()
}

// wholeSkipCost is the cost of leaving a trip out, in microseconds.
func wholeSkipCost(ask Candidates) int64 { return (Weights{}).skipCost(ask.Waited).Microseconds() }

// totalCost is what the pairs and the trips left out cost, in microseconds.
func totalCost(t *rapid.T, window []Candidates, pairs []Assignment) (sum int64) {
	taken := map[trips.DriverID]bool{}
	of := map[trips.TripID]Assignment{}
	for _, p := range pairs {
		if taken[p.Driver.ID] || of[p.Trip].Trip != "" {
			t.Fatalf("paired twice: %+v", p)
		}
		taken[p.Driver.ID], of[p.Trip] = true, p
	}

	for _, ask := range window {
		if p, ok := of[ask.Trip.ID]; ok {
			sum += wholePairCost(ask, p.Driver)
		} else {
			sum += wholeSkipCost(ask)
		}
	}

	return sum
}

// cheapestByBruteForce tries every matching of the trips from i on. It returns
// the least cost in microseconds.
func cheapestByBruteForce(window []Candidates, i int, taken map[trips.DriverID]bool) int64 {
	if i == len(window) {
		return 0
	}
	best := wholeSkipCost(window[i]) + cheapestByBruteForce(window, i+1, taken)
	for _, n := range window[i].Nearby {
		if !taken[n.ID] {
			taken[n.ID] = true
			best = min(best, wholePairCost(window[i], n)+cheapestByBruteForce(window, i+1, taken))
			delete(taken, n.ID)
		}
	}

	return best
}

func TestADriverIsLeftToAnOlderTripThatWaitsElsewhere(t *testing.T) {
	var elsewhere atomic.Pointer[[]trips.Trip]
	setElsewhere := func(id trips.TripID) {
		elsewhere.Store(&[]trips.Trip{{ID: id, State: trips.Requested, RequestedAt: time.Now().Add(-time.Minute)}})
	}
	runInTown(t, metresOf{"a": 300}, func(w *testTown) {
		setElsewhere("rival")
		w.requestTrip("r1", true)
		w.advance(DefaultWindow)
		w.wantOffered()

		if waiting := w.dispatcher.WaitingTrips(nil); len(waiting) != 1 || waiting[0].Rider != "r1" {
			t.Errorf("waiting here: %v", waiting)
		}

		// The same trip, told by a dispatcher that has lost the region, is none.
		setElsewhere(w.dispatcher.WaitingTrips(nil)[0].ID)
		w.advance(DefaultWindow)
		w.wantOffered("a")
		if waiting := w.dispatcher.WaitingTrips(nil); len(waiting) != 0 {
			t.Errorf("waiting here: %v", waiting)
		}
	}, withWindows, func(c *Config) { c.WaitingElsewhere = func() []trips.Trip { return slices.Clone(*elsewhere.Load()) } })
}
