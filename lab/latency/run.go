// Package latency measures how long a driver's update takes to a rider's
// socket, hop by hop, through the public API.
//
// Senders are open-loop: the latency of an update counts from the time when it
// is due, whether or not the sender kept up, so that a stall adds to the
// latency of every update it delayed.
package latency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ridehail/ridehail/lab/line"
	"github.com/ridehail/ridehail/wire"
)

// Config configures a run. Zero values stand for the defaults in brackets.
type Config struct {
	Server string // http://HOST:PORT
	// The servers of the drivers and of the riders, used in turn [Server].
	// A rider's server is another one than the driver's where there is one.
	DriverServers, RiderServers []string
	Together                    bool          // the rider's server is always the driver's
	Pairs                       int           // [100]
	Rate                        float64       // updates per second and pair [1]
	For                         time.Duration // [10 s]
	Warmup                      time.Duration // before it, not counted [1 s]
	Codec                       wire.Codec    // [wire.Proto]
	Bare                        bool          // the server is the bare relay, not a node
	Line                        *line.Spec    // put between the phones and the server; nil: none
	LineSeed                    uint64        // fixes which chunks the line loses
	Log                         *slog.Logger
	Progress                    func(string) // if set, called with a line for each step of the run
}

func (c Config) withDefaults() Config {
	c.Pairs, c.Rate = cmp.Or(max(c.Pairs, 0), 100), cmp.Or(max(c.Rate, 0), 1)
	c.For, c.Warmup = cmp.Or(max(c.For, 0), 10*time.Second), cmp.Or(max(c.Warmup, 0), time.Second)
	if len(c.DriverServers) == 0 {
		c.DriverServers = []string{c.Server}
	}
	if len(c.RiderServers) == 0 {
		c.RiderServers = []string{c.Server}
	}
	if c.Codec == nil {
		c.Codec = wire.Proto
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}

	return c
}

// serversOf returns the servers of driver and rider of a pair.
func (c Config) serversOf(pair int) (driver, rider string) {
	driver = c.DriverServers[pair%len(c.DriverServers)]
	if c.Together {
		return driver, driver
	}
	for k := range c.RiderServers {
		if rider = c.RiderServers[(pair+k)%len(c.RiderServers)]; rider != driver {
			break
		}
	}
	return driver, rider
}

// servers returns all servers, sorted.
func (c Config) servers() []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(c.DriverServers, c.RiderServers))))
}

// drainFor bounds the wait for the last updates after sending has ended. What a
// line loses again and again comes later.
const (
	drainFor         = 5 * time.Second
	drainForWithLine = 30 * time.Second
)

// ErrLine says that no line can lead to the server.
var ErrLine = errors.New("no line to that server")

// Run pairs drivers with riders, measures, and ends the trips. It returns after
// everything it started has ended.
func Run(ctx context.Context, cfg Config) (Report, error) {
	cfg = cfg.withDefaults()
	if cfg.Line == nil {
		return run(ctx, cfg)
	}

	if len(cfg.servers()) > 1 {
		return Report{}, fmt.Errorf("%w: there are %d; measure one, or without a line", ErrLine, len(cfg.servers()))
	}
	l, err := openLine(ctx, cfg)
	if err != nil {
		return Report{}, err
	}
	defer l.Close()

	cfg.Server = "http://" + l.Address()
	cfg.DriverServers, cfg.RiderServers = []string{cfg.Server}, []string{cfg.Server}
	r, err := run(ctx, cfg)
	r.Line = &LineReport{Delay: cfg.Line.Delay.Seconds() * 1e3, Loss: cfg.Line.Loss, Stats: l.Stats(), spec: *cfg.Line}
	return r, err
}

// openLine opens the line to a server that listens.
func openLine(ctx context.Context, cfg Config) (*line.Line, error) {
	server, err := url.Parse(cfg.Server)
	if err != nil || server.Scheme != "http" || server.Host == "" {
		return nil, fmt.Errorf("%w: %s; a line leads to http://HOST:PORT", ErrLine, cfg.Server)
	}

	to := server.Host
	if server.Port() == "" {
		to = net.JoinHostPort(server.Hostname(), "80")
	}

	// Behind the line a refusal would look like a lost connection.
	dialer := net.Dialer{Timeout: answerTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, fmt.Errorf("open a line to %s: %w", cfg.Server, err)
	}
	_ = conn.Close()

	return line.Open(to, *cfg.Line, cfg.LineSeed)
}

func run(ctx context.Context, cfg Config) (Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	m := &recorder{cfg: cfg}
	var readers sync.WaitGroup
	crew := &crew{cfg: cfg, client: newClient(cfg), recorder: m, readers: &readers, ctx: ctx}
	defer readers.Wait()
	defer crew.close()
	defer cancel()
	defer crew.endAllTrips(context.WithoutCancel(ctx))

	if err := crew.makePairs(ctx); err != nil {
		return Report{}, fmt.Errorf("pair drivers and riders at %s: %w", strings.Join(cfg.servers(), ", "), err)
	}

	cfg.Progress(fmt.Sprintf("warming up %d pairs", cfg.Pairs))
	crew.sendUpdates(ctx, cfg.Warmup)
	crew.awaitDrained(ctx)

	m.startMeasuring(crew.pairs)
	cfg.Progress(fmt.Sprintf("measuring for %s", cfg.For))
	machine := crew.measure(ctx)
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}

	r := m.buildReport(crew.pairs)
	r.TripEvents, r.Machine = crew.sumEvents(), machine
	r.Ledger = r.ledger()
	return r, nil
}

// measure sends the updates that count, and watches the machine meanwhile.
func (c *crew) measure(ctx context.Context) Machine {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen := make(chan Machine, 1)
	go func() { seen <- watchMachine(watching) }()

	c.sendUpdates(ctx, c.cfg.For)
	stop()
	machine := <-seen
	c.awaitDrained(ctx)
	return machine
}
