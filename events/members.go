package events

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

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
	beats      int       // heartbeats that were sent
	lastBeat   time.Time // when a heartbeat last reached Redis
	trustUntil time.Time // before it, nodes of the last view count as alive
	earlier    []string  // of those alive, the ones of an earlier build

	mu        sync.RWMutex // guards below
	owners    *ownerView   // of the nodes that are alive; replaced when they change
	former    *ownerView   // what it replaced; nil: none
	changedAt time.Time
}

// purgeEvery is how many heartbeats a node sends between two that also forget
// nodes long gone.
const purgeEvery = 16

// NewMembers counts a node as alive for ttl after its last heartbeat. Until Run
// has reached Redis, only this node is alive.
func NewMembers(r *Redis, node string, ttl time.Duration) *Members {
	return &Members{redis: r, node: node, ttl: ttl, owners: newOwnerView([]string{node}, false)}
}

// AliveNodes returns the nodes believed alive, including this one, sorted.
// While Redis is away the last view holds.
func (m *Members) AliveNodes() []string {
	return slices.Clone(m.view().nodes)
}

// OwnsRegion reports whether this node owns the region.
func (m *Members) OwnsRegion(region location.Region) bool { return m.OwnerOf(region) == m.node }

// OwnerOf returns the node that owns the region. It costs some 50 ns.
func (m *Members) OwnerOf(region location.Region) string { return m.view().ownerOf(region) }

// FormerOwner returns the node that owned the region before the nodes that are
// alive changed last, and how long ago that was; "" if they never did.
func (m *Members) FormerOwner(region location.Region) (node string, ago time.Duration) {
	m.mu.RLock()
	former, changedAt := m.former, m.changedAt
	m.mu.RUnlock()
	if former == nil {
		return "", 0
	}
	return former.ownerOf(region), time.Since(changedAt)
}

// OwnersAround returns the nodes that may own a region within some metres of p,
// this node included if it is one of them, sorted. There are at most eight for
// each block of the area. The caller must not change the slice.
func (m *Members) OwnersAround(p location.Point, metres float64) []string {
	return m.view().ownersAround(p, metres)
}

// HasEarlierBuild reports whether a node of an earlier build is alive, so that
// the rule of earlier builds holds for all.
func (m *Members) HasEarlierBuild() bool { return m.view().earlier }

func (m *Members) view() *ownerView {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.owners
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
	if m.beats++; m.beats%purgeEvery == 1 {
		for _, key := range []string{m.redis.membersKey(), m.redis.currentMembersKey()} {
			pipe.ZRemRangeByScore(ctx, key, "-inf", strconv.FormatInt(now-10*m.ttl.Milliseconds(), 10))
		}
	}
	added, fresh := m.addBeat(ctx, pipe, m.redis.membersKey(), now)
	_, ofThisBuild := m.addBeat(ctx, pipe, m.redis.currentMembersKey(), now)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}

	m.updateView(fresh.Val(), ofThisBuild.Val(), added.Val() == 1, time.Now())
	return nil
}

// addBeat adds the commands that write this node's heartbeat into a set and read
// those that are fresh.
func (m *Members) addBeat(ctx context.Context, pipe redis.Pipeliner, key string, now int64) (*redis.IntCmd, *redis.ZSliceCmd) {
	added := pipe.ZAdd(ctx, key, redis.Z{Score: float64(now), Member: m.node})
	return added, pipe.ZRangeByScoreWithScores(ctx, key, &redis.ZRangeBy{
		Min: "(" + strconv.FormatInt(now-m.ttl.Milliseconds(), 10), Max: "+inf"})
}

// updateView takes the fresh heartbeats of all nodes, and of those of this
// build, which beat in both sets at once. After an outage, or when Redis had
// lost this node's entry, it had lost or outlived those of the others too: they
// get one ttl to be seen again before they count as dead.
func (m *Members) updateView(fresh, ofThisBuild []redis.Z, forgotten bool, now time.Time) {
	if forgotten || now.Sub(m.lastBeat) > m.ttl {
		m.trustUntil = now.Add(m.ttl)
	}
	m.lastBeat = now

	alive, earlier := []string{m.node}, []string{}
	for _, beat := range fresh {
		alive = append(alive, beat.Member.(string))
		if !slices.Contains(ofThisBuild, beat) {
			earlier = append(earlier, beat.Member.(string))
		}
	}
	if now.Before(m.trustUntil) {
		for _, name := range m.AliveNodes() {
			if slices.Contains(m.earlier, name) && !slices.Contains(alive, name) {
				earlier = append(earlier, name)
			}
			alive = append(alive, name)
		}
	}

	slices.Sort(alive)
	alive = slices.Compact(alive)
	m.earlier = earlier
	m.setAlive(alive, len(earlier) > 0)
	m.redis.metrics.nodesAlive.Set(float64(len(alive)))
}

// setAlive replaces the view, unless it stays the same. With earlier, a node of
// an earlier build is alive.
func (m *Members) setAlive(alive []string, earlier bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if earlier != m.owners.earlier || !slices.Equal(alive, m.owners.nodes) {
		m.former, m.owners, m.changedAt = m.owners, newOwnerView(alive, earlier), time.Now()
	}
}

// deregister removes this node's heartbeat.
func (m *Members) deregister(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	pipe := m.redis.commands.TxPipeline()
	pipe.ZRem(ctx, m.redis.membersKey(), m.node)
	pipe.ZRem(ctx, m.redis.currentMembersKey(), m.node)
	if _, err := pipe.Exec(ctx); err != nil {
		m.redis.log.Debug("could not deregister; the heartbeat expires by itself", "err", err)
	}
}
