package events

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// inCluster reports whether the servers are a Redis Cluster.
func (r *Redis) inCluster() bool { return false }

// serverOf returns the server where a channel of that name is published, and a
// key that differs from server to server; "" if there is only one. The answer
// may change at any time: ask again each second, and after an error.
func (r *Redis) serverOf(_ context.Context, _ string) (key string, client *redis.Client, err error) {
	client, _ = r.commands.(*redis.Client)
	return "", client, nil
}

// refreshServers looks up in the background which servers a cluster has now.
// Call it when a server that serverOf returned has failed. It does nothing for
// one server, and costs little when called often.
func (r *Redis) refreshServers() {}

// channelOf returns the channel of a name in Redis.
func (r *Redis) channelOf(name string) Channel {
	name = strings.TrimPrefix(name, r.prefix)
	if r.inCluster() {
		_, name, _ = strings.Cut(name, "}") // the hash tag is first
	}
	return Channel(name)
}
