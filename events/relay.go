package events

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/trips"
)

// RelayConfig configures a relay. Zero values stand for the numbers in
// brackets.
type RelayConfig struct {
	Node string // the leases' holder, unique among nodes
	// Streams says which kinds of messages are also a job, and on which stream.
	// The job's id is the trip's.
	Streams map[trips.Kind]string
	// Audience says on which channels a message is published; nil: on that of
	// its region.
	Audience func(trips.OutboxMessage) []Channel
	// ShardHolder names the node that should hold a shard; nil: this one.
	ShardHolder func(shard int) string

	LeaseTTL     time.Duration    // how long others wait for a dead relay [3 s]
	PollInterval time.Duration    // how often to look without a wake-up [1 s]
	BatchSize    int              // messages per round trip [256]
	Now          func() time.Time // [time.Now]
}

// Relay publishes the outbox to Redis. Every node runs one, and each relays the
// shards whose leases it has. A message leaves the outbox only after Redis took
// it, so it may be published twice but is never lost, and the messages of a trip
// keep their order.
//
// A node takes each shard that is free. One that another node should hold it
// keeps until that node asks for it: one that has died, or is of an earlier
// build, never does.
type Relay struct {
	redis  *Redis
	outbox trips.Outbox
	cfg    RelayConfig
	waker  *relayWaker

	// Of the goroutine in Run.
	shards   []relayShard
	wished   []int // shards that this node should hold, as of leasedAt
	leasedAt time.Time
	// suspended is set when Redis fails: the relay then does not renew its
	// leases until Redis takes writes, because another node may reach one that
	// does.
	suspended bool
	resumedAt time.Time // when suspended last ended
	hops      relayHops
}

// relayShard is a shard as its relay sees it.
type relayShard struct {
	isHeld bool
	// A shard whose messages Redis refused rests until then.
	restsUntil time.Time
	pause      backoff
	resumedAt  time.Time // when Redis last took its messages again
}

// NewRelay returns a relay for the outbox. Run must be called too.
func NewRelay(r *Redis, box trips.Outbox, cfg RelayConfig) *Relay {
	cfg.LeaseTTL = cmp.Or(cfg.LeaseTTL, 3*time.Second)
	cfg.PollInterval = cmp.Or(cfg.PollInterval, time.Second)
	cfg.BatchSize = cmp.Or(cfg.BatchSize, 256)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Audience == nil {
		cfg.Audience = func(m trips.OutboxMessage) []Channel { return []Channel{OldRegionChannel(m.Region)} }
	}
	if cfg.ShardHolder == nil {
		cfg.ShardHolder = func(int) string { return cfg.Node }
	}

	rl := &Relay{redis: r, outbox: box, cfg: cfg, shards: make([]relayShard, box.ShardCount()), hops: relayHops{tracer: r.tracer,
		node: cfg.Node, now: cfg.Now, leaseTTL: cfg.LeaseTTL, kept: map[outboxRow]*keptMessage{}, takeovers: map[int]takeover{}}}
	for shard := range rl.shards {
		rl.shards[shard].pause.step = 50 * time.Millisecond
	}
	rl.waker = newRelayWaker(r, cfg.Node, cfg.ShardHolder, len(rl.shards))
	return rl
}

// Run relays until ctx ends, and then releases the leases. It returns ctx's
// error.
func (rl *Relay) Run(ctx context.Context) error {
	stop := rl.waker.start(ctx)
	defer stop()
	return rl.runLoop(ctx)
}

// runLoop is Run without the wake-ups of other nodes.
func (rl *Relay) runLoop(ctx context.Context) error {
	defer rl.releaseLeases(ctx)
	pause := backoff{step: 50 * time.Millisecond}
	for {
		err := rl.drain(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}

		if err != nil {
			if pause.failures == 0 {
				rl.redis.log.Warn("relay pauses; committed events wait in the outbox", "err", err)
			}
			sleep.For(ctx, pause.next())
			continue
		}
		if pause.failures > 0 {
			pause.reset()
			rl.redis.log.Info("relay goes on")
		}
		rl.waitForWork(ctx)
	}
}

// waitForWork waits for a reason to look again.
func (rl *Relay) waitForWork(ctx context.Context) {
	t := time.NewTimer(rl.untilNextLook())
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-rl.waker.local:
	}
}

// untilNextLook is how long to wait without a wake-up. A node without shards,
// that should hold none either, asks for leases less often.
func (rl *Relay) untilNextLook() time.Duration {
	if len(rl.heldShards()) == 0 && len(rl.wished) == 0 {
		return rl.cfg.LeaseTTL
	}

	wait := min(rl.cfg.PollInterval, rl.cfg.LeaseTTL/3)
	for _, s := range rl.shards {
		if rest := time.Until(s.restsUntil); s.isHeld && rest > 0 {
			wait = min(wait, rest)
		}
	}
	return wait
}

// drain empties the shards that this node holds.
func (rl *Relay) drain(ctx context.Context) error {
	if rl.suspended {
		if err := rl.redis.CheckWritable(ctx); err != nil {
			return rl.countFailure("redis", err)
		}
		rl.suspended, rl.resumedAt = false, rl.cfg.Now()
		rl.hops.noteAway(false)
	}

	for {
		if err := rl.renewLeases(ctx); err != nil {
			return err
		}
		due := rl.dueShards()
		if len(due) == 0 {
			return nil
		}
		n, err := rl.relayBatch(ctx, due)
		if err != nil || n < rl.cfg.BatchSize {
			return err
		}
	}
}

// renewLeases extends and takes leases when a third of their time has passed,
// or when another node says that a shard waits for this one.
func (rl *Relay) renewLeases(ctx context.Context) error {
	now := rl.cfg.Now()
	asked := rl.waker.wasAsked.Swap(false) && slices.ContainsFunc(rl.wished, func(s int) bool { return !rl.shards[s].isHeld })
	// A negative age means that this node's clock was set back.
	if age := now.Sub(rl.leasedAt); age >= 0 && age < rl.cfg.LeaseTTL/3 && !asked {
		return nil
	}

	rl.wished = rl.wishedShards()
	released := rl.chooseReleased()
	holders, err := rl.outbox.AcquireShards(ctx, trips.ShardClaim{Holder: rl.cfg.Node, Wished: rl.wished, Released: released, TTL: rl.cfg.LeaseTTL})
	if err != nil {
		rl.noteHolders(make([]string, len(rl.shards)))
		return rl.countFailure("lease", err)
	}
	if took := rl.cfg.Now().Sub(now); took < 0 || took >= rl.cfg.LeaseTTL {
		holders = make([]string, len(rl.shards)) // the leases may be over already
	}

	rl.leasedAt = now
	rl.hops.noteHolders(holders, func(shard int) bool { return rl.shards[shard].isHeld })
	rl.noteHolders(holders)
	for _, shard := range released {
		rl.waker.wakeHolder(shard)
	}
	rl.waker.askFor(rl.wished)
	return nil
}

// noteHolders notes who holds each shard.
func (rl *Relay) noteHolders(holders []string) {
	held := 0
	for shard, holder := range holders {
		s := &rl.shards[shard]
		if s.isHeld = holder == rl.cfg.Node; s.isHeld {
			held++
		}
	}
	rl.waker.noteHolders(holders)
	rl.redis.metrics.relayHolder.Set(float64(held))
}

// wishedShards are the shards that this node should hold.
func (rl *Relay) wishedShards() (wished []int) {
	for shard := range rl.shards {
		if rl.cfg.ShardHolder(shard) == rl.cfg.Node {
			wished = append(wished, shard)
		}
	}
	return wished
}

func (rl *Relay) heldShards() (held []int) {
	for shard, s := range rl.shards {
		if s.isHeld {
			held = append(held, shard)
		}
	}
	return held
}

// dueShards are the shards to look at now.
func (rl *Relay) dueShards() []int {
	return slices.DeleteFunc(rl.heldShards(), func(shard int) bool { return time.Until(rl.shards[shard].restsUntil) > 0 })
}

// chooseReleased returns the shards to give to the nodes that should hold them
// and asked lately.
func (rl *Relay) chooseReleased() []int {
	return slices.DeleteFunc(rl.heldShards(), func(shard int) bool {
		return slices.Contains(rl.wished, shard) || !rl.waker.hasAsked(rl.cfg.ShardHolder(shard), rl.cfg.LeaseTTL)
	})
}

// relayBatch publishes the oldest messages and then deletes them from the
// outbox. It returns how many it found.
func (rl *Relay) relayBatch(ctx context.Context, shards []int) (int, error) {
	messages, err := rl.outbox.PendingMessages(ctx, shards, rl.cfg.BatchSize)
	if err != nil {
		return 0, rl.countFailure("pending", err)
	}
	if len(messages) == 0 {
		rl.redis.metrics.relayLag.Set(0)
		return 0, nil
	}

	rl.redis.metrics.relayLag.Set(rl.cfg.Now().Sub(messages[0].At).Seconds())
	told, err := rl.publishBatch(ctx, messages)
	if err != nil {
		rl.suspended = true
		rl.hops.noteAway(true)
		return 0, rl.countFailure("redis", err)
	}
	if len(told) == 0 {
		return len(messages), nil
	}
	if err := rl.outbox.AdvanceCursor(ctx, rl.cfg.Node, told); err != nil {
		// Another node may have a lease, so the next round asks for it.
		rl.leasedAt = time.Time{}
		for _, m := range told {
			rl.countMessage(m, "repeated")
		}
		return 0, rl.countFailure("advance", err)
	}

	rl.hops.forget(told)
	rl.recordRelayed(told)
	return len(messages), nil
}

// publishBatch sends a batch in one round trip, in order, and returns the
// messages that Redis took. A message that it did not take stays, with those
// behind it in its shard, and the shard rests for a while. An error says that
// nothing counts as published.
//
// The last command is a write, because a replica takes PUBLISH and tells only
// its own listeners. In a cluster, a command that fails says nothing of the
// masters of other channels.
func (rl *Relay) publishBatch(ctx context.Context, messages []trips.OutboxMessage) (told []trips.OutboxMessage, err error) {
	sampled := rl.hops.sample(messages, len(messages) < rl.cfg.BatchSize)
	pipe := rl.redis.commands.Pipeline()
	sent := make([][]redis.Cmder, len(messages))
	for i, n := range messages {
		m := Message{Topic: string(n.Topic), Region: n.Region, Payload: n.Payload}
		for _, to := range rl.cfg.Audience(n) {
			sent[i] = append(sent[i], rl.redis.addPublish(ctx, pipe, to, m))
		}
		if stream, ok := rl.cfg.Streams[n.Kind]; ok {
			sent[i] = append(sent[i], pipe.XAdd(ctx, rl.redis.newJobEntry(stream, string(n.Trip), []byte(n.Trip))))
		}
	}

	probe := pipe.Del(ctx, rl.redis.probeKey())
	began := rl.hops.timeOf(sampled)
	_, _ = pipe.Exec(ctx) // each command has its own error
	ended := rl.hops.timeOf(sampled)

	told, refused := rl.sortTold(messages, sent)
	if _, isCluster := rl.redis.commands.(*redis.ClusterClient); probe.Err() != nil && !isCluster {
		rl.hops.recordAway(sampled, len(messages), probe.Err(), began, ended)
		return nil, explainRefusal(probe.Err())
	}
	rl.hops.recordPublished(sampled, sent, began, ended)
	if refused != nil {
		rl.redis.metrics.relayFailed.WithLabelValues("redis").Inc()
		rl.redis.log.Debug("a part of the outbox waits, because Redis did not take a message of it", "err", explainRefusal(refused))
	}
	return told, nil
}

// sortTold returns the messages that Redis took, and one of the errors of those
// that it did not.
func (rl *Relay) sortTold(messages []trips.OutboxMessage, sent [][]redis.Cmder) (told []trips.OutboxMessage, refused error) {
	stuck := map[int]bool{}
	for i, m := range messages {
		for _, cmd := range sent[i] {
			if err := cmd.Err(); err != nil {
				stuck[m.Shard], refused = true, err
			}
		}
		if !stuck[m.Shard] {
			told = append(told, m)
		}
	}

	for _, m := range messages {
		if s := &rl.shards[m.Shard]; !stuck[m.Shard] {
			if s.pause.failures > 0 {
				s.resumedAt = rl.cfg.Now()
			}
			s.pause.reset()
		} else if time.Until(s.restsUntil) <= 0 {
			s.restsUntil = time.Now().Add(s.pause.next())
		}
	}
	return told, refused
}

// recordRelayed updates the metrics after a batch.
func (rl *Relay) recordRelayed(messages []trips.OutboxMessage) {
	now, s := rl.cfg.Now(), rl.redis.metrics
	for _, n := range messages {
		s.relayDelay.Observe(now.Sub(n.At).Seconds())
		s.countPublished(Message{Topic: string(n.Topic), Region: n.Region, Payload: n.Payload})
		outcome := "at_once"
		if n.At.Before(rl.resumedAt) || n.At.Before(rl.shards[n.Shard].resumedAt) {
			outcome = "after_outage"
		}
		rl.countMessage(n, outcome)
		if stream, ok := rl.cfg.Streams[n.Kind]; ok {
			s.jobsAdded.WithLabelValues(stream).Inc()
		}
	}

	s.relayed.Add(float64(len(messages)))
}

func (rl *Relay) countMessage(m trips.OutboxMessage, outcome string) {
	rl.redis.metrics.relayedMessages.WithLabelValues(string(m.Topic), outcome).Inc()
}

// countFailure counts a failure by the place where it occurred and names that
// place in the error.
func (rl *Relay) countFailure(place string, err error) error {
	rl.redis.metrics.relayFailed.WithLabelValues(place).Inc()
	return fmt.Errorf("relay, %s: %w", place, err)
}

// releaseLeases lets the other nodes begin at once. If it fails, the leases
// expire by themselves.
func (rl *Relay) releaseLeases(ctx context.Context) {
	held := rl.heldShards()
	if len(held) == 0 {
		return
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := rl.outbox.AcquireShards(ctx, trips.ShardClaim{Holder: rl.cfg.Node, Released: trips.AllShards(rl.outbox)}); err != nil {
		rl.redis.log.Debug("could not release the relay's leases; they expire by themselves", "err", err)
	}
}
