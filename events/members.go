package events

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
)

// Members knows which nodes are alive, by heartbeats in Redis on Redis's clock,
// and from that which node owns a region. Two nodes may disagree for a moment:
// ownership only saves work, the database keeps the result right.
type Members struct {
	redis *Redis
	node  string
	ttl   time.Duration

	// Of the goroutine in Run.
	lastBeat   time.Time // when a heartbeat last reached Redis
	trustUntil time.Time // before it, nodes of the last view count as alive

	mu    sync.RWMutex // guards alive
	alive []string     // sorted; includes node; replaced, never changed
}

// NewMembers counts a node as alive for ttl after its last heartbeat. Until Run
// has reached Redis, only this node is alive.
func NewMembers(r *Redis, node string, ttl time.Duration) *Members {
	return &Members{redis: r, node: node, ttl: ttl, alive: []string{node}}
}

// AliveNodes returns the nodes believed alive, including this one, sorted.
// While Redis is away the last view holds.
func (m *Members) AliveNodes() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Clone(m.alive)
}

// OwnsRegion reports whether this node owns the region.
func (m *Members) OwnsRegion(region location.Region) bool { return m.OwnerOf(region) == m.node }

// RegionOwner returns the region's owner among nodes, or "" when there are
// none: the node whose hash with the region is highest (rendezvous hashing), so
// that a node that comes or goes moves only its own regions.
func RegionOwner(region location.Region, nodes []string) string {
	var best string
	var top uint64
	for _, n := range nodes {
		h := xxhash.Sum64String(string(region) + "\n" + n)
		if best == "" || h > top || (h == top && n < best) {
			best, top = n, h
		}
	}
	return best
}

// Run sends heartbeats until ctx ends. It then deregisters the node, so that
// the others need not wait for its ttl. It returns ctx's error.
func (m *Members) Run(ctx context.Context) error {
	defer m.deregister(ctx)
	failing := false
	for {
		err := m.sendHeartbeat(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			m.redis.log.Warn("heartbeat fails; the last view of the nodes holds", "err", err)
		}
		failing = err != nil
		if !sleep.For(ctx, m.ttl/4) {
			return ctx.Err()
		}
	}
}

// sendHeartbeat writes this node's heartbeat and reads those of all nodes.
func (m *Members) sendHeartbeat(ctx context.Context) error {
	key := m.redis.membersKey()
	clock, err := m.redis.clock(ctx, key)
	if err != nil {
		return fmt.Errorf("redis clock: %w", err)
	}
	now := clock.UnixMilli()

	// The commands are one transaction. If Redis lost everything between them,
	// this node would not notice and believe that it is alone.
	pipe := m.redis.commands.TxPipeline()
	added := pipe.ZAdd(ctx, key, redis.Z{Score: float64(now), Member: m.node})
	pipe.ZRemRangeByScore(ctx, key, "-inf", strconv.FormatInt(now-10*m.ttl.Milliseconds(), 10))
	fresh := pipe.ZRangeByScore(ctx, key, &redis.ZRangeBy{
		Min: "(" + strconv.FormatInt(now-m.ttl.Milliseconds(), 10), Max: "+inf"})
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}

	m.updateView(fresh.Val(), added.Val() == 1, time.Now())
	return nil
}

// updateView takes the nodes whose heartbeats are fresh. After an outage, or
// when Redis had lost this node's entry, it had lost or outlived those of the
// others too: they get one ttl to be seen again before they count as dead.
func (m *Members) updateView(fresh []string, forgotten bool, now time.Time) {
	if forgotten || now.Sub(m.lastBeat) > m.ttl {
		m.trustUntil = now.Add(m.ttl)
	}
	m.lastBeat = now
	alive := append([]string{m.node}, fresh...)
	if now.Before(m.trustUntil) {
		alive = append(alive, m.AliveNodes()...)
	}

	slices.Sort(alive)
	alive = slices.Compact(alive)
	m.mu.Lock()
	m.alive = alive
	m.mu.Unlock()
	m.redis.metrics.nodesAlive.Set(float64(len(alive)))
}

// deregister removes this node's heartbeat.
func (m *Members) deregister(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := m.redis.commands.ZRem(ctx, m.redis.membersKey(), m.node).Err(); err != nil {
		m.redis.log.Debug("could not deregister; the heartbeat expires by itself", "err", err)
	}
}

// OwnerOf returns the node that owns the region, as far as this node knows.
func (m *Members) OwnerOf(region location.Region) string {
	m.mu.RLock()
	alive := m.alive
	m.mu.RUnlock()
	return RegionOwner(region, alive)
}

// OwnersAround returns the nodes that own the regions within some metres of a
// point, sorted.
func (m *Members) OwnersAround(location.Point, float64) []string { return m.AliveNodes() }

// HasEarlierBuild reports whether a node of an earlier build is alive, which
// does not know how nodes of this build divide the regions.
func (m *Members) HasEarlierBuild() bool { return false }
