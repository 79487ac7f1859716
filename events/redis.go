// Package events alone speaks Redis: it tells the world what was committed
// (publish/subscribe), keeps the jobs that must be done (streams with consumer
// groups), hands the outbox over, and says which nodes are alive.
//
// Redis may lose anything at any time. Nothing here is the truth: events are
// numbered and re-read from the store after a Gap, jobs are queued again by
// whoever finds them undone.
package events

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Timeouts of one round trip. Short, because a node that waits for Redis is a
// node that does not serve.
const (
	dialTimeout  = 500 * time.Millisecond
	replyTimeout = 500 * time.Millisecond
	// readBlock is how long a worker waits for a job in one read, and so how long
	// it may take to notice its end.
	readBlock = 500 * time.Millisecond
)

// Redis is a node's way to Redis. Use it from as many goroutines as you like.
type Redis struct {
	prefix  string
	log     *slog.Logger
	metrics *metrics
	// commands never repeats a command by itself: a lost reply to XADD would become a
	// second job.
	commands redis.UniversalClient
	// blocking is for reads that block, so that they cannot starve the others of
	// connections.
	blocking redis.UniversalClient
	embedded *miniredis.Miniredis // only when embedded
}

// Option adjusts Open and Embedded.
type Option func(*Redis, *prometheus.Registerer)

// WithPrefix sets what every key and channel begins with, "ridehail:" unless
// told.
func WithPrefix(p string) Option { return func(r *Redis, _ *prometheus.Registerer) { r.prefix = p } }

// WithLog sets where what goes wrong and heals by itself is told.
func WithLog(l *slog.Logger) Option { return func(r *Redis, _ *prometheus.Registerer) { r.log = l } }

// WithRegisterer registers the metrics; one registry per Redis.
func WithRegisterer(reg prometheus.Registerer) Option {
	return func(_ *Redis, to *prometheus.Registerer) { *to = reg }
}

// Open connects to a real Redis and fails if it does not answer.
func Open(ctx context.Context, url string, opts ...Option) (*Redis, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("redis address: %w (want redis://HOST:PORT/DB)", err)
	}

	r := newRedis(o, opts)
	if err := r.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("redis at %s does not answer: %w (is it running?)", o.Addr, err), r.Close())
	}
	return r, nil
}

// Embedded starts a server that speaks Redis inside this process, on loopback
// and behind a random password, and connects to it like to any other.
func Embedded(opts ...Option) (*Redis, error) {
	mini, password := miniredis.NewMiniRedis(), rand.Text()
	mini.RequireAuth(password)
	if err := mini.Start(); err != nil {
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	r := newRedis(&redis.Options{Addr: mini.Addr(), Password: password}, opts)
	r.embedded = mini
	return r, nil
}

func newRedis(o *redis.Options, opts []Option) *Redis {
	redirectLibraryLog()
	r := &Redis{prefix: "ridehail:", log: slog.Default()}
	var reg prometheus.Registerer
	for _, opt := range opts {
		opt(r, &reg)
	}
	r.metrics = newMetrics(reg)
	o.Protocol = 2
	o.MaxRetries = -1
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, replyTimeout, replyTimeout
	o.DialerRetries = 1
	o.PoolSize, o.PoolTimeout = 16, replyTimeout
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	blocking := *o
	r.commands, r.blocking = redis.NewClient(o), redis.NewClient(&blocking)
	return r
}

// Close ends the connections, and the server if it is embedded. Whatever runs
// on r must have ended before.
func (r *Redis) Close() error {
	err := errors.Join(r.commands.Close(), r.blocking.Close())
	if r.embedded != nil {
		r.embedded.Close()
	}
	return err
}

// Ping asks whether Redis answers.
func (r *Redis) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+replyTimeout)
	defer cancel()
	return r.commands.Ping(ctx).Err()
}

func (r *Redis) regionChannel(region string) string { return r.prefix + "region:" + region }
func (r *Redis) nodeChannel(node string) string     { return r.prefix + "node:" + node }
func (r *Redis) wakeChannel() string                { return r.prefix + "wake" }
func (r *Redis) membersKey() string                 { return r.prefix + "members" }
func (r *Redis) streamKey(stream string) string     { return r.prefix + stream }
func (r *Redis) deadKey(stream string) string       { return r.prefix + stream + ":dead" }
func (r *Redis) deadIndexKey(stream string) string {
	// entries by job
	return r.prefix + stream + ":dead:index"
}
