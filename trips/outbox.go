package trips

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/location"
)

// Topic says what a notice is about, and so how its payload reads.
type Topic string

const (
	TopicTrip    Topic = "trip"    // payload: Event as JSON
	TopicChat    Topic = "chat"    // payload: chat.Message as JSON
	TopicReceipt Topic = "receipt" // payload: payments.Charge as JSON
)

// Notice is an outbox row: something that was committed and that the world must
// still be told. XID and ID together are its place in the order; on SQLite,
// which has one writer, XID is 0.
type Notice struct {
	XID     uint64
	ID      int64
	Topic   Topic
	Region  location.Region
	Kind    Kind // of a trip event; empty otherwise
	Trip    TripID
	Payload []byte
	At      time.Time
}

// Outbox is what the relay reads. One relay works at a time, by lease on the
// database's clock; a second one at the same time would only repeat notices,
// and every notice carries a number that makes repeats harmless.
type Outbox interface {
	// Lease takes or extends the right to relay; false when another holder has
	// it.
	Lease(ctx context.Context, holder string, ttl time.Duration) (bool, error)
	// Pending returns the oldest notices after the cursor that no running
	// transaction can still precede.
	Pending(ctx context.Context, limit int) ([]Notice, error)
	// Advance moves the cursor to last and deletes the notices up to it, if
	// holder still has the lease.
	Advance(ctx context.Context, holder string, last Notice) error
	// Backlog counts notices not yet relayed and says when the oldest was
	// written.
	Backlog(ctx context.Context) (n int, oldest time.Time, err error)
}
