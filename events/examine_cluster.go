package events

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// slotCount is the number of slots of a Redis Cluster.
const slotCount = 16384

// examineCluster tries all commands that a node uses on each master: users and
// their rights are set on each server apart.
func (r *Redis) examineCluster(ctx context.Context) error {
	err := r.onEachMaster(ctx, func(ctx context.Context, master *redis.Client, key string) error {
		// What a cluster client needs to find its way.
		pipe := master.Pipeline()
		pipe.ClusterSlots(ctx)
		pipe.ClusterShards(ctx)
		pipe.Do(ctx, "ASKING")
		cmds, _ := pipe.Exec(ctx) // the error is that of a command
		for _, cmd := range cmds {
			if cmd.Err() != nil {
				return r.explainDenied(fmt.Sprint(cmd.FullName()), cmd.Err())
			}
		}
		return r.examineServer(ctx, master, key)
	})
	if err == nil {
		r.warnOfReplicas(ctx)
	}
	return err
}

// warnOfReplicas logs if a replica would not let the user do what a node must
// once it is a master. A replica checks the rights before it answers MOVED.
func (r *Redis) warnOfReplicas(ctx context.Context) {
	_ = r.cluster.ForEachSlave(ctx, func(ctx context.Context, replica *redis.Client) error {
		err := r.tryCommands(ctx, replica, r.probeKey())
		if err != nil && (strings.Contains(err.Error(), "NOPERM ") || redis.IsAuthError(err)) {
			r.log.Warn("a replica would refuse this node after a failover; make the user there too",
				"replica", replica.Options().Addr, "err", err)
		}
		return nil
	})
}

// checkCluster returns an error unless all slots are served and each master
// takes a write.
func (r *Redis) checkCluster(ctx context.Context) error {
	return r.onEachMaster(ctx, func(ctx context.Context, master *redis.Client, key string) error {
		pipe := master.Pipeline()
		info := pipe.ClusterInfo(ctx)
		write := pipe.Set(ctx, key, "", probeLife)
		_, _ = pipe.Exec(ctx) // the error is one of the two commands'

		if info.Err() != nil {
			return r.explainDenied("CLUSTER INFO", info.Err())
		}
		if ok := "\ncluster_slots_ok:" + strconv.Itoa(slotCount) + "\r"; !strings.Contains(info.Val(), ok) {
			return r.explainMissingSlots(ctx, master)
		}
		if !strings.Contains(info.Val(), "cluster_state:ok\r") {
			return explained{"the cluster's state is not ok for this server; look into its log", errUnfit}
		}
		return r.explainDenied("SET", write.Err())
	})
}

// onEachMaster calls a function for each master of the cluster at once, with a
// key whose slot it serves. It returns the first error, with the address.
func (r *Redis) onEachMaster(ctx context.Context, call func(ctx context.Context, master *redis.Client, key string) error) error {
	keys, err := r.probeKeys(ctx)
	if err == nil && len(keys) == 0 {
		err = explained{"none of the cluster's slots is served: has it been created?", errUnfit}
	}
	if err != nil {
		return r.explainDenied("CLUSTER SLOTS", err)
	}

	var each errgroup.Group
	for master, key := range keys {
		each.Go(func() error {
			err := call(ctx, master, key)
			if err == nil {
				return nil
			}
			r.refreshServers()
			return fmt.Errorf("%s: %w", master.Options().Addr, explainRefusal(err))
		})
	}
	return each.Wait()
}

// probeKeys returns for each master a key whose slot it serves.
func (r *Redis) probeKeys(ctx context.Context) (map[*redis.Client]string, error) {
	var mu sync.Mutex // guards missing: the masters are visited at once
	missing := map[*redis.Client]bool{}
	err := r.cluster.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		missing[master] = true
		return nil
	})
	if err != nil {
		return nil, err
	}

	keys := map[*redis.Client]string{}
	for n := 0; len(missing) > 0 && n < 20*slotCount; n++ {
		key := r.prefix + "probe:{" + strconv.Itoa(n) + "}"
		master, err := r.cluster.MasterForKey(ctx, key)
		if err != nil {
			return nil, err
		}
		if missing[master] {
			keys[master] = key
			delete(missing, master)
		}
	}
	return keys, nil
}

// explainMissingSlots says which slots no master serves.
func (r *Redis) explainMissingSlots(ctx context.Context, master *redis.Client) error {
	shards, err := master.ClusterShards(ctx).Result()
	if err != nil {
		return r.explainDenied("CLUSTER SHARDS", err)
	}

	served := make([]bool, slotCount)
	for _, shard := range shards {
		if !isServed(shard) {
			continue
		}
		for _, slots := range shard.Slots {
			for slot := slots.Start; slot <= slots.End && slot < slotCount; slot++ {
				served[slot] = true
			}
		}
	}

	count, ranges := listUnset(served)
	return explained{fmt.Sprintf("%d of the cluster's %d slots are served by no master (%s); give them to one with redis-cli --cluster fix",
		count, slotCount, ranges), errUnfit}
}

// isServed reports whether a shard has a master that is not known to be down.
func isServed(shard redis.ClusterShard) bool {
	for _, n := range shard.Nodes {
		if n.Role == "master" && n.Health == "online" {
			return true
		}
	}
	return false
}

// listUnset returns how many are unset, and the first few ranges of them.
func listUnset(set []bool) (count int, ranges string) {
	var found []string
	for i := 0; i < len(set); i++ {
		begin := i
		for i < len(set) && !set[i] {
			i++
		}
		if i == begin {
			continue
		}
		count += i - begin
		found = append(found, fmt.Sprintf("%d-%d", begin, i-1))
	}

	if len(found) > 5 {
		found = append(found[:5], "...")
	}
	return count, strings.Join(found, ", ")
}
