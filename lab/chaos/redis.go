package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/process"
)

// Names of the nodes' keys, without prefix and hash tag.
const (
	settlements = "settlements" // the stream of payments to make
	members     = "members"     // the nodes that are alive
)

const (
	channelTags = 256 // by which the nodes spread channels over a cluster
	// electedWithin bounds the time from the loss of a master until another one
	// serves its slots and all servers agree.
	electedWithin = 30 * time.Second
	drainedWithin = 30 * time.Second // of the queue, after the last payment
)

var redisFlags = []string{"--save", "", "--appendonly", "yes", "--appendfsync", "everysec"}

func (c *city) startRedis(ctx context.Context, address string) error {
	server, err := process.PrepareRedis(c.dir, address, redisFlags...)
	if err != nil {
		return err
	}
	c.redis = process.NewService(server, c.guard)
	return c.startServices(ctx, c.redis)
}

// redisURL is the address for a node: through its proxy, or that of a cluster.
func (c *city) redisURL(n *node) string {
	if c.cluster != nil {
		return c.cluster.URL()
	}
	return process.RedisURL(n.proxies[LineRedis].addresses())
}

// redisKey is the key of the nodes with a name.
func (c *city) redisKey(name string) string {
	if c.cluster != nil {
		return "ridehail:{" + name + "}"
	}
	return "ridehail:" + name
}

func (c *city) flushRedis(ctx context.Context) error {
	addresses := c.redisAddresses
	if c.cluster != nil {
		addresses = c.cluster.Masters()
	}
	for _, address := range addresses {
		if err := process.RedisDo(ctx, address, "FLUSHALL", "+OK"); err != nil {
			return err
		}
	}
	return nil
}

// killMaster kills the i-th master. To heal waits until another one has taken
// its place, and brings it back as a replica.
func (c *city) killMaster(ctx context.Context, i int) (revive func() error, err error) {
	address, err := c.cluster.KillMaster(i)
	return c.afterElection(ctx, func(ctx context.Context) error {
		if err := c.cluster.AwaitFailover(ctx, address); err != nil {
			return err
		}
		return c.cluster.Revive(ctx, address)
	}), err
}

// pauseMaster stops the i-th master. If the pause is long, another one takes its place
// meanwhile.
func (c *city) pauseMaster(ctx context.Context, i int) (wake func() error, err error) {
	address, err := c.cluster.PauseMaster(i)
	return c.afterElection(ctx, func(context.Context) error { c.cluster.Resume(address); return nil }), err
}

// reshard moves the slots of the queue, of the membership, and of some channels
// to other masters.
func (c *city) reshard(ctx context.Context, group int) error {
	keys := []string{c.redisKey(settlements), c.redisKey(members)}
	for tag := group; tag < channelTags; tag += tagGroups {
		keys = append(keys, fmt.Sprintf("{%d}", tag))
	}
	ctx, cancel := context.WithTimeout(ctx, electedWithin)
	defer cancel()
	return c.cluster.MoveSlotsOf(ctx, keys...)
}

// afterElection returns what heals a cluster and waits until it is healthy. An
// interrupted run waits for nothing.
func (c *city) afterElection(ctx context.Context, heal func(context.Context) error) func() error {
	return func() error {
		if ctx.Err() != nil {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, electedWithin)
		defer cancel()
		if err := heal(ctx); err != nil {
			return err
		}
		return c.cluster.AwaitHealthy(ctx)
	}
}

// checkQueue waits until the queue of payments is empty.
func (c *city) checkQueue(ctx context.Context) (Invariant, error) {
	out := Invariant{Name: "no job is left in the queue"}
	for late := time.Now().Add(drainedWithin); ; {
		var left any
		err := c.askRedis(ctx, func(ask askFunc) (err error) {
			left, err = ask("XLEN", c.redisKey(settlements))
			return err
		})
		if err == nil && left == int64(0) || time.Now().After(late) {
			out.check(err == nil && left == int64(0), "%v jobs, %v", left, err)
			return out, nil
		}
		if !sleep.For(ctx, lookEvery) {
			return out, ctx.Err()
		}
	}
}

// checkCluster returns a row for each server of the cluster that has ended.
func (c *city) checkCluster(ctx context.Context) (odd []string) {
	if c.cluster == nil {
		return nil
	}
	for _, address := range c.cluster.Addresses() {
		if err := process.RedisDo(ctx, address, "PING", "+PONG"); err != nil {
			odd = append(odd, fmt.Sprintf("redis at %s: %v", address, err))
		}
	}
	return odd
}
