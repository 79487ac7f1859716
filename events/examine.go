package events

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// probeLife is how long the key of the write probe stays.
const probeLife = time.Minute

// examine returns why a server cannot do a node's work, in words that say what
// to do, or nil. It tries all commands that a node uses.
func (r *Redis) examine(ctx context.Context, o redis.Options) error {
	ctx, cancel := context.WithTimeout(ctx, 4*(dialTimeout+replyTimeout))
	defer cancel()

	err := checkMode(ctx, o)
	if err == nil {
		err = r.CheckWritable(ctx)
	}
	if err == nil {
		err = r.tryCommands(ctx)
	}
	if err == nil {
		err = r.trySubscribing(ctx)
	}
	if err == nil {
		r.warnOfEviction(ctx)
	}
	if o.TLSConfig != nil && errors.Is(err, context.DeadlineExceeded) {
		// A server without TLS waits for more of what it cannot read.
		return explained{fmt.Sprintf("no TLS within %v; is it running, and does it speak TLS? If not, use redis://", dialTimeout), err}
	}
	return explainRefusal(err)
}

// checkMode asks without choosing a database, because a Sentinel and a Cluster
// know no choice.
func checkMode(ctx context.Context, o redis.Options) error {
	o.DB = 0
	client := redis.NewClient(&o)
	defer client.Close()
	return readHello(client.Do(ctx, "HELLO", "2"))
}

// CheckWritable returns an error unless Redis takes a write and is a primary,
// by asking once. The error says what to do.
func (r *Redis) CheckWritable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+replyTimeout)
	defer cancel()

	pipe := r.commands.Pipeline()
	write := pipe.Set(ctx, r.probeKey(), "", probeLife)
	hello := pipe.Do(ctx, "HELLO", "2")
	_, _ = pipe.Exec(ctx) // the error is one of the two commands'

	if err := readHello(hello); errors.Is(err, errUnfit) {
		r.sessions.demoted.Store(true)
		r.sessions.giveUp()
		return err
	}
	return explainRefusal(write.Err())
}

// readHello returns an error if the answer to HELLO is that of a server of a
// wrong kind, or if there is none. A server or a proxy without HELLO is asked
// for more by the commands that follow.
func readHello(cmd *redis.Cmd) error {
	fields, err := cmd.Slice()
	if err != nil {
		if isRefusal(err) && strings.HasPrefix(err.Error(), "ERR unknown command") {
			return nil
		}
		return err
	}

	told := map[any]any{}
	for i := 0; i+1 < len(fields); i += 2 {
		told[fields[i]] = fields[i+1]
	}

	switch {
	case told["mode"] == "sentinel":
		return explained{isSentinel, errUnfit}
	case told["mode"] == "cluster":
		return explained{isCluster, errUnfit}
	case told["role"] == "slave", told["role"] == "replica":
		return explained{isReplica, errUnfit}
	}
	return nil
}

// tryCommands carries out the commands that a node uses on keys of its own.
func (r *Redis) tryCommands(ctx context.Context) error {
	key := r.probeKey() + ":" + rand.Text()
	stream, hash := key+":stream", key+":hash"

	pipe := r.commands.TxPipeline()
	pipe.Time(ctx)
	pipe.ZAdd(ctx, key, redis.Z{Member: "a"})
	pipe.ZRangeByScore(ctx, key, &redis.ZRangeBy{Min: "0", Max: "+inf"})
	pipe.ZRemRangeByScore(ctx, key, "-inf", "1")
	pipe.ZRem(ctx, key, "a")
	pipe.HSet(ctx, hash, "a", "")
	pipe.HGet(ctx, hash, "a")
	pipe.HDel(ctx, hash, "a")
	pipe.XGroupCreateMkStream(ctx, stream, workerGroup, "0")
	pipe.XAdd(ctx, &redis.XAddArgs{Stream: stream, ID: "1-1", Values: []any{"a", ""}})
	pipe.XReadGroup(ctx, &redis.XReadGroupArgs{Group: workerGroup, Consumer: "a", Streams: []string{stream, ">"}, Block: -1})
	pipe.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: stream, Group: workerGroup, Idle: 1, Start: "-", End: "+", Count: 1})
	pipe.XClaim(ctx, &redis.XClaimArgs{Stream: stream, Group: workerGroup, Consumer: "a", Messages: []string{"1-1"}})
	pipe.XAck(ctx, stream, workerGroup, "1-1")
	pipe.XRange(ctx, stream, "-", "+")
	pipe.XLen(ctx, stream)
	pipe.XDel(ctx, stream, "1-1")
	pipe.Eval(ctx, "return 1", nil)
	pipe.Publish(ctx, r.channelName(NodeChannel(key)), "")
	pipe.Del(ctx, key, stream, hash)

	cmds, err := pipe.Exec(ctx)
	for _, cmd := range cmds {
		if isRefusal(cmd.Err()) && !errors.Is(cmd.Err(), redis.Nil) && !redis.IsExecAbortError(cmd.Err()) {
			return fmt.Errorf("%s: %w", strings.ToUpper(cmd.Name()), explainRefusal(cmd.Err()))
		}
	}
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

// trySubscribing subscribes to a channel as a listener does.
func (r *Redis) trySubscribing(ctx context.Context) error {
	sub := r.commands.Subscribe(ctx, r.channelName(NodeChannel("probe")))
	defer sub.Close()
	if _, err := sub.ReceiveTimeout(ctx, replyTimeout); err != nil {
		return fmt.Errorf("SUBSCRIBE: %w", explainRefusal(err))
	}
	return nil
}

// warnOfEviction logs if Redis may delete queued jobs when its memory is full.
// That loses none for good, because they are queued again from the database.
func (r *Redis) warnOfEviction(ctx context.Context) {
	// Some servers and users are not given the answer.
	info, _ := r.commands.Info(ctx, "memory").Result()
	_, policy, _ := strings.Cut(info, "\r\nmaxmemory_policy:")
	policy, _, _ = strings.Cut(policy, "\r\n")
	if strings.HasPrefix(policy, "allkeys-") && !strings.Contains(info, "\r\nmaxmemory:0\r\n") {
		r.log.Warn("Redis will delete queued jobs when its memory is full; set its maxmemory-policy to noeviction",
			"maxmemory-policy", policy)
	}
}

func (r *Redis) probeKey() string { return r.prefix + "probe" }
