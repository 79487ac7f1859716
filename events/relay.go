package events

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/trips"
)

// RelayConfig says how a relay works; zero values stand for the numbers in
// brackets.
type RelayConfig struct {
	Node string // the lease's holder, unique among nodes
	// notices that are also a job, and the stream it goes to; the job's id is
	// the trip's
	Streams map[trips.Kind]string
	Lease   time.Duration    // how long a dead relay holds the others up [3 s]
	Poll    time.Duration    // how often to look without a wake-up [100 ms]
	Batch   int              // notices per round trip [256]
	Now     func() time.Time // [time.Now]
}

// Relay hands the outbox to Redis. Every node runs one; the one that holds the
// lease works. A notice leaves the outbox only after Redis took it, so it may
// be told twice but is never lost, and the notices of a trip keep their order.
type Relay struct {
	redis *Redis
	box   trips.Outbox
	cfg   RelayConfig
	wake  chan struct{} // holds at most one wake-up: they merge

	// Of the goroutine in Run.
	holder   bool
	leasedAt time.Time
	// Redis failed: let the lease lapse until it answers, another node may
	// reach it
	sick bool
}

func NewRelay(r *Redis, box trips.Outbox, cfg RelayConfig) *Relay {
	cfg.Lease = cmp.Or(cfg.Lease, 3*time.Second)
	cfg.Poll = cmp.Or(cfg.Poll, 100*time.Millisecond)
	cfg.Batch = cmp.Or(cfg.Batch, 256)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Relay{redis: r, box: box, cfg: cfg, wake: make(chan struct{}, 1)}
}

// Wake says that something was committed. It never blocks, and is a hint:
// without it the relay polls.
func (rl *Relay) Wake() { poke(rl.wake) }

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Run relays until ctx ends, and then gives the lease back. It returns ctx's
// error.
func (rl *Relay) Run(ctx context.Context) error {
	afar, stop := rl.hearWakes(ctx)
	defer stop()
	return rl.work(ctx, afar)
}

// work is Run without the ears for other nodes' wake-ups.
func (rl *Relay) work(ctx context.Context, afar <-chan struct{}) error {
	defer rl.release(ctx)
	pause := backoff{step: 50 * time.Millisecond}
	for {
		if err := rl.turn(ctx); err != nil && ctx.Err() == nil {
			if pause.n == 0 {
				rl.redis.log.Warn("relay pauses, committed events wait in the outbox", "err", err)
			}
			sleep(ctx, pause.next())
		} else if pause.n > 0 {
			pause.reset()
			rl.redis.log.Info("relay goes on")
		}

		if !rl.rest(ctx, afar) {
			return ctx.Err()
		}
	}
}

// rest waits for a reason to look again; false when ctx ended.
func (rl *Relay) rest(ctx context.Context, afar <-chan struct{}) bool {
	wait := rl.cfg.Poll
	if !rl.holder {
		wait = rl.cfg.Lease / 3
	}

	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-afar:
	case <-rl.wake:
		if !rl.holder && !rl.sick {
			// the holder polls at once instead of within its poll interval

			// a hint; the poll heals
			_ = rl.redis.do.Publish(ctx, rl.redis.wakeChannel(), "").Err()
		}
	}

	return ctx.Err() == nil
}

// turn empties the outbox if this node has the lease.
func (rl *Relay) turn(ctx context.Context) error {
	if rl.sick {
		if err := rl.redis.Ping(ctx); err != nil {
			return rl.failed("redis", err)
		}
		rl.sick = false
	}

	for {
		if err := rl.renew(ctx); err != nil || !rl.holder {
			return err
		}
		n, err := rl.batch(ctx)
		if err != nil || n < rl.cfg.Batch {
			return err
		}
	}
}

func (rl *Relay) renew(ctx context.Context) error {
	now := rl.cfg.Now()
	// below 0 our clock was set back
	if age := now.Sub(rl.leasedAt); age >= 0 && age < rl.cfg.Lease/3 {
		return nil
	}

	got, err := rl.box.Lease(ctx, rl.cfg.Node, rl.cfg.Lease)
	if err != nil {
		rl.holder = false
		return rl.failed("lease", err)
	}
	if took := rl.cfg.Now().Sub(now); took < 0 || took >= rl.cfg.Lease {
		got = false // the lease that the answer tells of may be over
	}

	rl.holder, rl.leasedAt = got, now
	rl.redis.stats.relayHolder.Set(map[bool]float64{true: 1}[got])
	return nil
}

// batch relays the oldest notices: told first, forgotten after.
func (rl *Relay) batch(ctx context.Context) (int, error) {
	notices, err := rl.box.Pending(ctx, rl.cfg.Batch)
	if err != nil {
		return 0, rl.failed("pending", err)
	}
	if len(notices) == 0 {
		rl.redis.stats.relayLag.Set(0)
		return 0, nil
	}

	rl.redis.stats.relayLag.Set(rl.cfg.Now().Sub(notices[0].At).Seconds())
	if err := rl.tell(ctx, notices); err != nil {
		rl.sick = true
		return 0, rl.failed("redis", err)
	}
	if err := rl.box.Advance(ctx, rl.cfg.Node, notices[len(notices)-1]); err != nil {
		rl.leasedAt = time.Time{} // perhaps another node has the lease: ask
		return 0, rl.failed("advance", err)
	}

	rl.told(notices)
	return len(notices), nil
}

// tell sends a batch in one round trip, in order. When part of it fails all of
// it is sent again later.
func (rl *Relay) tell(ctx context.Context, notices []trips.Notice) error {
	pipe := rl.redis.do.Pipeline()
	for _, n := range notices {
		m := Message{Topic: string(n.Topic), Region: n.Region, Payload: n.Payload}
		pipe.Publish(ctx, rl.redis.regionChannel(string(n.Region)), m.encode())
		if stream, ok := rl.cfg.Streams[n.Kind]; ok {
			pipe.XAdd(ctx, rl.redis.job(stream, string(n.Trip), []byte(n.Trip)))
		}
	}

	_, err := pipe.Exec(ctx)
	return err
}

func (rl *Relay) told(notices []trips.Notice) {
	now, s := rl.cfg.Now(), rl.redis.stats
	for _, n := range notices {
		s.relayDelay.Observe(now.Sub(n.At).Seconds())
		s.published.WithLabelValues(string(n.Topic)).Inc()
	}

	s.relayed.Add(float64(len(notices)))
}

func (rl *Relay) failed(place string, err error) error {
	rl.redis.stats.relayFailed.WithLabelValues(place).Inc()
	return fmt.Errorf("relay, %s: %w", place, err)
}

// release lets the next node begin at once. When it fails the lease runs out by
// itself.
func (rl *Relay) release(ctx context.Context) {
	if !rl.holder {
		return
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := rl.box.Lease(ctx, rl.cfg.Node, time.Millisecond); err != nil {
		rl.redis.log.Debug("relay lease runs out by itself", "err", err)
	}
}

// hearWakes merges the wake-ups of other nodes into one slot; stop ends the
// goroutine and waits for it.
func (rl *Relay) hearWakes(ctx context.Context) (afar <-chan struct{}, stop func()) {
	sub := rl.redis.do.Subscribe(ctx, rl.redis.wakeChannel())
	slot := make(chan struct{}, 1)
	var reader sync.WaitGroup
	reader.Go(func() {
		for range sub.Channel(redis.WithChannelHealthCheckInterval(time.Second)) {
			poke(slot)
		}
	})
	return slot, func() { _ = sub.Close(); reader.Wait() }
}
