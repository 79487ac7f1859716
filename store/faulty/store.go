package faulty

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// Store is a store in memory. Make it with New. Each of its parts keeps one
// contract. All methods may be called from many goroutines.
type Store struct {
	*state
	tripStore
	outboxStore
	chatStore
	chargeStore
	refundStore
	alertStore
	auditSource
	resumeReader
}

// state is what all parts of a store share.
type state struct {
	// Fixed at creation.
	seed uint64
	wake chan struct{}

	mu sync.Mutex // guards all below; held as long as a transaction would last

	faults      Faults
	pausedUntil time.Time // of a pause
	calls       map[string]uint64
	injected    map[string]int

	// Trips and what belongs to them.
	trips    map[trips.TripID]trips.Trip
	open     map[trips.TripID]trips.Trip
	active   map[trips.Actor]trips.TripID
	log      []trips.Event
	events   map[trips.TripID][]trips.Event
	commands map[commandKey]recordedCommand
	messages map[trips.TripID][]chat.Message
	charges  map[trips.TripID]payments.Charge
	refunds  map[trips.TripID]payments.Refund
	alerts   []sos.Alert

	outbox []trips.OutboxMessage
	nextID int64
	leases *ShardLeases
}

var (
	_ trips.Store          = (*Store)(nil)
	_ trips.Outbox         = (*Store)(nil)
	_ chat.Store           = (*Store)(nil)
	_ payments.Store       = (*Store)(nil)
	_ payments.RefundStore = (*Store)(nil)
	_ sos.Store            = (*Store)(nil)
)

// New returns an empty, healthy store. The seed decides which calls fail once
// there is trouble.
func New(seed uint64) *Store {
	s := &state{seed: seed, wake: make(chan struct{}, 1), calls: map[string]uint64{}, injected: map[string]int{},
		trips: map[trips.TripID]trips.Trip{}, open: map[trips.TripID]trips.Trip{}, active: map[trips.Actor]trips.TripID{},
		events: map[trips.TripID][]trips.Event{}, commands: map[commandKey]recordedCommand{}, messages: map[trips.TripID][]chat.Message{},
		charges: map[trips.TripID]payments.Charge{}, refunds: map[trips.TripID]payments.Refund{}, leases: NewShardLeases(shardCount)}
	return &Store{s, tripStore{s}, outboxStore{s}, chatStore{s}, chargeStore{s}, refundStore{s}, alertStore{s},
		auditSource{s}, resumeReader{s}}
}

// storedTime rounds a moment as a database does.
func storedTime(at time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	return at.UTC().Truncate(time.Microsecond)
}

// storedEvent rounds all moments of an event as a database does.
func storedEvent(ev trips.Event) trips.Event {
	t := &ev.Trip
	for _, at := range []*time.Time{&ev.At, &t.RequestedAt, &t.ReservedAt, &t.ArrivedAt, &t.StartedAt, &t.EndedAt} {
		*at = storedTime(*at)
	}
	return ev
}

// addOutboxLocked adds an outbox row and signals CommitSignal.
func (s *state) addOutboxLocked(topic trips.Topic, r location.Region, kind trips.Kind, id trips.TripID, about any) error {
	payload, err := json.Marshal(about)
	if err != nil {
		return fmt.Errorf("outbox message of trip %s: %w", id, err)
	}

	s.nextID++
	s.outbox = append(s.outbox, trips.OutboxMessage{Shard: trips.ShardOf(r, shardCount), ID: s.nextID, Topic: topic, Region: r, Kind: kind, Trip: id,
		Payload: payload, At: storedTime(time.Now())})

	select {
	case s.wake <- struct{}{}:
	default:
	}

	return nil
}

// lookUp returns the value of a key, or trips.ErrNotFound.
func lookUp[K comparable, V any](in map[K]V, k K) (V, error) {
	v, ok := in[k]
	if !ok {
		return v, trips.ErrNotFound
	}
	return v, nil
}
