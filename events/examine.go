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

const (
	// probeLife is how long the key of the write probe stays.
	probeLife = time.Minute

	// examineTimeout is how long the examination at the start may take.
	examineTimeout = 4 * (dialTimeout + replyTimeout)
)

// findServers asks what is at an address, so that a cluster is found behind the
// address of one of its servers too. It needs one seed that answers.
func findServers(ctx context.Context, a address) (address, error) {
	var failed error
	for _, host := range a.hosts {
		found, err := askKind(ctx, a, host)
		if err == nil || isRefusal(err) || errors.Is(err, errUnfit) {
			if found == modeCluster && err == nil {
				a.mode = modeCluster
			}
			return a, err
		}
		if failed == nil {
			failed = err
		}
	}
	return a, failed
}

// askKind asks one seed. It does so without choosing a database, because a
// Sentinel and a cluster know no choice.
func askKind(ctx context.Context, a address, host string) (mode, error) {
	o := clientOptions(a.options)
	o.Addr, o.DB = host, 0
	if a.mode == modeSentinel {
		o.Username, o.Password = a.sentinelUser, a.sentinelPassword
	}
	client := redis.NewClient(&o)
	defer client.Close()

	told, err := readHello(client.Do(ctx, "HELLO", "2"))
	switch {
	case a.mode == modeSentinel && hasAnyPrefix(err, "NOAUTH ", "WRONGPASS "):
		return a.mode, explained{wantsSentinelPassword, err}
	case a.mode == modeSentinel && told != "sentinel" && (err == nil || errors.Is(err, errUnfit)):
		return a.mode, explained{isNoSentinel, errUnfit}
	case err != nil:
		return a.mode, err
	case a.mode == modeSentinel:
		return a.mode, askMaster(ctx, client, a.master)
	case told == "sentinel":
		return a.mode, explained{isSentinel, errUnfit}
	case told == "cluster" && a.options.DB != 0:
		return a.mode, explained{hasNoDatabases, errUnfit}
	case told == "cluster":
		return modeCluster, nil
	case a.mode == modeCluster:
		return a.mode, explained{isNoCluster, errUnfit}
	}
	return a.mode, nil
}

// askMaster returns an error if a Sentinel does not know a master.
func askMaster(ctx context.Context, client *redis.Client, name string) error {
	err := client.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name).Err()
	if !errors.Is(err, redis.Nil) {
		return err
	}

	var names []string
	masters, _ := client.Do(ctx, "SENTINEL", "MASTERS").Slice()
	for _, m := range masters {
		if fields, ok := m.([]any); ok && len(fields) > 1 {
			names = append(names, fmt.Sprint(fields[1]))
		}
	}
	return explained{fmt.Sprintf("this Sentinel watches no master %q, only %q", name, names), errUnfit}
}

// examine returns why the servers cannot do a node's work, in words that say
// what to do, or nil. It tries all commands that a node uses, on each server.
func (r *Redis) examine(ctx context.Context) error {
	if err := r.checkWritable(ctx); err != nil {
		return err
	}
	if r.cluster != nil {
		return r.examineCluster(ctx)
	}
	client, _ := r.commands.(*redis.Client)
	return r.examineServer(ctx, client, r.probeKey())
}

// examineServer tries all commands that a node uses on one server. It has the
// slot of the key.
func (r *Redis) examineServer(ctx context.Context, client *redis.Client, key string) error {
	if err := r.tryCommands(ctx, client, key+":"+rand.Text()); err != nil {
		return err
	}
	if err := r.trySubscribing(ctx, client, key); err != nil {
		return err
	}
	r.warnOfEviction(ctx, client)
	return nil
}

// explain says in a person's words what an error means.
func (a address) explain(err error) error {
	if a.options.TLSConfig != nil && errors.Is(err, context.DeadlineExceeded) {
		// A server without TLS waits for more of what it cannot read.
		return explained{fmt.Sprintf("no TLS within %v; is it running, and does it speak TLS? If not, use redis://", dialTimeout), err}
	}
	return explainRefusal(err)
}

// CheckWritable returns an error unless Redis takes a write and is a primary,
// by asking once; in a cluster, unless all slots are served and each master
// takes a write. The error says what to do.
func (r *Redis) CheckWritable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+replyTimeout)
	defer cancel()
	return r.checkWritable(ctx)
}

func (r *Redis) checkWritable(ctx context.Context) error {
	if r.cluster != nil {
		return r.checkCluster(ctx)
	}

	pipe := r.commands.Pipeline()
	write := pipe.Set(ctx, r.probeKey(), "", probeLife)
	hello := pipe.Do(ctx, "HELLO", "2")
	_, _ = pipe.Exec(ctx) // the error is one of the two commands'

	if _, err := readHello(hello); errors.Is(err, errUnfit) {
		r.sessions.demoted.Store(true)
		r.sessions.giveUp()
		return err
	}
	return r.explainDenied("SET", write.Err())
}

// readHello returns the mode in the answer to HELLO, or an error if it is that
// of a replica, or if there is none. A server or a proxy without HELLO is asked
// for more by the commands that follow.
func readHello(cmd *redis.Cmd) (mode string, err error) {
	fields, err := cmd.Slice()
	if err != nil {
		if isRefusal(err) && strings.HasPrefix(err.Error(), "ERR unknown command") {
			return "", nil
		}
		return "", err
	}

	told := map[any]any{}
	for i := 0; i+1 < len(fields); i += 2 {
		told[fields[i]] = fields[i+1]
	}

	mode, _ = told["mode"].(string)
	if replica := told["role"] == "slave" || told["role"] == "replica"; replica && mode != "cluster" {
		return mode, explained{isReplica, errUnfit}
	}
	return mode, nil
}

// tryCommands carries out the commands that a node uses on keys of its own.
func (r *Redis) tryCommands(ctx context.Context, client *redis.Client, key string) error {
	stream, hash := key+":stream", key+":hash"

	pipe := client.TxPipeline()
	pipe.Ping(ctx)
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
	pipe.Eval(ctx, "return 1", []string{key})
	r.addPublishing(ctx, pipe, key, nil)
	pipe.Del(ctx, key, stream, hash)

	cmds, err := pipe.Exec(ctx)
	for _, cmd := range cmds {
		if redis.IsPermissionError(cmd.Err()) { // also where a replica refuses all others
			return r.explainDenied(cmd.Name(), cmd.Err())
		}
	}
	for _, cmd := range cmds {
		if isRefusal(cmd.Err()) && !errors.Is(cmd.Err(), redis.Nil) && !redis.IsExecAbortError(cmd.Err()) {
			return r.explainDenied(cmd.Name(), cmd.Err())
		}
	}
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return r.explainDenied("MULTI", err)
}

// trySubscribing subscribes to a channel and ends that, as a listener does.
func (r *Redis) trySubscribing(ctx context.Context, client *redis.Client, channel string) error {
	sub := client.Subscribe(ctx)
	defer sub.Close()
	subscribe, unsubscribe, prefix := sub.Subscribe, sub.Unsubscribe, ""
	if r.cluster != nil {
		subscribe, unsubscribe, prefix = sub.SSubscribe, sub.SUnsubscribe, "S"
	}

	for _, step := range []struct {
		word string
		send func(context.Context, ...string) error
	}{{"SUBSCRIBE", subscribe}, {"UNSUBSCRIBE", unsubscribe}} {
		err := step.send(ctx, channel)
		if err == nil {
			_, err = sub.ReceiveTimeout(ctx, replyTimeout)
		}
		if err != nil {
			return r.explainDenied(prefix+step.word, err)
		}
	}
	return nil
}

// warnOfEviction logs if Redis may delete queued jobs when its memory is full.
// That loses none for good, because they are queued again from the database.
func (r *Redis) warnOfEviction(ctx context.Context, client *redis.Client) {
	// Some servers and users are not given the answer.
	info, _ := client.Info(ctx, "memory").Result()
	_, policy, _ := strings.Cut(info, "\r\nmaxmemory_policy:")
	policy, _, _ = strings.Cut(policy, "\r\n")
	if strings.HasPrefix(policy, "allkeys-") && !strings.Contains(info, "\r\nmaxmemory:0\r\n") {
		r.log.Warn("Redis will delete queued jobs when its memory is full; set its maxmemory-policy to noeviction",
			"maxmemory-policy", policy)
	}
}

func (r *Redis) probeKey() string { return r.prefix + "probe" }
