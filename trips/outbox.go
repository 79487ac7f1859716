package trips

import (
	"context"
	"crypto/md5"
	"slices"
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
// other nodes must still be told. The rows of a shard are ordered by XID, then
// ID. On SQLite, which has one writer, XID is 0.
type OutboxMessage struct {
	Shard   int
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

// ShardOf returns the shard of a region, of so many. It is the rule of the
// column outbox.shard in Postgres: the last half byte of the region's MD5.
func ShardOf(region location.Region, shards int) int {
	sum := md5.Sum([]byte(region))
	return int(sum[len(sum)-1]%16) % max(1, shards)
}

// ShardClaim is what a relay asks of the leases of the shards.
type ShardClaim struct {
	Holder string
	// Wished are the shards that Holder takes also where another holder has let
	// go of them. Those whose lease is over it takes in any case.
	Wished []int
	// Released are shards of Holder that it lets go. For TTL, only a holder who
	// wishes for them takes them.
	Released []int
	TTL      time.Duration // of each lease, on the database's clock
}

// Outbox is what the relays read. Its messages are in shards by their region,
// so that those of a trip are in one. Each shard has one relay at a time, by a
// lease on the database's clock. A second one at the same time would only repeat
// messages, and every message carries a number that makes repeats harmless.
type Outbox interface {
	// ShardCount returns the number of shards, which are counted from 0.
	ShardCount() int
	// AcquireShards extends the leases of the claim's holder, except those
	// released, and takes the shards that are free. It returns the holder of
	// each shard; empty where there is none.
	AcquireShards(ctx context.Context, claim ShardClaim) (holders []string, err error)
	// PendingMessages returns the oldest messages of the shards, each after its
	// cursor, at most limit. It leaves out messages that a transaction still
	// running could precede.
	PendingMessages(ctx context.Context, shards []int, limit int) ([]OutboxMessage, error)
	// AdvanceCursor moves the cursor of each shard to the last of the messages
	// that is in it and deletes that shard's messages up to there. It leaves
	// alone the shards whose lease is not holder's (any more), and returns an
	// error for them.
	AdvanceCursor(ctx context.Context, holder string, told []OutboxMessage) error
	// Backlog counts the messages not yet relayed and returns when the oldest
	// was written.
	Backlog(ctx context.Context) (n int, oldest time.Time, err error)
}

// AllShards returns all shards of an outbox.
func AllShards(of Outbox) []int {
	all := make([]int, of.ShardCount())
	for shard := range all {
		all[shard] = shard
	}
	return all
}

// LastOfShards returns the last message of each shard, by shard. It is for
// stores.
func LastOfShards(messages []OutboxMessage) []OutboxMessage {
	var last []OutboxMessage
	for _, m := range messages {
		i, found := slices.BinarySearchFunc(last, m, func(a, b OutboxMessage) int { return a.Shard - b.Shard })
		if !found {
			last = slices.Insert(last, i, m)
		}
		last[i] = m
	}
	return last
}
