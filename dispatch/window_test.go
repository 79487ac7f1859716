package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// inWindows lets the town gather its requests.
func inWindows(c *Config) {
	c.Policy = Policy{Name: BatchedPolicy, Picker: LeastWait{}, Window: DefaultWindow}
}

func TestALoneRiderDoesNotWaitForAWindowToFill(t *testing.T) {
	inTown(t, metresOf{"near": 300, "far": 900}, func(w *town) {
		w.request("r1", true)
		w.wantOffered("near")
		w.accept(w.last(), true)
		w.pass(DefaultWindow)
		w.request("r2", true)
		w.wantOffered("near", "far")
	}, inWindows)
}

func TestRidersOfOneWindowAreServedTogetherWhenItCloses(t *testing.T) {
	inTown(t, metresOf{"a": 300, "b": 900, "c": 1000}, func(w *town) {
		w.request("r1", true)
		w.wantOffered("a")
		w.request("r2", true)
		w.request("r3", true)
		w.pass(DefaultWindow - time.Millisecond)
		w.wantOffered("a")
		w.pass(time.Millisecond)
		got := w.offered()
		slices.Sort(got)
		if !slices.Equal(got, []trips.DriverID{"a", "b", "c"}) {
			t.Errorf("asked %v", got)
		}
	}, inWindows)
}

func TestADeclineIsForTheNextWindow(t *testing.T) {
	inTown(t, metresOf{"a": 300, "b": 900}, func(w *town) {
		w.request("r1", true)
		w.decline(w.last())
		w.wantOffered("a")
		w.pass(DefaultWindow)
		w.wantOffered("a", "b")
	}, inWindows)
}

func TestWhoeverCancelsWhileTheWindowIsOpenTakesNobodysDriver(t *testing.T) {
	inTown(t, metresOf{"a": 300, "b": 400}, func(w *town) {
		w.request("r1", true)
		w.accept(w.last(), true)
		quitter := w.request("r2", true)
		w.request("r3", true)
		w.cancel(quitter, "r2", true)
		w.wantSearches(1)
		w.pass(DefaultWindow)
		w.wantOffered("a", "b")
		w.wantWithdrawn()
	}, inWindows)
}

func TestAPairThatNobodyCanDriveIsNoPair(t *testing.T) {
	eta := etaFunc(func(_ context.Context, from []location.Point, _ location.Point) ([]time.Duration, string, error) {
		return slices.Repeat([]time.Duration{1 << 62}, len(from)), "road", nil
	})
	if pairs := (LeastWait{ETA: eta}).Pick(t.Context(), []Ask{{Waited: time.Hour, Near: []sharedstate.Near{near("island", 10)}}}); len(pairs) > 0 {
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
			p := pickOne(t, LeastWait{ETA: eta}, window)
			if p.Driver.ID != "by_air" || p.Pickup == 0 || time.Since(start) > defaultETADeadline {
				t.Errorf("%s: picked %+v after %v", name, p, time.Since(start))
			}
		})
	}
}

func TestAFarPickupIsPutOffUntilTheRiderHasWaitedLong(t *testing.T) {
	far := []sharedstate.Near{near("far", 6000)}
	for waited, want := range map[time.Duration]int{0: 0, time.Minute: 0, DefaultLastCall: 1} {
		if pairs := (LeastWait{}).Pick(t.Context(), []Ask{{Waited: waited, Near: far}}); len(pairs) != want {
			t.Errorf("after %v: %d pairs", waited, len(pairs))
		}
	}
}

func TestOfTwoDriversAlikeTheOneWhoWaitedLongerGoes(t *testing.T) {
	patient := near("patient", 310)
	patient.Idle = 10 * time.Minute
	if p := pickOne(t, LeastWait{}, []Ask{{Near: []sharedstate.Near{near("fresh", 300), patient}}}); p.Driver.ID != "patient" {
		t.Errorf("picked %+v", p.Driver)
	}
	if p := pickOne(t, LeastWait{Weights: Weights{Idle: -1}}, []Ask{{Near: []sharedstate.Near{near("fresh", 300), patient}}}); p.Driver.ID != "fresh" {
		t.Errorf("without weight, picked %+v", p.Driver)
	}
}

// A city in which one driver comes free in each window, always next door to a newcomer and far from everybody who waits:
// the unluckiest rider still gets a driver.
func TestNobodyStarves(t *testing.T) {
	const windows = 400
	type rider struct {
		id   trips.TripID
		came time.Duration
	}
	var waiting []rider
	longest := time.Duration(0)
	for n := range windows {
		now := time.Duration(n) * DefaultWindow
		if n%100 < 90 { // more come than are served, and now and then the queue gets shorter
			waiting = append(waiting, rider{trips.TripID(fmt.Sprint("t", n)), now})
		}
		window := make([]Ask, len(waiting))
		for i, r := range waiting {
			metres := 5500.0
			if i == len(waiting)-1 {
				metres = 10
			}
			window[i] = Ask{Trip: trips.Trip{ID: r.id}, Waited: now - r.came, Near: []sharedstate.Near{near("d", metres)}}
		}
		if n%2 == 1 {
			continue
		}
		for _, p := range (LeastWait{}).Pick(t.Context(), window) {
			i := slices.IndexFunc(waiting, func(r rider) bool { return r.id == p.Trip })
			longest = max(longest, now-waiting[i].came)
			waiting = slices.Delete(waiting, i, i+1)
		}
	}
	// Whoever reached the last call is served in turn: no one still waits who came before somebody served a bound ago.
	for _, r := range waiting {
		if behind := windows*DefaultWindow - r.came; behind > longest+2*DefaultLastCall {
			t.Errorf("%s has waited for %v, and others were served after %v at most", r.id, behind, longest)
		}
	}
}

func TestTheWindowsTotalIsNeverMoreThanGreedsNorThanAnyOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drivers, metres := rapid.IntRange(1, 4).Draw(t, "drivers"), rapid.Float64Range(0, 8000)
		var window []Ask
		for i := range rapid.IntRange(1, 4).Draw(t, "trips") {
			ask := Ask{Trip: trips.Trip{ID: trips.TripID(fmt.Sprint("t", i))},
				Waited: time.Duration(rapid.Int64Range(0, 170).Draw(t, "waited")) * time.Second}
			for d := range drivers {
				n := near(trips.DriverID(fmt.Sprint("d", d)), metres.Draw(t, "metres"))
				n.Idle = time.Duration(d) * time.Minute
				ask.Near = append(ask.Near, n)
			}
			window = append(window, ask)
		}
		got := total(t, window, (LeastWait{}).Pick(context.Background(), window))
		if greedy := total(t, window, (NearestByRoad{}).Pick(context.Background(), window)); got > greedy {
			t.Errorf("%v, by greed %v", got, greedy)
		}
		if best := cheapest(window, 0, map[trips.DriverID]bool{}); got > best+time.Duration(len(window))*2*time.Millisecond {
			t.Errorf("%v, and %v is possible", got, best)
		}
	})
}

// total is what pairs cost, and the trips left out.
func total(t *rapid.T, window []Ask, pairs []Pair) (sum time.Duration) {
	taken := map[trips.DriverID]bool{}
	of := map[trips.TripID]Pair{}
	for _, p := range pairs {
		if taken[p.Driver.ID] || of[p.Trip].Trip != "" {
			t.Fatalf("paired twice: %+v", p)
		}
		taken[p.Driver.ID], of[p.Trip] = true, p
	}
	for _, ask := range window {
		if p, ok := of[ask.Trip.ID]; ok {
			sum += (Weights{}).cost(guessed(p.Driver), p.Driver.Idle)
		} else {
			sum += (Weights{}).skip(ask.Waited)
		}
	}
	return sum
}

// cheapest tries everything.
func cheapest(window []Ask, i int, taken map[trips.DriverID]bool) time.Duration {
	if i == len(window) {
		return 0
	}
	best := (Weights{}).skip(window[i].Waited) + cheapest(window, i+1, taken)
	for _, n := range window[i].Near {
		if !taken[n.ID] {
			taken[n.ID] = true
			best = min(best, (Weights{}).cost(guessed(n), n.Idle)+cheapest(window, i+1, taken))
			delete(taken, n.ID)
		}
	}
	return best
}
