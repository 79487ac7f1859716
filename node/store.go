package node

import (
	"context"
	"fmt"
	"time"

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
}

func (s notifyingStore) Apply(ctx context.Context, m trips.Command) (trips.Event, error) {
	ev, err := s.Store.Apply(ctx, m)
	if err == nil {
		s.wakeHolder(ev.Trip.Region)
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

// shardHolder is the node that should relay a shard of the outbox.
func (n *Node) shardHolder(shard int) string {
	return events.RegionOwner(location.Region(fmt.Sprint("shard-", shard)), n.members.AliveNodes())
}
