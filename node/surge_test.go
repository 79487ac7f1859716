package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

func TestANodesPricesFollowTheRequestsItHearsOfAndTheDriversItKnows(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time { return now }
	drivers := sharedstate.NewDrivers(sharedstate.DriverOptions{Now: clock})
	p := newSurgeUpdater(drivers, clock, prometheus.NewRegistry())
	market := location.Point{Lng: 3.38, Lat: 6.45}
	made := 0
	pass := func(ticks, requests, told int) {
		for range ticks {
			for range requests {
				made++
				ev := trips.Event{Kind: trips.KindRequested, Trip: trips.Trip{ID: trips.TripID(fmt.Sprint(made)), Pickup: market}}
				for range told {
					p.onTripEvent(ev)
				}
				p.onTripEvent(trips.Event{Kind: trips.KindReserved, Trip: ev.Trip})
			}

			now = now.Add(surgeEvery)
			p.updateSurge()
		}
	}

	pass(60, 1, 1)
	if p.highestFactor() <= 1 {
		t.Fatal("six requests a minute and no driver make no surge")
	}
	once := p.surge.RaisedZones()
	twice := newSurgeUpdater(drivers, clock, prometheus.NewRegistry())
	now = time.Unix(1_700_000_000, 0)
	p = twice
	pass(60, 1, 2)
	if got := p.surge.RaisedZones(); len(got) != len(once) || got[0] != once[0] {
		t.Errorf("each request told twice: %+v, once %+v", got, once)
	}

	for i := range 40 {
		id := trips.DriverID(fmt.Sprint(i))
		drivers.Connect(id, []string{"here", "elsewhere"}[i%2])
		drivers.SetAvailable(id, true)
		if why := drivers.Move(id, location.Fix{Point: market, Seq: 1, At: now}); why != location.Accepted {
			t.Fatal(why)
		}
	}

	if free := drivers.AvailablePositions(nil); len(free) != 40 {
		t.Fatalf("%d free drivers of 40", len(free))
	}
	if err := drivers.Reserve("0", "hold"); err != nil {
		t.Fatal(err)
	}
	if free := drivers.AvailablePositions(nil); len(free) != 39 {
		t.Errorf("%d free drivers while one of 40 holds an offer", len(free))
	}

	p.surge.Tick(now.Add(time.Second), nil, drivers.AvailablePositions(nil))
	if m := p.surge.MultiplierAt(market); m < pricing.NoSurge {
		t.Error(m)
	}
}
