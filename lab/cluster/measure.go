package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/latency"
)

const (
	// restBefore passes before the idle cost is measured, because a node that
	// has just started does more.
	restBefore = 2 * time.Second
	// joinWithin is how long the crowd may connect before the measurement
	// begins.
	joinWithin = 5 * time.Second
)

// measureSize measures one size on a stage of its own.
func (g *ground) measureSize(ctx context.Context, nodes int) (out Size, err error) {
	g.cfg.Progress(fmt.Sprintf("%d nodes: starting", nodes))
	s, err := g.openStage(ctx, nodes)
	defer func() { err = errors.Join(err, s.close()) }()
	if err != nil {
		return out, err
	}

	m := &measurement{ground: g, stage: s, size: Size{Nodes: nodes}}
	if err := m.measureIdle(ctx); err != nil {
		return out, err
	}
	if g.cfg.Kill {
		err = m.measureKill(ctx)
	} else {
		err = m.measureLoad(ctx)
	}
	if err == nil {
		err = m.settle(ctx)
	}
	return m.size, errors.Join(err, ctx.Err(), s.checkProcesses())
}

// measurement measures one size.
type measurement struct {
	*ground
	stage *stage
	size  Size
}

// reading is all counters at a moment.
type reading struct {
	at           time.Time
	nodes        []sample // of those alive, in order
	transactions int64
	redis        float64 // seconds of processor time; 0: unknown
	postgres     float64
}

// readCPU returns 0 on a system that does not tell.
func readCPU(read func() (time.Duration, bool)) (seconds float64) {
	used, _ := read()
	return used.Seconds()
}

type transactionCounter interface {
	CountTransactions(ctx context.Context) (int64, error)
}

func (m *measurement) read(ctx context.Context) (r reading, err error) {
	r.at = time.Now()
	for _, n := range m.stage.alive() {
		s, err := readSample(ctx, n.admin)
		if err != nil {
			return r, fmt.Errorf("%s: %w", n.Name, err)
		}
		r.nodes = append(r.nodes, s)
	}

	if counter, ok := m.stage.store.(transactionCounter); ok {
		if r.transactions, err = counter.CountTransactions(ctx); err != nil {
			return r, err
		}
	}
	if m.stage.redis.cpuTime != nil {
		r.redis = readCPU(m.stage.redis.cpuTime)
	}
	if m.postgres != nil {
		r.postgres = readCPU(m.postgres.CPUTime)
	}
	return r, nil
}

// measureIdle measures what the nodes cost without phones.
func (m *measurement) measureIdle(ctx context.Context) error {
	m.cfg.Progress(fmt.Sprintf("%d nodes: idle for %v", m.size.Nodes, m.cfg.Idle))
	sleep.For(ctx, restBefore)
	before, err := m.read(ctx)
	if err != nil {
		return err
	}
	sleep.For(ctx, m.cfg.Idle)
	after, err := m.read(ctx)
	if err != nil {
		return err
	}

	seconds, n := after.at.Sub(before.at).Seconds(), float64(len(before.nodes))
	for _, f := range m.nodeFigures(before, after) {
		m.size.Idle.CommandsPerS += f.CommandsPerS / n
		m.size.Idle.CPUPercent += f.CPUPercent / n
		m.size.Idle.BytesInPerS += f.BytesInPerS / n
		m.size.Idle.BytesOutPerS += f.BytesOutPerS / n
	}
	m.size.Idle.CommitsPerS = float64(after.transactions-before.transactions) / seconds / n
	return nil
}

// nodeFigures are the growth of each node's counters per second, and its gauges
// at the end.
func (m *measurement) nodeFigures(before, after reading) (out []Node) {
	seconds := after.at.Sub(before.at).Seconds()
	for i, n := range m.stage.alive() {
		a, b := before.nodes[i], after.nodes[i]
		f := Node{Name: n.Name, CPUPercent: 100 * (b.cpu - a.cpu) / seconds,
			MessagesInPerS: (b.received - a.received) / seconds, MessagesOutPerS: (b.published - a.published) / seconds,
			BytesInPerS: (b.redisIn - a.redisIn) / seconds, BytesOutPerS: (b.redisOut - a.redisOut) / seconds,
			CommandsPerS: (b.commands - a.commands) / seconds, FixesPerS: (b.fixes - a.fixes) / seconds,
			Drivers: int(b.drivers), Offers: int(b.offers - a.offers), Goroutines: int(b.goroutines), MemoryMiB: b.memory / (1 << 20),
			BytesInBy: ratesBetween(a.receivedBy, b.receivedBy, seconds), MessagesInBy: ratesBetween(a.messagesBy, b.messagesBy, seconds)}
		out = append(out, f)
	}
	return out
}

// ratesBetween returns by how much each counter grew in a second; those that
// did not are left out.
func ratesBetween(a, b map[string]float64, seconds float64) map[string]float64 {
	rates := map[string]float64{}
	for kind, now := range b {
		if grown := now - a[kind]; grown > 0 {
			rates[kind] = grown / seconds
		}
	}
	return rates
}

// measureLoad measures the nodes and the latencies while the crowd rides.
func (m *measurement) measureLoad(ctx context.Context) error {
	m.cfg.Progress(fmt.Sprintf("%d nodes: pairs for the latencies", m.size.Nodes))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	pairs, err := m.startPairs(ctx)
	defer pairs.running.Wait()
	defer cancel()
	if err != nil {
		return err
	}

	m.cfg.Progress(fmt.Sprintf("%d nodes: the crowd comes", m.size.Nodes))
	if err := m.stage.startCrowds(); err != nil {
		return err
	}
	close(pairs.begin)
	if err := pairs.await(ctx, pairs.measuring, pairs.groups); err != nil {
		return err
	}

	m.cfg.Progress(fmt.Sprintf("%d nodes: measuring for %v", m.size.Nodes, m.cfg.For))
	before, err := m.read(ctx)
	if err != nil {
		return err
	}
	sleep.For(ctx, m.cfg.For)
	after, err := m.read(ctx)
	if err != nil {
		return err
	}

	m.fillLoad(before, after)
	return pairs.finish(&m.size)
}

func (m *measurement) fillLoad(before, after reading) {
	seconds := after.at.Sub(before.at).Seconds()
	m.size.PerNode = m.nodeFigures(before, after)
	m.size.CommitsPerS = float64(after.transactions-before.transactions) / seconds
	m.size.RedisCPUPercent = 100 * (after.redis - before.redis) / seconds
	m.size.PostgresCPUPercent = 100 * (after.postgres - before.postgres) / seconds
}

// pairGroups are the latency measurements that run at the same time: one with
// both phones of each pair on one node, and one with them on two.
type pairGroups struct {
	running   sync.WaitGroup
	paired    chan struct{} // an element from each group
	measuring chan struct{} // an element from each group
	begin     chan struct{} // closed when all groups have their pairs
	failed    chan error
	groups    int

	same, across       latency.Report // set when running is done
	sameErr, acrossErr error
}

// startPairs makes the pairs, one group after the other, so that no driver of
// one takes a rider of the other. There must not be other drivers yet.
func (m *measurement) startPairs(ctx context.Context) (*pairGroups, error) {
	p := &pairGroups{paired: make(chan struct{}, 2), measuring: make(chan struct{}, 2), begin: make(chan struct{}), failed: make(chan error, 2)}
	urls := m.stage.urls()
	total := m.cfg.PairsPerNode * len(urls)
	apart := 0 // a node alone has no other one
	if len(urls) > 1 {
		apart = total / 2
	}
	if err := p.startGroup(ctx, m.latencyConfig(total-apart, true), &p.same, &p.sameErr); err != nil || apart == 0 {
		return p, err
	}
	return p, p.startGroup(ctx, m.latencyConfig(apart, false), &p.across, &p.acrossErr)
}

// latencyConfig has the drivers at all nodes in turn.
func (m *measurement) latencyConfig(pairs int, together bool) latency.Config {
	urls := m.stage.urls()
	return latency.Config{Server: urls[0], DriverServers: urls, RiderServers: urls, Together: together, Pairs: pairs, Rate: m.cfg.Rate,
		Warmup: joinWithin, For: m.cfg.For, Log: m.cfg.Log}
}

// startGroup returns when the group has its pairs. It measures after begin is
// closed.
func (p *pairGroups) startGroup(ctx context.Context, cfg latency.Config, report *latency.Report, err *error) error {
	cfg.Progress = func(step string) {
		switch {
		case strings.HasPrefix(step, "warming up"):
			p.paired <- struct{}{}
			select {
			case <-p.begin:
			case <-ctx.Done():
			}
		case strings.HasPrefix(step, "measuring"):
			p.measuring <- struct{}{}
		}
	}
	p.running.Go(func() {
		if *report, *err = latency.Run(ctx, cfg); *err != nil {
			p.failed <- *err
		}
	})
	p.groups++
	return p.await(ctx, p.paired, 1)
}

// await waits until so many groups have reached a step.
func (p *pairGroups) await(ctx context.Context, reached <-chan struct{}, groups int) error {
	for range groups {
		select {
		case <-reached:
		case err := <-p.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// finish waits until the groups have ended their trips, and fills in what they
// measured.
func (p *pairGroups) finish(s *Size) error {
	p.running.Wait()
	if err := errors.Join(p.sameErr, p.acrossErr); err != nil {
		return err
	}
	s.Same = describeLatency(p.same)
	if p.groups > 1 {
		s.Across = describeLatency(p.across)
	}
	return nil
}

func describeLatency(r latency.Report) *Latency {
	return &Latency{Pairs: r.Pairs, Summary: r.Latency, Sent: r.Sent, Delivered: r.Delivered, Overwritten: r.Overwritten, Lost: r.Lost,
		EventsMissing: r.TripEvents.Missing}
}
