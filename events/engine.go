package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/ridehail/ridehail/internal/sleep"
)

// connect makes the clients of the servers at an address. It sends nothing.
func (r *Redis) connect(a address) {
	r.mode = a.mode
	switch a.mode {
	case modeCluster:
		commands, blocking := r.newClusterClient(a), r.newClusterClient(a)
		r.cluster, r.commands, r.blocking = commands, commands, blocking
		r.refresh = func() {
			commands.ReloadState(context.Background())
			blocking.ReloadState(context.Background())
		}
		commands.AddHook(clusterHook{r.refresh})
		blocking.AddHook(clusterHook{r.refresh})
		return
	case modeSentinel:
		r.commands, r.blocking = redis.NewFailoverClient(failoverOptions(a)), redis.NewFailoverClient(failoverOptions(a))
	default:
		commands, blocking := clientOptions(a.options), clientOptions(a.options)
		r.commands, r.blocking = redis.NewClient(&commands), redis.NewClient(&blocking)
	}
	r.commands.AddHook(r.sessions)
	r.blocking.AddHook(r.sessions)
}

// connectionsPerServer is the size of each pool.
const connectionsPerServer = 16

// clientOptions returns what every client has of o: short timeouts, and no
// repetition.
func clientOptions(o redis.Options) redis.Options {
	o.Protocol = 2
	o.MaxRetries = -1
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, replyTimeout, replyTimeout
	o.DialerRetries = 1
	o.PoolSize, o.PoolTimeout = connectionsPerServer, replyTimeout
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o
}

func failoverOptions(a address) *redis.FailoverOptions {
	o := clientOptions(a.options)
	return &redis.FailoverOptions{
		MasterName: a.master, SentinelAddrs: a.hosts, SentinelUsername: a.sentinelUser, SentinelPassword: a.sentinelPassword,
		Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLSConfig, Dialer: o.Dialer,
		Protocol: o.Protocol, MaxRetries: o.MaxRetries, ContextTimeoutEnabled: o.ContextTimeoutEnabled,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, DialerRetries: o.DialerRetries,
		PoolSize: o.PoolSize, PoolTimeout: o.PoolTimeout, DisableIdentity: o.DisableIdentity,
	}
}

// maxRedirects is how many times a command follows MOVED or ASK. Slots that are
// moved to and fro need many.
const maxRedirects = 8

// stateAge is how old a client's knowledge of the cluster may get while no
// error says that it is out of date.
const stateAge = 10 * time.Second

func (r *Redis) newClusterClient(a address) *redis.ClusterClient {
	o := clientOptions(a.options)
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: a.hosts, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig, Dialer: o.Dialer,
		Protocol: o.Protocol, MaxRetries: o.MaxRetries, ContextTimeoutEnabled: o.ContextTimeoutEnabled,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, DialerRetries: o.DialerRetries,
		PoolSize: o.PoolSize, PoolTimeout: o.PoolTimeout, DisableIdentity: o.DisableIdentity,
		MaintNotificationsConfig: o.MaintNotificationsConfig, DisableRoutingPolicies: true, ClusterStateReloadInterval: stateAge,
		MaxRedirects: maxRedirects, MinRetryBackoff: time.Millisecond,
		NewClient: func(o *redis.Options) *redis.Client {
			c := redis.NewClient(o)
			c.AddHook(r.sessions.ofServer())
			return c
		},
	})
}

// clusterHook decides what a cluster client repeats. MOVED, ASK and TRYAGAIN say
// that a command was not carried out, so it is sent again. A command whose reply
// was lost may have been, so it is not: a second XADD would be a second job.
type clusterHook struct{ refresh func() }

// once is a command that the library sends again only after MOVED and ASK, or if
// it found no connection to send it on.
type once struct{ redis.Cmder }

func (once) NoRetry() bool { return true }

// clusterWait limits the time that a pipeline or a transaction takes. The
// library would try a server that does not answer several times.
const clusterWait = dialTimeout + 2*replyTimeout

func (h clusterHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h clusterHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		// TRYAGAIN means that the keys of one slot are moving, and some are
		// there already.
		for wait := 10 * time.Millisecond; ; wait *= 2 {
			err := next(ctx, once{cmd})
			if !redis.IsTryAgainError(err) || wait > replyTimeout || !sleep.For(ctx, wait) {
				h.judge(err)
				return err
			}
		}
	}
}

func (h clusterHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		ctx, cancel := context.WithTimeout(ctx, clusterWait)
		defer cancel()

		each := make([]redis.Cmder, len(cmds))
		for i, cmd := range cmds {
			each[i] = once{cmd}
		}
		err := next(ctx, each)
		h.judge(err)
		return err
	}
}

// judge looks up anew which servers the cluster has if an error lets that seem
// needed. The library does so itself after MOVED and ASK.
func (h clusterHook) judge(err error) {
	switch {
	case err == nil, errors.Is(err, redis.Nil), errors.Is(err, context.Canceled):
	case !isRefusal(err), hasAnyPrefix(err, "CLUSTERDOWN ", "MASTERDOWN ", "READONLY ", "UNBLOCKED ", "MOVED "):
		h.refresh()
	}
}

// refreshServers looks up in the background which servers a cluster has now.
// Call it when a server that serverOf returned has failed. It does nothing for
// one server, and costs little when called often.
func (r *Redis) refreshServers() {
	if r.refresh != nil {
		r.refresh()
	}
}

// serverOf returns the server where a channel is published, and a key that
// differs from server to server; "" if there is only one. The answer may change
// at any time: ask again each second, and after an error.
func (r *Redis) serverOf(ctx context.Context, c Channel) (key string, client *redis.Client, err error) {
	if r.cluster == nil {
		client, _ = r.commands.(*redis.Client)
		return "", client, nil
	}
	client, err = r.cluster.MasterForKey(ctx, r.channelName(c))
	if err != nil {
		return "", nil, fmt.Errorf("find the server of channel %s: %w", c, err)
	}
	return client.Options().Addr, client, nil
}

// addPublish adds the command that publishes a message.
func (r *Redis) addPublish(ctx context.Context, pipe redis.Pipeliner, to Channel, m Message) *redis.IntCmd {
	return r.addPublishing(ctx, pipe, r.channelName(to), m.encode())
}

func (r *Redis) addPublishing(ctx context.Context, pipe redis.Pipeliner, name string, payload []byte) *redis.IntCmd {
	if r.cluster == nil {
		return pipe.Publish(ctx, name, payload)
	}
	return pipe.SPublish(ctx, name, payload)
}

// tags is how many hash tags the channels of a cluster share. All channels of
// one tag are in one slot, so that one command subscribes to them.
const tags = 256

// channelTag returns the hash tag of a channel, without its braces.
func channelTag(c Channel) string { return strconv.FormatUint(xxhash.Sum64String(string(c))%tags, 10) }

// channelName is the channel's name in Redis. In a cluster it has a hash tag, so
// that channels are spread over the servers.
func (r *Redis) channelName(c Channel) string {
	if r.cluster == nil {
		return r.prefix + string(c)
	}
	return r.prefix + "{" + channelTag(c) + "}" + string(c)
}

// channelNamed returns the channel that has a name in Redis.
func (r *Redis) channelNamed(name string) Channel {
	name = strings.TrimPrefix(name, r.prefix)
	if r.cluster != nil {
		_, name, _ = strings.Cut(name, "}")
	}
	return Channel(name)
}

// oneSlot returns a name that shares its slot with all names that begin so. On
// one server it is the name of earlier builds.
func (r *Redis) oneSlot(name string) string {
	if r.cluster == nil {
		return r.prefix + name
	}
	return r.prefix + "{" + name + "}"
}

// clock returns the time of the server that keeps a key.
func (r *Redis) clock(ctx context.Context, key string) (time.Time, error) {
	if r.cluster == nil {
		return r.commands.Time(ctx).Result()
	}

	told, err := r.commands.Eval(ctx, "return redis.call('TIME')", []string{key}).Int64Slice()
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(told[0], told[1]*1000), nil
}
