package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/web"
)

type demoCmd struct {
	nodeFlags
	Drivers int           `help:"How many drivers." default:"200"`
	Riders  int           `help:"How many riders." default:"80"`
	Speed   float64       `help:"Seconds of the city in a second." default:"5"`
	Seed    uint64        `help:"The same seed makes the same people and wishes." default:"1"`
	Flaky   bool          `help:"Phones lose their connection now and then, and resume; the payment provider loses answers."`
	SOS     float64       `name:"sos" help:"Share of trips on which each of the two calls for help; an operator answers, at the admin door." default:"0.01"`
	For     time.Duration `help:"End after this long with a summary. Default: never."`
	Listen  string        `help:"Address of the page and the API." default:"${demo_listen}"`
	Admin   string        `help:"Address of metrics and profiles. Default: none."`
	Data    string        `help:"Folder for the database; a second start goes on from it." default:"data" type:"path"`
	JSON    bool          `help:"Print the summary as one JSON object."`
}

const (
	demoListen = "127.0.0.1:8080"
	demoSecret = "sk_test_demo"
	// quiesceFor bounds how long the node may take in the end to settle what the simulators left.
	quiesceFor = 10 * time.Second
	// operatorThinks is how long a call for help stays on the operators' page on average, for whoever watches it.
	operatorThinks = 20 * time.Second
)

func (demoCmd) Help() string {
	return "Needs nothing else. Example: ridehail demo --drivers 300 --for 60s --json"
}

func (c *demoCmd) Run(ctx context.Context, p *process) error {
	d := &demo{cmd: c, p: p, stats: simulators.NewStats(), started: time.Now()}
	if err := os.MkdirAll(c.Data, 0o755); err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	live := !c.JSON && isTerminal(p.out)
	if live { // a log would tear the picture apart
		f, err := os.OpenFile(filepath.Join(c.Data, "ridehail.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("the log: %w", err)
		}
		defer f.Close()
		d.p = &process{out: p.out, logs: f, level: p.level, log: slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: p.level}))}
		slog.SetDefault(d.p.log)
	}
	return d.run(ctx, live)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// demo is a node and everyone who uses it, in one process, over real sockets.
type demo struct {
	cmd     *demoCmd
	p       *process
	stats   *simulators.Stats
	started time.Time
	moves   tally
}

// tally counts trip events for the live picture; the summary is read from the database.
type tally struct{ requested, reserved, completed, cancelled, expired atomic.Int64 }

func (t *tally) happened(ev trips.Event) {
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

// run begins at the bottom, with the payment provider, and ends from the top: first the simulators, then, when what they
// left is settled, the node.
func (d *demo) run(ctx context.Context, live bool) error {
	cfg, stopProvider, err := d.config(ctx)
	if err != nil {
		return err
	}
	defer stopProvider()
	n, err := node.Open(ctx, cfg)
	if err != nil {
		return errors.Join(err, n.Close())
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- n.Run(serving, func() { close(ready) }) }()
	var sum summary
	select {
	case <-ready:
		sum, err = d.city(ctx, n, live)
	case err = <-ended:
		ended <- nil
	}
	stop()
	err = errors.Join(err, <-ended, n.Close())
	if err == nil {
		err = d.print(sum)
	}
	return err
}

func (d *demo) config(ctx context.Context) (node.Config, func(), error) {
	listen, err := d.listen()
	if err != nil {
		return node.Config{}, nil, err
	}
	url, stop, err := d.startProvider(ctx, listen)
	if err != nil {
		return node.Config{}, nil, err
	}
	cfg := node.Config{Name: "demo", Listen: listen, Admin: d.cmd.Admin, Database: d.cmd.Database, Redis: d.cmd.Redis,
		City: d.cmd.City, Routing: d.cmd.Routing, Policy: d.cmd.Policy, Provider: url, ProviderSecret: demoSecret, Secret: []byte(developmentSecret),
		DevTokens: true, Speed: d.cmd.Speed, OnTripEvent: d.moves.happened, Log: d.p.log}
	if cfg.Database == "" {
		cfg.Database = filepath.Join(d.cmd.Data, "ridehail.db")
	}
	return cfg, stop, nil
}

// listen is the address asked for; when nobody asked and the usual one is taken, any free one. It has a port, which the
// payment provider must know before the node is there.
func (d *demo) listen() (string, error) {
	l, err := net.Listen("tcp", d.cmd.Listen)
	if err != nil && d.cmd.Listen == demoListen {
		d.p.log.Warn("the usual address is taken, using another one", "usual", demoListen)
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// webhookURL is where the payment provider of this process finds the node that listens on an address.
func webhookURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		listen = net.JoinHostPort("localhost", port)
	}
	return "http://" + listen + "/v1/payments/webhook"
}

// hookFaults are what webhooks are like in the world: some come twice, late, or after the next one.
var hookFaults = provider.Faults{DuplicateHook: 0.1, LateHook: 0.1, ReorderHook: 0.1, LateBy: 2 * time.Second}

// startProvider runs the payment provider's emulator on a free port. It tells the node at an address what it did.
func (d *demo) startProvider(ctx context.Context, node string) (url string, stop func(), err error) {
	faults := hookFaults
	if d.cmd.Flaky {
		faults.LoseReply = 0.1
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	at, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- provider.Run(ctx, "127.0.0.1:0", filepath.Join(d.cmd.Data, "provider-ledger.jsonl"),
			provider.Config{Secret: demoSecret, Webhook: webhookURL(node), Faults: faults}, func(addr string) { at <- addr })
	}()
	select {
	case addr := <-at:
		return "http://" + addr, func() { cancel(); <-ended }, nil
	case err := <-ended:
		cancel()
		return "", nil, err
	}
}

// city runs the simulators until ctx or the time ends, then waits until what they left is settled, and sums up.
func (d *demo) city(ctx context.Context, n *node.Node, live bool) (summary, error) {
	url := n.PublicURL()
	people, stop := context.WithCancel(ctx)
	defer stop()
	if d.cmd.For > 0 {
		people, stop = context.WithTimeout(ctx, d.cmd.For)
		defer stop()
	}
	var screen sync.WaitGroup
	screen.Go(func() { d.show(people, n, url, live) })
	team, both := errgroup.WithContext(people)
	sos := 0.0
	if n.AdminURL() != "" && d.cmd.SOS > 0 { // else nobody could answer
		sos = d.cmd.SOS
		team.Go(func() error {
			return simulators.RunOperator(both, simulators.OperatorConfig{Doors: []string{n.AdminURL()},
				Think: operatorThinks, Seed: d.cmd.Seed, Stats: d.stats, Log: d.p.log})
		})
	}
	team.Go(func() error {
		return simulators.RunDrivers(both, simulators.DriverConfig{Server: url, City: n.City(), Count: d.cmd.Drivers,
			Speed: d.cmd.Speed, Seed: d.cmd.Seed, Flaky: d.cmd.Flaky, SOS: sos, Stats: d.stats, Log: d.p.log})
	})
	team.Go(func() error {
		return simulators.RunRiders(both, simulators.RiderConfig{Server: url, City: n.City(), Count: d.cmd.Riders,
			PerMinute: float64(d.cmd.Riders) / 12, Speed: d.cmd.Speed, Seed: d.cmd.Seed, Flaky: d.cmd.Flaky, SOS: sos, Stats: d.stats, Log: d.p.log})
	})
	err := team.Wait()
	stop()
	screen.Wait()
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return summary{}, fmt.Errorf("simulators: %w", err)
	}
	ctx = context.WithoutCancel(ctx)
	if err := d.quiesce(ctx, n); err != nil {
		return summary{}, err
	}
	return d.sumUp(ctx, n)
}

// quiesce waits until the outbox is empty and completed trips are paid, for a while.
func (d *demo) quiesce(ctx context.Context, n *node.Node) error {
	for end := time.Now().Add(quiesceFor); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		waiting, _, err := n.Store().Backlog(ctx)
		if err != nil {
			return err
		}
		unpaid, err := n.Store().Uncharged(ctx, time.Now(), 1)
		if err != nil {
			return err
		}
		if waiting == 0 && len(unpaid) == 0 {
			return nil
		}
	}
	return nil // the audit says what is missing
}

// show keeps the person informed: a picture on a terminal, else a line now and then.
func (d *demo) show(ctx context.Context, n *node.Node, url string, live bool) {
	out, every := d.p.logs, 10*time.Second
	if live {
		out, every = d.p.out, time.Second
	}
	s := &screen{demo: d, node: n, url: url, out: out, live: live}
	s.begin()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.end()
			return
		case <-tick.C:
			s.draw()
		}
	}
}

// pageHint says what is missing for the page, if anything.
func pageHint() string {
	if web.HasLibraries() {
		return ""
	}
	return "  (its map library is missing: run make web and build again)"
}
