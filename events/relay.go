package events

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/trips"
)

// RelayConfig configures a relay. Zero values stand for the numbers in
// brackets.
type RelayConfig struct {
	Node string // the lease's holder, unique among nodes
	// Streams says which kinds of messages are also a job, and on which stream.
	// The job's id is the trip's.
	Streams      map[trips.Kind]string
	LeaseTTL     time.Duration    // how long others wait for a dead relay [3 s]
	PollInterval time.Duration    // how often to look without a wake-up [100 ms]
	BatchSize    int              // messages per round trip [256]
	Now          func() time.Time // [time.Now]
}

// Relay publishes the outbox to Redis. Every node runs one; the one that holds
// the lease works. A message leaves the outbox only after Redis took it, so it
// may be published twice but is never lost, and the messages of a trip keep
// their order.
type Relay struct {
	redis  *Redis
	outbox trips.Outbox
	cfg    RelayConfig
	wake   chan struct{} // holds at most one wake-up: they merge

	// Of the goroutine in Run.
	isLeader bool
	leasedAt time.Time
	// suspended is set when Redis fails: the relay then does not renew its
	// lease until Redis takes writes, because another node may reach one that
	// does.
	suspended bool
}

// NewRelay returns a relay for the outbox. Run must be called too.
func NewRelay(r *Redis, box trips.Outbox, cfg RelayConfig) *Relay {
	cfg.LeaseTTL = cmp.Or(cfg.LeaseTTL, 3*time.Second)
	cfg.PollInterval = cmp.Or(cfg.PollInterval, 100*time.Millisecond)
	cfg.BatchSize = cmp.Or(cfg.BatchSize, 256)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Relay{redis: r, outbox: box, cfg: cfg, wake: make(chan struct{}, 1)}
}

// Wake says that an event was committed. It never blocks and may be called from
// many goroutines. It is a hint: without it the relay polls.
func (rl *Relay) Wake() { signalWake(rl.wake) }

// signalWake puts a wake-up into the channel unless one is there already.
func signalWake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Run relays until ctx ends, and then releases the lease. It returns ctx's
// error.
func (rl *Relay) Run(ctx context.Context) error {
	remoteWakes, stop := rl.subscribeWakes(ctx)
	defer stop()
	return rl.runLoop(ctx, remoteWakes)
}

// runLoop is Run without the subscription to other nodes' wake-ups.
func (rl *Relay) runLoop(ctx context.Context, remoteWakes <-chan struct{}) error {
	defer rl.releaseLease(ctx)
	pause := backoff{step: 50 * time.Millisecond}
	for {
		if err := rl.drain(ctx); err != nil && ctx.Err() == nil {
			if pause.failures == 0 {
				rl.redis.log.Warn("relay pauses; committed events wait in the outbox", "err", err)
			}
			sleep.For(ctx, pause.next())
		} else if pause.failures > 0 {
			pause.reset()
			rl.redis.log.Info("relay goes on")
		}

		if !rl.waitForWork(ctx, remoteWakes) {
			return ctx.Err()
		}
	}
}

// waitForWork waits for a reason to look again. It returns false when ctx
// ended.
func (rl *Relay) waitForWork(ctx context.Context, remoteWakes <-chan struct{}) bool {
	wait := rl.cfg.PollInterval
	if !rl.isLeader {
		wait = rl.cfg.LeaseTTL / 3
	}

	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-remoteWakes:
	case <-rl.wake:
		if !rl.isLeader && !rl.suspended {
			// The leader then drains at once instead of at its next poll. An
			// error only costs that.
			_ = rl.redis.commands.Publish(ctx, rl.redis.wakeChannel(), "").Err()
		}
	}

	return ctx.Err() == nil
}

// drain empties the outbox if this node has the lease.
func (rl *Relay) drain(ctx context.Context) error {
	if rl.suspended {
		if err := rl.redis.CheckWritable(ctx); err != nil {
			return rl.countFailure("redis", err)
		}
		rl.suspended = false
	}

	for {
		if err := rl.renewLease(ctx); err != nil || !rl.isLeader {
			return err
		}
		n, err := rl.relayBatch(ctx)
		if err != nil || n < rl.cfg.BatchSize {
			return err
		}
	}
}

// renewLease takes or extends the lease when a third of it has passed, and sets
// isLeader.
func (rl *Relay) renewLease(ctx context.Context) error {
	now := rl.cfg.Now()
	// A negative age means that this node's clock was set back.
	if age := now.Sub(rl.leasedAt); age >= 0 && age < rl.cfg.LeaseTTL/3 {
		return nil
	}

	got, err := rl.outbox.AcquireLease(ctx, rl.cfg.Node, rl.cfg.LeaseTTL)
	if err != nil {
		rl.isLeader = false
		return rl.countFailure("lease", err)
	}
	if took := rl.cfg.Now().Sub(now); took < 0 || took >= rl.cfg.LeaseTTL {
		got = false // the lease may be over already
	}

	rl.isLeader, rl.leasedAt = got, now
	rl.redis.metrics.relayHolder.Set(map[bool]float64{true: 1}[got])
	return nil
}

// relayBatch publishes the oldest messages and then deletes them from the
// outbox. It returns their number.
func (rl *Relay) relayBatch(ctx context.Context) (int, error) {
	messages, err := rl.outbox.PendingMessages(ctx, rl.cfg.BatchSize)
	if err != nil {
		return 0, rl.countFailure("pending", err)
	}
	if len(messages) == 0 {
		rl.redis.metrics.relayLag.Set(0)
		return 0, nil
	}

	rl.redis.metrics.relayLag.Set(rl.cfg.Now().Sub(messages[0].At).Seconds())
	if err := rl.publishBatch(ctx, messages); err != nil {
		rl.suspended = true
		return 0, rl.countFailure("redis", err)
	}
	if err := rl.outbox.AdvanceCursor(ctx, rl.cfg.Node, messages[len(messages)-1]); err != nil {
		// Another node may have the lease, so the next round asks for it.
		rl.leasedAt = time.Time{}
		return 0, rl.countFailure("advance", err)
	}

	rl.recordRelayed(messages)
	return len(messages), nil
}

// publishBatch sends a batch in one round trip, in order. When part of it
// fails, all of it is sent again later. The last command is a write, because a
// replica takes PUBLISH and tells only its own listeners.
func (rl *Relay) publishBatch(ctx context.Context, messages []trips.OutboxMessage) error {
	pipe := rl.redis.commands.Pipeline()
	for _, n := range messages {
		m := Message{Topic: string(n.Topic), Region: n.Region, Payload: n.Payload}
		rl.redis.addPublish(ctx, pipe, OldRegionChannel(n.Region), m)
		if stream, ok := rl.cfg.Streams[n.Kind]; ok {
			pipe.XAdd(ctx, rl.redis.newJobEntry(stream, string(n.Trip), []byte(n.Trip)))
		}
	}

	pipe.Del(ctx, rl.redis.probeKey())
	_, err := pipe.Exec(ctx)
	return explainRefusal(err)
}

// recordRelayed updates the metrics after a batch.
func (rl *Relay) recordRelayed(messages []trips.OutboxMessage) {
	now, s := rl.cfg.Now(), rl.redis.metrics
	for _, n := range messages {
		s.relayDelay.Observe(now.Sub(n.At).Seconds())
		s.countPublished(Message{Topic: string(n.Topic), Region: n.Region, Payload: n.Payload})
	}

	s.relayed.Add(float64(len(messages)))
}

// countFailure counts a failure by the place where it occurred and names that
// place in the error.
func (rl *Relay) countFailure(place string, err error) error {
	rl.redis.metrics.relayFailed.WithLabelValues(place).Inc()
	return fmt.Errorf("relay, %s: %w", place, err)
}

// releaseLease lets the next node begin at once. If it fails, the lease expires
// by itself.
func (rl *Relay) releaseLease(ctx context.Context) {
	if !rl.isLeader {
		return
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := rl.outbox.AcquireLease(ctx, rl.cfg.Node, time.Millisecond); err != nil {
		rl.redis.log.Debug("could not release the relay's lease; it expires by itself", "err", err)
	}
}

// subscribeWakes merges the wake-ups of other nodes into one slot. stop ends
// the goroutine and waits for it.
func (rl *Relay) subscribeWakes(ctx context.Context) (remoteWakes <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	slot := make(chan struct{}, 1)
	var reader sync.WaitGroup
	reader.Go(func() {
		for ctx.Err() == nil {
			rl.readWakes(ctx, slot)
		}
	})
	return slot, func() { cancel(); reader.Wait() }
}

// readWakes subscribes, and returns when ctx ends or subscriptions must be
// renewed.
func (rl *Relay) readWakes(ctx context.Context, slot chan struct{}) {
	renewal := rl.redis.sessions.renewal()
	sub := rl.redis.commands.Subscribe(ctx, rl.redis.wakeChannel())
	defer sub.Close()
	in := sub.Channel(redis.WithChannelHealthCheckInterval(time.Second))
	for {
		select {
		case <-ctx.Done():
			return
		case <-renewal:
			return
		case _, open := <-in:
			if !open {
				return
			}
			signalWake(slot)
		}
	}
}
