package dispatch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// etaFunc is an ETA made of the function Times.
type etaFunc func(ctx context.Context, from []location.Point, to location.Point) ([]time.Duration, string, error)

func (f etaFunc) Times(ctx context.Context, from []location.Point, to location.Point) ([]time.Duration, string, error) {
	return f(ctx, from, to)
}

// Matrix asks column by column.
func (f etaFunc) Matrix(ctx context.Context, from, to []location.Point) ([][]time.Duration, string, error) {
	out, source := make([][]time.Duration, len(from)), "road"
	for _, p := range to {
		times, of, err := f(ctx, from, p)
		source = of
		if err != nil || len(times) != len(from) {
			return nil, source, err
		}
		for i, t := range times {
			out[i] = append(out[i], t)
		}
	}
	return out, source, nil
}

func nearbyDriver(id trips.DriverID, metres float64) sharedstate.NearbyDriver {
	n := sharedstate.NearbyDriver{Metres: metres}
	n.ID = id
	return n
}

// twoDrivers is a window of one trip, whose nearest driver by air and by road
// differ if the travel times say so.
var twoDrivers = []Candidates{{Trip: trips.Trip{ID: "t1"}, Nearby: []sharedstate.NearbyDriver{nearbyDriver("by_air", 100), nearbyDriver("by_road", 300)}}}

// pickOne matches the window and checks that one pair comes of it.
func pickOne(t *testing.T, p Matcher, window []Candidates) Assignment {
	t.Helper()
	pairs := p.MatchWindow(t.Context(), window)
	if len(pairs) != 1 {
		t.Fatalf("%d pairs, want 1", len(pairs))
	}
	return pairs[0]
}

func TestTheDriverAcrossTheLagoonIsNotTheNearest(t *testing.T) {
	eta := etaFunc(func(context.Context, []location.Point, location.Point) ([]time.Duration, string, error) {
		return []time.Duration{20 * time.Minute, time.Minute}, "road", nil
	})
	if p := pickOne(t, GreedyMatcher{ETA: eta}, twoDrivers); p.Driver.ID != "by_road" || p.PickupTime != time.Minute || p.Trip != "t1" {
		t.Errorf("picked %+v", p)
	}
}

func TestWithoutTravelTimesTheNearestByAirIsPicked(t *testing.T) {
	short := etaFunc(func(context.Context, []location.Point, location.Point) ([]time.Duration, string, error) {
		return []time.Duration{1}, "road", nil
	})
	failing := etaFunc(func(context.Context, []location.Point, location.Point) ([]time.Duration, string, error) {
		return nil, "", errors.New("no routing")
	})
	for name, eta := range map[string]ETA{"none": nil, "failing": failing, "too few": short} {
		if p := pickOne(t, GreedyMatcher{ETA: eta}, twoDrivers); p.Driver.ID != "by_air" || p.PickupTime != 0 {
			t.Errorf("%s: picked %+v", name, p)
		}
	}
}

func TestSlowTravelTimesDoNotHoldUpTheSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging := etaFunc(func(ctx context.Context, _ []location.Point, _ location.Point) ([]time.Duration, string, error) {
			<-ctx.Done()
			return nil, "", ctx.Err()
		})
		start := time.Now()
		if p := pickOne(t, GreedyMatcher{ETA: hanging}, twoDrivers); p.Driver.ID != "by_air" || time.Since(start) != defaultETADeadline {
			t.Errorf("picked %+v after %v", p, time.Since(start))
		}
	})
}

func TestAWindowOfTwoTripsNeverPairsOneDriverTwice(t *testing.T) {
	both := []Candidates{{Trip: trips.Trip{ID: "t1"}, Nearby: []sharedstate.NearbyDriver{nearbyDriver("a", 1), nearbyDriver("b", 2)}},
		{Trip: trips.Trip{ID: "t2"}, Nearby: []sharedstate.NearbyDriver{nearbyDriver("a", 1), nearbyDriver("b", 2)}},
		{Trip: trips.Trip{ID: "t3"}, Nearby: []sharedstate.NearbyDriver{nearbyDriver("a", 1), nearbyDriver("b", 2)}}}
	pairs := GreedyMatcher{}.MatchWindow(t.Context(), both)
	if len(pairs) != 2 || pairs[0].Driver.ID != "a" || pairs[1].Driver.ID != "b" {
		t.Errorf("pairs %+v", pairs)
	}
}
