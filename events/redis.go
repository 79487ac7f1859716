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
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/tracing"
)

// Timeouts of one round trip. They are short because a node that waits for
// Redis does not serve.
const (
	dialTimeout  = 500 * time.Millisecond
	replyTimeout = 500 * time.Millisecond
	// readBlock is how long a worker waits for a job in one read, and so how
	// long it may take to notice that it must stop.
	readBlock = time.Second
)

// Redis is a node's client of Redis. It may be used from many goroutines.
type Redis struct {
	prefix  string
	log     *slog.Logger
	metrics *metrics
	tracer  *tracing.Tracer // nil: no hop is recorded
	// commands never repeats a command by itself: a repeat after a lost reply
	// to XADD would be a second job.
	commands redis.UniversalClient
	// blocking is for reads that block, so that they cannot take all
	// connections.
	blocking redis.UniversalClient
	mode     mode
	cluster  *redis.ClusterClient // commands in a cluster; otherwise nil
	refresh  func()               // see refreshServers; nil without a cluster
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

// WithTracer records the hops of sampled trips.
func WithTracer(t *tracing.Tracer) Option {
	return func(r *Redis, _ *prometheus.Registerer) { r.tracer = t }
}

// Open connects to the servers at one of AddressForms. It fails if they cannot
// do a node's work; the error says why, and what to do.
func Open(ctx context.Context, at string, opts ...Option) (*Redis, error) {
	redirectLibraryLog()
	a, err := parseAddress(at)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	if a, err = findServers(ctx, a); err != nil {
		return nil, fmt.Errorf("redis at %v: %w", a, a.explain(err))
	}

	r := newRedis(a, opts)
	if err := r.examine(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("redis at %v: %w", a, a.explain(err)), r.Close())
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
	r := newRedis(address{options: redis.Options{Addr: mini.Addr(), Password: password}}, opts)
	r.embedded, r.password = mini, password
	return r, nil
}

func newRedis(a address, opts []Option) *Redis {
	redirectLibraryLog()
	r := &Redis{prefix: "ridehail:", log: slog.Default(), sessions: newSessions()}
	var reg prometheus.Registerer
	for _, opt := range opts {
		opt(r, &reg)
	}
	r.metrics = newMetrics(reg)
	r.sessions.metrics = r.metrics
	registerCommands(reg, r.sessions)
	r.connect(a)
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

func (r *Redis) membersKey() string             { return r.oneSlot("members") }
func (r *Redis) currentMembersKey() string      { return r.membersKey() + ":2" } // of this build
func (r *Redis) streamKey(stream string) string { return r.oneSlot(stream) }
func (r *Redis) deadKey(stream string) string   { return r.oneSlot(stream) + ":dead" }

// deadIndexKey is a hash from job to the entry of its dead letter.
func (r *Redis) deadIndexKey(stream string) string { return r.oneSlot(stream) + ":dead:index" }
