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
	Flaky   bool          `help:"Phones lose their connection now and then, and resume."`
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
	n, err := openNode(ctx, cfg)
	if err != nil {
		return errors.Join(err, n.close())
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- n.run(serving, func() { close(ready) }) }()
	var sum summary
	select {
	case <-ready:
		sum, err = d.city(ctx, n, live)
	case err = <-ended:
		ended <- nil
	}
	stop()
	err = errors.Join(err, <-ended, n.close())
	if err == nil {
		err = d.print(sum)
	}
	return err
}

func (d *demo) config(ctx context.Context) (nodeConfig, func(), error) {
	url, stop, err := d.startProvider(ctx)
	if err != nil {
		return nodeConfig{}, nil, err
	}
	cfg := nodeConfig{Name: "demo", Listen: d.listen(), Admin: d.cmd.Admin, Database: d.cmd.Database, Redis: d.cmd.Redis,
		City: d.cmd.City, Routing: d.cmd.Routing, Policy: d.cmd.Policy, Provider: url, ProviderSecret: demoSecret, Secret: []byte(developmentSecret),
		DevTokens: true, Speed: d.cmd.Speed, Happened: d.moves.happened, Log: d.p.log}
	if cfg.Database == "" {
		cfg.Database = filepath.Join(d.cmd.Data, "ridehail.db")
	}
	return cfg, stop, nil
}

// listen is the address asked for; when nobody asked and the usual one is taken, any free one.
func (d *demo) listen() string {
	if d.cmd.Listen != demoListen {
		return d.cmd.Listen
	}
	l, err := net.Listen("tcp", demoListen)
	if err != nil {
		d.p.log.Warn("the usual address is taken, using another one", "usual", demoListen)
		return "127.0.0.1:0"
	}
	l.Close()
	return demoListen
}

// startProvider runs the payment provider's emulator on a free port.
func (d *demo) startProvider(ctx context.Context) (url string, stop func(), err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	at, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- provider.Run(ctx, "127.0.0.1:0", filepath.Join(d.cmd.Data, "provider-ledger.jsonl"),
			provider.Config{Secret: demoSecret}, func(addr string) { at <- addr })
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
func (d *demo) city(ctx context.Context, n *node, live bool) (summary, error) {
	url := "http://" + n.public.Addr().String()
	people, stop := context.WithCancel(ctx)
	defer stop()
	if d.cmd.For > 0 {
		people, stop = context.WithTimeout(ctx, d.cmd.For)
		defer stop()
	}
	var screen sync.WaitGroup
	screen.Go(func() { d.show(people, n, url, live) })
	team, both := errgroup.WithContext(people)
	team.Go(func() error {
		return simulators.RunDrivers(both, simulators.DriverConfig{Server: url, City: n.city, Count: d.cmd.Drivers,
			Speed: d.cmd.Speed, Seed: d.cmd.Seed, Flaky: d.cmd.Flaky, Stats: d.stats, Log: d.p.log})
	})
	team.Go(func() error {
		return simulators.RunRiders(both, simulators.RiderConfig{Server: url, City: n.city, Count: d.cmd.Riders,
			PerMinute: float64(d.cmd.Riders) / 12, Speed: d.cmd.Speed, Seed: d.cmd.Seed, Flaky: d.cmd.Flaky, Stats: d.stats, Log: d.p.log})
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
func (d *demo) quiesce(ctx context.Context, n *node) error {
	for end := time.Now().Add(quiesceFor); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		waiting, _, err := n.db.Backlog(ctx)
		if err != nil {
			return err
		}
		unpaid, err := n.db.Uncharged(ctx, time.Now(), 1)
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
func (d *demo) show(ctx context.Context, n *node, url string, live bool) {
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
