package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/lab/faults"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/store"
)

// lines are those between the parts of a demo, which the desk breaks.
type lines struct {
	riders, drivers, redis, database, provider *faults.Line

	whyNotRedis, whyNotDatabase string

	closers []func() error // in order
}

// open starts a line to a HOST:PORT.
func (l *lines) open(to string) (*faults.Line, error) {
	line, err := faults.OpenLine(to)
	if err == nil {
		l.closers = append(l.closers, func() error { line.Close(); return nil })
	}
	return line, err
}

// close ends all lines, and the Redis that it has started, last first.
func (l *lines) close() error {
	var errs []error
	for i := len(l.closers) - 1; i >= 0; i-- {
		errs = append(errs, l.closers[i]())
	}
	return errors.Join(errs...)
}

// openLines puts a line into each of the ways between the node and what it
// uses, and between the simulators and the node. The caller closes d.lines, also
// beside an error.
func (d *demo) openLines() (err error) {
	l, cfg := &d.lines, &d.cfg.Node
	phones := strings.TrimPrefix(localURL(cfg.Listen), "http://")
	if l.riders, err = l.open(phones); err != nil {
		return err
	}
	if l.drivers, err = l.open(phones); err != nil {
		return err
	}

	if l.provider, err = l.open(strings.TrimPrefix(cfg.Provider, "http://")); err != nil {
		return err
	}
	cfg.Provider = "http://" + l.provider.Address()
	return errors.Join(d.openRedisLine(), d.openDatabaseLine())
}

// openRedisLine starts a Redis in this process if none is named.
func (d *demo) openRedisLine() error {
	l, cfg := &d.lines, &d.cfg.Node
	if cfg.Redis == "" {
		server, err := events.OpenEmbedded(events.WithLog(d.cfg.Log))
		if err != nil {
			return err
		}
		l.closers, cfg.Redis = append(l.closers, server.Close), server.EmbeddedURL()
	}

	u, err := url.Parse(cfg.Redis)
	if err != nil || u.Scheme != "redis" || u.Host == "" || strings.Contains(u.Host, ",") {
		l.whyNotRedis = "It needs one Redis at redis://HOST:PORT: a line cannot stand before TLS, a socket file, Sentinels or a cluster."
		return nil // the node says what is wrong with an address
	}
	if l.redis, err = l.open(withPort(u, "6379")); err != nil {
		return err
	}
	u.Host = l.redis.Address()
	cfg.Redis = u.String()
	return nil
}

// openDatabaseLine leaves a file as it is.
func (d *demo) openDatabaseLine() error {
	l, cfg := &d.lines, &d.cfg.Node
	if !store.IsPostgres(cfg.Database) {
		return nil
	}

	u, err := url.Parse(cfg.Database)
	if err != nil || u.Hostname() == "" || strings.Contains(u.Host, ",") || u.Query().Has("host") || strings.HasPrefix(u.Query().Get("sslmode"), "verify") {
		l.whyNotDatabase = "It needs one Postgres at postgres://HOST:PORT/NAME, without sslmode=verify-…: a line cannot stand before the others."
		return nil
	}
	if l.database, err = l.open(withPort(u, "5432")); err != nil {
		return err
	}
	u.Host = l.database.Address()
	cfg.Database = u.String()
	return nil
}

// withPort returns the HOST:PORT of a URL.
func withPort(u *url.URL, usual string) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), usual)
}

// openDesk makes the fault switches. The caller closes the desk.
func (d *demo) openDesk() *faults.Desk {
	l, file := &d.lines, d.cfg.Node.Database
	if store.IsPostgres(file) {
		file = ""
	}
	return faults.New(faults.Config{Riders: l.riders, Drivers: l.drivers, Redis: l.redis, Database: l.database, Provider: l.provider,
		File: file, WhyNotRedis: l.whyNotRedis, WhyNotDatabase: l.whyNotDatabase, City: city{d}, Log: d.cfg.Log})
}

// city tells the desk the figures of the demo. It may be asked once the node is
// open.
type city struct{ *demo }

func (c city) Phones() faults.PhoneFigures {
	s := c.stats.Snapshot()
	return faults.PhoneFigures{Connected: s.DriversConnected + s.RidersConnected, Lost: s.ConnectionsLost, Resumed: s.Resumed,
		RepeatedCommand: s.CommandsRepeated, P50Ms: s.RecentP50}
}

func (c city) Positions() uint64 { return c.node.Drivers().Counts().Accepted }
func (c city) Completed() int64  { return c.tally.completed.Load() }

func (c city) Backlog(ctx context.Context) (rows int, oldest time.Time, err error) {
	return c.node.Store().Backlog(ctx)
}

func (c city) CheckWritable(ctx context.Context) error { return c.node.Store().CheckWritable(ctx) }

// maxUnpaid bounds the rides that are counted.
const maxUnpaid = 10_000

func (c city) Unpaid(ctx context.Context, until time.Time) (int, error) {
	unpaid, err := c.node.Store().UnchargedTrips(ctx, until, maxUnpaid)
	return len(unpaid), err
}

// tracedPerSecond is about how many trips a second are recorded hop by hop: all
// of them, unless more are wanted.
const tracedPerSecond = 2.0

// traceRatio is the share of trips whose hops are recorded.
func traceRatio(riders int, speed float64) float64 {
	expected := ridesPerMinute(riders) / 60 * speed
	return min(1, tracedPerSecond/max(expected, tracedPerSecond))
}

// ridesPerMinute is how many rides so many riders want in a minute of the city.
func ridesPerMinute(riders int) float64 { return float64(riders) / 12 }

// awaitSettled waits until the outbox is empty and completed trips are paid. It
// gives up after a while without an error, unless the database cannot be read:
// the audit then says what is missing.
func awaitSettled(ctx context.Context, n *node.Node, timeout time.Duration) error {
	var waiting, unpaid int
	var err error
	for end := time.Now().Add(timeout); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if waiting, unpaid, err = countUnsettled(ctx, n); err == nil && waiting == 0 && unpaid == 0 {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("awaiting payments: %w", err)
	}
	return nil
}

func countUnsettled(ctx context.Context, n *node.Node) (waiting, unpaid int, err error) {
	if waiting, _, err = n.Store().Backlog(ctx); err != nil {
		return 0, 0, err
	}
	trips, err := n.Store().UnchargedTrips(ctx, time.Now(), 1)
	return waiting, len(trips), err
}
