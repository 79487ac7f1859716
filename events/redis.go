// Package events is the only package that speaks Redis: it publishes what was
// committed (publish/subscribe), keeps the jobs that must be done (streams with
// consumer groups), relays the outbox, and knows which nodes are alive.
//
// Redis may lose anything at any time, so nothing here is the truth. Events are
// numbered and read again from the store after a gap. Jobs are queued again by
// those that find them undone.
package events

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Timeouts of one round trip. They are short because a node that waits for
// Redis does not serve.
const (
	dialTimeout  = 500 * time.Millisecond
	replyTimeout = 500 * time.Millisecond
	// readBlock is how long a worker waits for a job in one read, and so how
	// long it may take to notice that it must stop.
	readBlock = 500 * time.Millisecond
)

// Redis is a node's client of Redis. It may be used from many goroutines.
type Redis struct {
	prefix  string
	log     *slog.Logger
	metrics *metrics
	// commands never repeats a command by itself: a repeat after a lost reply
	// to XADD would be a second job.
	commands redis.UniversalClient
	// blocking is for reads that block, so that they cannot take all
	// connections.
	blocking redis.UniversalClient
	sessions *sessions            // of both clients
	beat     beat                 // of all listeners
	embedded *miniredis.Miniredis // only when embedded
	password string               // of the embedded server
}

// Option adjusts Open and OpenEmbedded.
type Option func(*Redis, *prometheus.Registerer)

// WithPrefix sets what every key and channel begins with; "ridehail:" by
// default.
func WithPrefix(p string) Option { return func(r *Redis, _ *prometheus.Registerer) { r.prefix = p } }

// WithLog sets the logger for trouble that heals by itself; slog.Default() by
// default.
func WithLog(l *slog.Logger) Option { return func(r *Redis, _ *prometheus.Registerer) { r.log = l } }

// WithRegisterer registers the metrics. Each Redis needs a registry of its own.
func WithRegisterer(reg prometheus.Registerer) Option {
	return func(_ *Redis, to *prometheus.Registerer) { *to = reg }
}

// ErrAddress says that the address of a server cannot be read.
var ErrAddress = errors.New("redis address")

// Open connects to a Redis server. It fails if the server cannot do a node's
// work; the error says why, and what to do.
func Open(ctx context.Context, address string, opts ...Option) (*Redis, error) {
	o, err := redis.ParseURL(address)
	if err != nil {
		// The whole address may have a password in it.
		if bad := new(url.Error); errors.As(err, &bad) {
			err = bad.Err
		}
		return nil, fmt.Errorf("%w: %w (want redis://HOST:PORT/DB)", ErrAddress, err)
	}

	r := newRedis(o, opts)
	if err := r.examine(ctx, *o); err != nil {
		return nil, errors.Join(fmt.Errorf("redis at %s: %w", o.Addr, err), r.Close())
	}
	return r, nil
}

// OpenEmbedded starts a server inside this process that speaks Redis, on
// loopback and behind a random password, and connects to it as to any other.
func OpenEmbedded(opts ...Option) (*Redis, error) {
	mini, password := miniredis.NewMiniRedis(), rand.Text()
	mini.RequireAuth(password)
	if err := mini.Start(); err != nil {
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	r := newRedis(&redis.Options{Addr: mini.Addr(), Password: password}, opts)
	r.embedded, r.password = mini, password
	return r, nil
}

func newRedis(o *redis.Options, opts []Option) *Redis {
	redirectLibraryLog()
	r := &Redis{prefix: "ridehail:", log: slog.Default(), sessions: newSessions()}
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
	r.commands.AddHook(r.sessions)
	r.blocking.AddHook(r.sessions)
	return r
}

// Close ends the connections, and the server if it is embedded. Everything that
// uses r must have ended before.
func (r *Redis) Close() error {
	err := errors.Join(r.commands.Close(), r.blocking.Close())
	if r.embedded != nil {
		r.embedded.Close()
	}
	return err
}

// EmbeddedURL returns the address of the embedded server, with its password, for
// other clients in this process. It is empty when the server is a real one.
func (r *Redis) EmbeddedURL() string {
	if r.embedded == nil {
		return ""
	}
	return "redis://:" + r.password + "@" + r.embedded.Addr() + "/0"
}

// CommandsSent returns how many commands this client has sent, those of each
// pipeline included and subscriptions not.
func (r *Redis) CommandsSent() int64 { return r.sessions.commands.Load() }

func (r *Redis) wakeChannel() string            { return r.prefix + "wake" }
func (r *Redis) membersKey() string             { return r.prefix + "members" }
func (r *Redis) streamKey(stream string) string { return r.prefix + stream }
func (r *Redis) deadKey(stream string) string   { return r.prefix + stream + ":dead" }

// deadIndexKey is a hash from job to the entry of its dead letter.
func (r *Redis) deadIndexKey(stream string) string {
	return r.prefix + stream + ":dead:index"
}
