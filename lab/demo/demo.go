// Package demo runs a whole city in one process: a node, the payment
// provider's emulator, and simulated drivers, riders and an operator, who
// reach the node over real sockets.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/internal/filelock"
	"github.com/ridehail/ridehail/internal/httpserver"
	"github.com/ridehail/ridehail/lab/faults"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/page"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/trips"
)

// Config says what a demo consists of.
type Config struct {
	// Node is the node's configuration. Run fills in the name, the payment
	// provider, the database if there is none, and development tokens.
	Node node.Config

	// The simulators.
	Drivers, Riders int // either may be 0
	Seed            uint64
	Flaky           bool // phones lose connections, the provider loses answers
	// SOS is the share of trips on which each person calls for help.
	SOS float64
	For time.Duration // 0: until the context ends

	Experiments []finding.Experiment // of the page at /lab

	Data string // an existing folder for database and ledger

	// Screen shows the progress: a picture redrawn every second if Live, which
	// needs a terminal, else a line now and then.
	Screen io.Writer
	Live   bool
	Log    *slog.Logger
}

// ClaimFolder makes the folder of a demo's data, if there is none, and keeps
// other demos out of it until unlock is called or the process ends. Errors wrap
// node.ErrUsage when another demo has it.
func ClaimFolder(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the data folder: %w", err)
	}
	unlock, err = filelock.Take(filepath.Join(dir, "demo.lock"))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("%w: the data folder %s is %w: stop that demo, or choose another folder with --data", node.ErrUsage, dir, err)
	}
	return unlock, err
}

// DefaultListen is the address of a demo when none is asked for. If it is
// taken, Run uses a free port instead.
const DefaultListen = "127.0.0.1:8080"

const (
	providerSecret = "sk_test_demo"

	// settleTimeout bounds how long the node may take at the end to settle the
	// trips that the simulators completed.
	settleTimeout = 10 * time.Second

	// settleAfterFault is that time when a fault was on shortly before: jobs
	// that failed come back after longer and longer waits.
	settleAfterFault = time.Minute

	// operatorThinks is how long a call for help stays on the operators' page
	// on average, so that a person can see it there.
	operatorThinks = 20 * time.Second
)

// demo is one run.
type demo struct {
	cfg     Config
	stats   *simulators.Stats
	paid    provider.Counts
	started time.Time
	tally   tally

	// Set before people come.
	lines lines
	desk  *faults.Desk
	node  *node.Node
}

// tally counts trip events for the screen; the summary reads the database.
type tally struct{ requested, reserved, completed, cancelled, expired atomic.Int64 }

// countEvent may be called from any goroutine.
func (t *tally) countEvent(ev trips.Event) {
	switch ev.Kind {
	case trips.KindRequested:
		t.requested.Add(1)
	case trips.KindReserved:
		t.reserved.Add(1)
	case trips.KindCompleted:
		t.completed.Add(1)
	case trips.KindExpired:
		t.expired.Add(1)
	case trips.KindRiderCancel, trips.KindDriverCancel, trips.KindSystemCancel:
		t.cancelled.Add(1)
	}
}

// Run runs a city until ctx or cfg.For ends, and returns what happened in it.
// A broken promise is counted in the Summary and is not an error. Run starts
// the payment provider first, then the node, then the simulators. It stops
// them in the opposite order, and waits for open payments before it stops the
// node. Errors of the node wrap node.ErrUsage or node.ErrUnreachable.
func Run(ctx context.Context, cfg Config) (sum Summary, err error) {
	d := &demo{cfg: cfg, stats: simulators.NewStats(), started: time.Now()}
	d.showStart()

	stopProvider, err := d.configureNode(ctx)
	if err != nil {
		return Summary{}, err
	}
	defer stopProvider()

	defer func() { err = errors.Join(err, d.lines.close()) }()
	if err := d.openLines(); err != nil {
		return Summary{}, err
	}
	d.desk = d.openDesk()
	defer d.desk.Close()

	experiments := d.mountPages(ctx)
	defer experiments.Close()

	n, err := node.Open(ctx, d.cfg.Node)
	d.node = n
	if err != nil {
		if ctx.Err() != nil {
			d.showStoppedEarly()
		}
		return Summary{}, errors.Join(err, n.Close())
	}

	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- n.Run(serving, func() { close(ready) }) }()

	select {
	case <-ready:
		sum, err = d.runCity(ctx, n)
	case err = <-ended:
		ended <- nil
	}

	experiments.Close()
	d.desk.Close()
	stop()
	err = errors.Join(err, <-ended, n.Close())
	sum.took = time.Since(d.started)
	return sum, err
}

// configureNode completes the node's configuration and starts the payment
// provider, which the caller stops.
func (d *demo) configureNode(ctx context.Context) (stopProvider func(), err error) {
	cfg := &d.cfg.Node
	if cfg.Listen, err = d.chooseAddress(cfg.Listen); err != nil {
		return nil, err
	}
	if cfg.Provider, stopProvider, err = d.startProvider(ctx); err != nil {
		return nil, err
	}

	cfg.Name, cfg.DevTokens, cfg.ProviderSecret = "demo", true, providerSecret
	cfg.OnTripEvent, cfg.Log = d.tally.countEvent, d.cfg.Log
	cfg.TraceRatio = traceRatio(d.cfg.Riders, cfg.Speed)
	if cfg.Database == "" {
		cfg.Database = filepath.Join(d.cfg.Data, "ridehail.db")
	}
	return stopProvider, nil
}

// mountPages adds the lab's page and the fault switches to the node. Runs of the
// lab end with ctx.
func (d *demo) mountPages(ctx context.Context) *page.Page {
	p := page.New(ctx, page.Config{Experiments: d.cfg.Experiments, MayRun: d.cfg.Node.DevTokens, Log: d.cfg.Log})
	switches := d.desk.Handler()
	d.cfg.Node.Faults = d.desk.Faults
	d.cfg.Node.Pages = map[string]http.Handler{"/lab": p, "/lab/": p, faults.Path: switches, faults.Path + "/": switches}
	return p
}

// chooseAddress returns the wanted address with a real port, which the payment
// provider must know before the node listens. If DefaultListen is wanted and
// taken, it returns any free one.
func (d *demo) chooseAddress(wanted string) (string, error) {
	l, err := httpserver.Listen("--listen", wanted)
	if err != nil && wanted == DefaultListen {
		d.cfg.Log.Warn("the usual address is taken, using another one", "usual", DefaultListen)
		l, err = httpserver.Listen("--listen", "127.0.0.1:0")
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", node.ErrUsage, err)
	}
	return l.Addr().String(), l.Close()
}

// localURL is where this machine reaches the node that listens on an address.
func localURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		listen = net.JoinHostPort("localhost", port)
	}
	return "http://" + listen
}

// webhookFaults make webhooks as unreliable as real ones: some arrive twice,
// late, or after the next one.
var webhookFaults = provider.Faults{DuplicateHook: 0.1, LateHook: 0.1, ReorderHook: 0.1, LateBy: 2 * time.Second,
	ForeignHook: 0.1}

// startProvider runs the payment provider's emulator on a free port. It sends
// webhooks to the node. stop waits until it has ended.
func (d *demo) startProvider(ctx context.Context) (url string, stop func(), err error) {
	cfg := provider.Config{Secret: providerSecret, Webhook: localURL(d.cfg.Node.Listen) + "/v1/payments/webhook", Faults: webhookFaults, Counts: &d.paid}
	if d.cfg.Flaky {
		cfg.Faults.LoseReply = 0.1
	}

	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	listening, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- provider.Run(ctx, "127.0.0.1:0", filepath.Join(d.cfg.Data, "provider-ledger.jsonl"), cfg,
			func(address string) { listening <- address })
	}()

	select {
	case address := <-listening:
		return "http://" + address, func() { cancel(); <-ended }, nil
	case err := <-ended:
		cancel()
		return "", nil, err
	}
}

// runCity runs the simulators until ctx or the time ends, then waits until
// the trips they completed are settled, and sums up.
func (d *demo) runCity(ctx context.Context, n *node.Node) (Summary, error) {
	people, stop := context.WithCancel(ctx)
	defer stop()

	if d.cfg.For > 0 {
		people, stop = context.WithTimeout(ctx, d.cfg.For)
		defer stop()
	}

	var showing sync.WaitGroup
	showing.Go(func() { d.showProgress(people, n) })
	err := d.runPeople(people, n, "http://"+d.lines.riders.Address(), "http://"+d.lines.drivers.Address())
	stop()
	showing.Wait()
	d.desk.Close()
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return Summary{}, fmt.Errorf("simulators: %w", err)
	}

	ctx = context.WithoutCancel(ctx)
	if err := awaitSettled(ctx, n, d.settleTimeout()); err != nil {
		return Summary{}, err
	}

	return d.sumUp(ctx, n)
}

// settleTimeout is how long payments may take at the end.
func (d *demo) settleTimeout() time.Duration {
	if d.desk.WasOn(settleAfterFault) {
		return settleAfterFault
	}
	return settleTimeout
}

// runPeople runs drivers, riders and an operator until ctx ends or one fails.
// Riders' and drivers' phones reach the node at two URLs. Without an admin API
// no operator could answer, so there are no calls for help.
func (d *demo) runPeople(ctx context.Context, n *node.Node, riders, drivers string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { <-ctx.Done(); return nil }) // There may be no one else.
	speed, sos := d.cfg.Node.Speed, 0.0
	if n.AdminURL() != "" && d.cfg.SOS > 0 {
		sos = d.cfg.SOS
		group.Go(func() error {
			return simulators.RunOperator(ctx, simulators.OperatorConfig{AdminURLs: []string{n.AdminURL()},
				MeanThinkTime: operatorThinks, Seed: d.cfg.Seed, Stats: d.stats, Log: d.cfg.Log})
		})
	}

	if d.cfg.Drivers > 0 {
		group.Go(func() error {
			return simulators.RunDrivers(ctx, simulators.DriverConfig{Server: drivers, City: n.City(), Count: d.cfg.Drivers,
				Speed: speed, Seed: d.cfg.Seed, Flaky: d.cfg.Flaky, SOS: sos, Stats: d.stats, Log: d.cfg.Log})
		})
	}
	if d.cfg.Riders > 0 {
		group.Go(func() error {
			return simulators.RunRiders(ctx, simulators.RiderConfig{Server: riders, City: n.City(), Count: d.cfg.Riders,
				PerMinute: ridesPerMinute(d.cfg.Riders), EarlyRides: d.cfg.Riders / 3, Speed: speed, Seed: d.cfg.Seed,
				Flaky: d.cfg.Flaky, SOS: sos, Stats: d.stats, Log: d.cfg.Log})
		})
	}

	return group.Wait()
}
