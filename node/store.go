package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
)

// notifyingStore wakes the relay that holds the row's shard after each write
// that leaves a row in the outbox, so that an event does not wait for that
// relay's next look.
type notifyingStore struct {
	store.Store
	wakeHolder func(location.Region)
	moves      moveCounts
}

func (s notifyingStore) Apply(ctx context.Context, m trips.Command) (trips.Event, error) {
	s.moves.underWay.Inc()
	ev, err := s.Store.Apply(ctx, m)
	s.moves.countMove(m, ev, err)
	s.moves.underWay.Dec()
	if err == nil {
		s.wakeHolder(ev.Trip.Region)
	}
	return ev, err
}

// RecordedEvent counts a command whose result is found as a repeated move.
func (s notifyingStore) RecordedEvent(ctx context.Context, k trips.IdempotencyKey) (trips.Event, error) {
	ev, err := s.Store.RecordedEvent(ctx, k)
	if err == nil {
		s.moves.moves.WithLabelValues("repeated").Inc()
	}
	return ev, err
}

func (s notifyingStore) AppendChat(ctx context.Context, m chat.Message, region string) (chat.Message, error) {
	m, err := s.Store.AppendChat(ctx, m, region)
	if err == nil {
		s.wakeHolder(location.Region(region))
	}
	return m, err
}

func (s notifyingStore) RecordCharge(ctx context.Context, c payments.Charge) (payments.Charge, error) {
	c, err := s.Store.RecordCharge(ctx, c)
	if err == nil {
		s.wakeForTrip(ctx, c.Trip)
	}
	return c, err
}

func (s notifyingStore) AddAlert(ctx context.Context, a sos.Alert) (sos.Alert, error) {
	a, err := s.Store.AddAlert(ctx, a)
	if err == nil {
		s.wakeForTrip(ctx, a.Trip)
	}
	return a, err
}

func (s notifyingStore) AcknowledgeAlert(ctx context.Context, id string, at time.Time) (sos.Alert, error) {
	a, err := s.Store.AcknowledgeAlert(ctx, id, at)
	if err == nil {
		s.wakeForTrip(ctx, a.Trip)
	}
	return a, err
}

// wakeForTrip reads which region a trip is in. An error only costs the time
// until the relay's next look.
func (s notifyingStore) wakeForTrip(ctx context.Context, id trips.TripID) {
	if t, err := s.Trip(ctx, id); err == nil {
		s.wakeHolder(t.Region)
	}
}

// moveCounts count the moves of trips by what the database made of them.
type moveCounts struct {
	moves    *prometheus.CounterVec
	underWay prometheus.Gauge
}

func newMoveCounts(r prometheus.Registerer) moveCounts {
	f := promauto.With(r)
	return moveCounts{
		moves: f.NewCounterVec(prometheus.CounterOpts{Name: "ridehail_store_moves_total",
			Help: "Moves of trips, by what became of them: committed, repeated (recorded before), overtaken (another move came first), refused or failed."},
			[]string{"outcome"}),
		underWay: f.NewGauge(prometheus.GaugeOpts{Name: "ridehail_store_moves_under_way", Help: "Moves of trips that wait for their commit."}),
	}
}

// countMove counts a move by its result. An event with another number, or of
// another trip, is that of an earlier command with the same key.
func (c moveCounts) countMove(m trips.Command, ev trips.Event, err error) {
	outcome := "failed"
	switch {
	case err == nil && ev.Trip.ID == m.Event.Trip.ID && ev.Seq() == m.Event.Seq():
		outcome = "committed"
	case err == nil:
		outcome = "repeated"
	case errors.Is(err, trips.ErrConflict), errors.Is(err, trips.ErrTaken):
		outcome = "overtaken"
	case errors.Is(err, trips.ErrRiderBusy), errors.Is(err, trips.ErrKeyReused), errors.Is(err, trips.ErrNotFound),
		errors.Is(err, trips.ErrAbandoned), errors.Is(err, trips.ErrNotText):
		outcome = "refused"
	}
	c.moves.WithLabelValues(outcome).Inc()
}

// shardHolder is the node that should relay a shard of the outbox.
func (n *Node) shardHolder(shard int) string {
	return events.RegionOwner(location.Region(fmt.Sprint("shard-", shard)), n.members.AliveNodes())
}
