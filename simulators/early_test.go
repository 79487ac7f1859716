package simulators

import (
	"cmp"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// requestedRides runs riders until enough of their rides are requested, and
// returns these from west to east.
func requestedRides(t *testing.T, cfg RiderConfig, enough func(rides []*wire.RequestTrip) bool) []*wire.RequestTrip {
	t.Helper()
	var rides []*wire.RequestTrip
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		switch {
		case f.GetHello() != nil:
			c.sendWelcome(&wire.Welcome{Role: client.RoleRider})
		case f.GetRequestTrip() != nil:
			rides = append(rides, f.GetRequestTrip())
		}
	})
	stop := startRiders(t, n, cfg)
	n.waitUntil("the rides are requested", func() bool { return enough(rides) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	requested := slices.Clone(rides)
	slices.SortFunc(requested, func(a, b *wire.RequestTrip) int { return cmp.Compare(a.Pickup.Lng, b.Pickup.Lng) })
	return requested
}

func TestEarlyRidesAreShortStartAtOnceAndFollowTheSeed(t *testing.T) {
	const early = 20
	cfg := RiderConfig{Count: 60, PerMinute: 1e-6, Speed: 1, Seed: 3, EarlyRides: early}
	all := func(rides []*wire.RequestTrip) bool { return len(rides) == early }
	rides, again := requestedRides(t, cfg, all), requestedRides(t, cfg, all)
	cfg.Seed = 4
	others := requestedRides(t, cfg, all)

	router := routing.NewRouter(testCity())
	for i, r := range rides {
		way, err := router.Route(t.Context(), pointOf(r.Pickup), pointOf(r.Dropoff))
		if s := way.Duration.Seconds(); err != nil || s < minEarlySeconds || s > maxEarlySeconds {
			t.Errorf("ride %d takes %.0f s, %v", i, s, err)
		}
		if pointOf(r.Pickup) != pointOf(again[i].Pickup) || pointOf(r.Dropoff) != pointOf(again[i].Dropoff) {
			t.Errorf("ride %d differs with the same seed", i)
		}
		if pointOf(r.Pickup) == pointOf(others[i].Pickup) {
			t.Errorf("ride %d is the same with another seed", i)
		}
	}
}

// The rides of the hours after the start are the same with early rides and
// without: the steady city does not change.
func TestEarlyRidesDoNotChangeTheOthers(t *testing.T) {
	cfg := RiderConfig{Count: 60, PerMinute: 300, Speed: 60, Seed: 3}
	ordinary := requestedRides(t, cfg, func(rides []*wire.RequestTrip) bool { return len(rides) >= 12 })
	cfg.EarlyRides = 5
	requestedRides(t, cfg, func(mixed []*wire.RequestTrip) bool {
		for _, r := range ordinary {
			if !slices.ContainsFunc(mixed, func(m *wire.RequestTrip) bool {
				return proto.Equal(m.Pickup, r.Pickup) && proto.Equal(m.Dropoff, r.Dropoff)
			}) {
				return false
			}
		}
		return true
	})
}
