package faulty

import (
	"slices"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// ShardLeases are the leases of an outbox in memory. The caller locks.
type ShardLeases struct {
	holders []string
	until   []time.Time
}

// NewShardLeases returns leases of so many shards, all free.
func NewShardLeases(shards int) *ShardLeases {
	return &ShardLeases{make([]string, shards), make([]time.Time, shards)}
}

// Acquire carries out a claim at a moment; see trips.Outbox.
func (l *ShardLeases) Acquire(claim trips.ShardClaim, now time.Time) []string {
	for shard, holder := range l.holders {
		released := slices.Contains(claim.Released, shard)
		isFree := !now.Before(l.until[shard]) || holder == "" && slices.Contains(claim.Wished, shard)
		switch {
		case released && holder == claim.Holder:
			l.holders[shard], l.until[shard] = "", now.Add(claim.TTL)
		case !released && (holder == claim.Holder || isFree):
			l.holders[shard], l.until[shard] = claim.Holder, now.Add(claim.TTL)
		}
	}
	return l.Holders(now)
}

// Holders returns who holds each shard at a moment; empty: no holder.
func (l *ShardLeases) Holders(now time.Time) []string {
	holders := slices.Clone(l.holders)
	for shard := range holders {
		if !now.Before(l.until[shard]) {
			holders[shard] = ""
		}
	}
	return holders
}

// Until returns when the lease of a shard ends.
func (l *ShardLeases) Until(shard int) time.Time { return l.until[shard] }
