package main

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
	// pricesEvery is how often the node looks at demand and supply. Every node hears of all requests and drivers, so that
	// two nodes' prices agree up to what one of them has heard a tick earlier; a quote binds both.
	pricesEvery = 10 * time.Second
	// demandMost bounds the requests counted in a tick; more of them make no higher price.
	demandMost = 100_000
)

// prices hears of requests and keeps this node's surge.
type prices struct {
	surge   *pricing.Surge
	drivers *sharedstate.Drivers
	now     func() time.Time

	mu     sync.Mutex // guards below
	wanted map[trips.TripID]location.Point
}

func newPrices(drivers *sharedstate.Drivers, now func() time.Time, r prometheus.Registerer) *prices {
	p := &prices{surge: pricing.NewSurge(pricing.SurgeOptions{}), drivers: drivers, now: now,
		wanted: map[trips.TripID]location.Point{}}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ridehail_surge_max",
		Help: "The highest multiplier of prices anywhere; 1 when all are plain."}, p.highest))
	return p
}

// happened counts a request once a tick, however often it is told.
func (p *prices) happened(ev trips.Event) {
	if ev.Kind != trips.KindRequested {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.wanted) < demandMost {
		p.wanted[ev.Trip.ID] = ev.Trip.Pickup
	}
}

func (p *prices) run(ctx context.Context) error {
	tick := time.NewTicker(pricesEvery)
	defer tick.Stop()
	p.tick()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			p.tick()
		}
	}
}

func (p *prices) tick() {
	p.mu.Lock()
	wanted := p.wanted
	p.wanted = map[trips.TripID]location.Point{}
	p.mu.Unlock()
	requests := make([]location.Point, 0, len(wanted))
	for _, at := range wanted {
		requests = append(requests, at)
	}
	p.surge.Tick(p.now(), requests, p.drivers.FreePoints(nil))
}

func (p *prices) highest() float64 {
	top := pricing.Plain
	for _, z := range p.surge.Zones() {
		top = max(top, z.Multiplier)
	}
	return top.Factor()
}
