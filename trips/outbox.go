package trips

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/location"
)

// Topic says what an outbox message is about, and so how its payload is
// encoded.
type Topic string

const (
	TopicTrip    Topic = "trip"    // payload: Event as JSON
	TopicChat    Topic = "chat"    // payload: chat.Message as JSON
	TopicReceipt Topic = "receipt" // payload: payments.Charge as JSON
)

// OutboxMessage is a row of the outbox: an event that was committed and that
// other nodes must still be told. Rows are ordered by XID, then ID. On SQLite,
// which has one writer, XID is 0.
type OutboxMessage struct {
	XID     uint64
	ID      int64
	Topic   Topic
	Region  location.Region
	Kind    Kind // of a trip event; empty otherwise
	Trip    TripID
	Payload []byte
	At      time.Time

	// Who is on the trip now; empty where there is none.
	Rider  RiderID
	Driver DriverID
}

// Outbox is what the relay reads. One relay works at a time, by a lease on the
// database's clock. A second one at the same time would only repeat messages,
// and every message carries a number that makes repeats harmless.
type Outbox interface {
	// AcquireLease takes or extends the right to relay. It returns false while
	// another holder has it.
	AcquireLease(ctx context.Context, holder string, ttl time.Duration) (bool, error)
	// PendingMessages returns the oldest messages after the cursor, at most
	// limit. It leaves out messages that a transaction still running could
	// precede.
	PendingMessages(ctx context.Context, limit int) ([]OutboxMessage, error)
	// AdvanceCursor moves the cursor to last and deletes the messages up to it,
	// if holder still has the lease.
	AdvanceCursor(ctx context.Context, holder string, last OutboxMessage) error
	// Backlog counts the messages not yet relayed and returns when the oldest
	// was written.
	Backlog(ctx context.Context) (n int, oldest time.Time, err error)
}
