package node

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

const (
	// surgeEvery is how often the node looks at demand and supply. Every node
	// hears of all requests and drivers, so that two nodes' prices agree up to
	// what one of them has heard a tick earlier; a quote binds both.
	surgeEvery = 10 * time.Second
	// maxDemand bounds the requests counted in a tick; more of them make no
	// higher price.
	maxDemand = 100_000
)

// surgeUpdater collects requests and updates this node's surge.
type surgeUpdater struct {
	surge   *pricing.Surge
	drivers *sharedstate.Drivers
	now     func() time.Time

	mu       sync.Mutex // guards below
	requests map[trips.TripID]location.Point
}

func newSurgeUpdater(drivers *sharedstate.Drivers, now func() time.Time, r prometheus.Registerer) *surgeUpdater {
	u := &surgeUpdater{surge: pricing.NewSurge(pricing.SurgeOptions{}), drivers: drivers, now: now,
		requests: map[trips.TripID]location.Point{}}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ridehail_surge_max",
		Help: "The highest multiplier of prices anywhere; 1 when all are plain."}, u.highestFactor))
	return u
}

// onTripEvent counts a request once a tick, also if its event is repeated.
func (u *surgeUpdater) onTripEvent(ev trips.Event) {
	if ev.Kind != trips.KindRequested {
		return
	}

	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.requests) < maxDemand {
		u.requests[ev.Trip.ID] = ev.Trip.Pickup
	}
}

func (u *surgeUpdater) run(ctx context.Context) error {
	tick := time.NewTicker(surgeEvery)
	defer tick.Stop()
	u.updateSurge()

	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			u.updateSurge()
		}
	}
}

func (u *surgeUpdater) updateSurge() {
	u.mu.Lock()
	byTrip := u.requests
	u.requests = map[trips.TripID]location.Point{}
	u.mu.Unlock()

	requests := make([]location.Point, 0, len(byTrip))
	for _, at := range byTrip {
		requests = append(requests, at)
	}
	u.surge.Tick(u.now(), requests, u.drivers.AvailablePositions(nil))
}

func (u *surgeUpdater) highestFactor() float64 {
	top := pricing.NoSurge
	for _, z := range u.surge.RaisedZones() {
		top = max(top, z.Multiplier)
	}
	return top.Factor()
}
