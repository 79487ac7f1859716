package node

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
)

// notifyingStore wakes the relay after each write that leaves a row in the
// outbox, so that an event does not wait for the relay's next look.
type notifyingStore struct {
	store.Store
	wakeRelay func()
}

func (s notifyingStore) Apply(ctx context.Context, m trips.Command) (trips.Event, error) {
	defer s.wakeRelay()
	return s.Store.Apply(ctx, m)
}

func (s notifyingStore) AppendChat(ctx context.Context, m chat.Message, region string) (chat.Message, error) {
	defer s.wakeRelay()
	return s.Store.AppendChat(ctx, m, region)
}

func (s notifyingStore) RecordCharge(ctx context.Context, c payments.Charge) (payments.Charge, error) {
	defer s.wakeRelay()
	return s.Store.RecordCharge(ctx, c)
}

func (s notifyingStore) AddAlert(ctx context.Context, a sos.Alert) (sos.Alert, error) {
	defer s.wakeRelay()
	return s.Store.AddAlert(ctx, a)
}

func (s notifyingStore) AcknowledgeAlert(ctx context.Context, id string, at time.Time) (sos.Alert, error) {
	defer s.wakeRelay()
	return s.Store.AcknowledgeAlert(ctx, id, at)
}
