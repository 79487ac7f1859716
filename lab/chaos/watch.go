package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/process"
)

const (
	readEvery = time.Second
	pingEvery = 50 * time.Millisecond
)

// watcher polls metrics of nodes, Postgres and the provider during a run, past
// all proxies.
type watcher struct {
	city *city
	db   database

	mu           sync.Mutex   // guards the fields below
	uses         [][]timedUse // by node
	accepted     []*meter     // positions that a node accepted, by node
	transactions meter
	calls        meter
	ready        []time.Time // when Postgres answered again
}

// timedUse is a node's resource use at a moment.
type timedUse struct {
	at time.Time
	ResourceUse
}

type database interface {
	CheckWritable(ctx context.Context) error
	CountTransactions(ctx context.Context) (int64, error)
}

func newWatcher(c *city, db database) *watcher {
	w := &watcher{city: c, db: db, uses: make([][]timedUse, len(c.nodes))}
	for range c.nodes {
		w.accepted = append(w.accepted, new(meter))
	}
	return w
}

// run polls until ctx ends.
func (w *watcher) run(ctx context.Context) error {
	var team errgroup.Group
	every := func(d time.Duration, read func(context.Context)) {
		team.Go(func() error {
			for read(ctx); sleep.For(ctx, d); read(ctx) {
			}
			return nil
		})
	}

	for i, n := range w.city.nodes {
		every(readEvery, func(ctx context.Context) { w.readNode(ctx, i, n) })
	}
	every(readEvery, w.pollCounter(&w.transactions, w.db.CountTransactions))
	every(readEvery, w.pollCounter(&w.calls, w.city.countProviderCalls))

	answers := true
	every(pingEvery, func(ctx context.Context) {
		err := w.db.CheckWritable(ctx)
		if now := time.Now(); err == nil && !answers {
			w.mu.Lock()
			w.ready = append(w.ready, now)
			w.mu.Unlock()
		}

		answers = err == nil || ctx.Err() != nil
	})

	return team.Wait()
}

// readNode skips a node that does not answer.
func (w *watcher) readNode(ctx context.Context, i int, n *node) {
	h, err := n.readResources(ctx, answerWithin)
	if err != nil {
		return
	}

	w.mu.Lock()
	defer w.mu.Unlock()

	now := time.Now()
	w.uses[i] = append(w.uses[i], timedUse{now, h})
	w.accepted[i].addReading(now, h.accepted)
}

// pollCounter returns a function that adds a reading, unless read fails.
func (w *watcher) pollCounter(m *meter, read func(context.Context) (int64, error)) func(context.Context) {
	return func(ctx context.Context) {
		n, err := read(ctx)
		if err != nil {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		m.addReading(time.Now(), n)
	}
}

// countProviderCalls asks the provider how many requests it had.
func (c *city) countProviderCalls(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.providerURL+"/calls", nil)
	if err != nil {
		return 0, err
	}

	req.Header.Set("Authorization", "Bearer "+providerSecret)
	res, err := process.FreshHTTP.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()

	var got struct {
		Calls int64 `json:"calls"`
	}
	err = json.NewDecoder(io.LimitReader(res.Body, 1<<10)).Decode(&got)
	return got.Calls, err
}

// readPayments reads from the provider's ledger when money was taken.
func (c *city) readPayments() (out []time.Time, err error) {
	f, err := os.Open(c.ledgerPath)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()

	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			// A last line truncated by a kill was never confirmed.
			return out, nil
		}
		if err != nil {
			return nil, err
		}

		var e struct {
			Kind   string    `json:"kind"`
			Status string    `json:"status"`
			At     time.Time `json:"paid_at"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("%s: %w", c.ledgerPath, err)
		}
		if e.Kind == "" && e.Status == "success" {
			out = append(out, e.At)
		}
	}
}

// fillCosts sets Load and Calls of each recovery.
func (w *watcher) fillCosts(all []Recovery, whole interval, strikes []Strike, paid []time.Time) {
	calm := findGaps(whole, faultIntervals(strikes, ""))
	usual := 0.0
	if s := totalSeconds(calm); s >= 1 {
		usual = w.transactions.growthWithin(calm) / s
	}

	for i := range all {
		r, in := &all[i], faultIntervals(strikes, all[i].Kind)
		if r.Kind == "" {
			in = calm
		}
		if s := totalSeconds(in); s > 0 && usual > 0 {
			r.Load = w.transactions.growthWithin(in) / s / usual
		}

		taken := 0
		for _, at := range paid {
			if slices.ContainsFunc(in, func(i interval) bool { return !at.Before(i.from) && at.Before(i.to) }) {
				taken++
			}
		}

		if taken > 0 {
			r.Calls = w.calls.growthWithin(in) / float64(taken)
		}
	}
}

// timesAfterReady returns how long after Postgres answered again every node had
// carried out a command, in milliseconds. It has one figure for each kill of
// Postgres during which nothing else was broken. Probes are 250 ms apart, which
// is in the figure.
func (w *watcher) timesAfterReady(strikes []Strike, answers []probeResult, nodes int) (out []float64) {
	for _, s := range strikes {
		i := slices.IndexFunc(w.ready, func(at time.Time) bool { return !at.Before(s.Healed) })
		if s.Kind != KillPostgres || i < 0 {
			continue
		}

		ready := w.ready[i]
		alone := !slices.ContainsFunc(strikes, func(o Strike) bool {
			return o != s && o.Begun.Before(ready.Add(blameTime)) && o.Healed.Add(blameTime).After(s.Begun)
		})
		if worst, all := slowestFirstCommand(answers, s.Healed, ready, nodes); alone && all {
			out = append(out, toMillis(worst))
		}
	}
	return out
}

// slowestFirstCommand returns how long after from the last node carried out its
// first command of those sent after asked.
func slowestFirstCommand(answers []probeResult, asked, from time.Time, nodes int) (worst time.Duration, all bool) {
	first := make([]time.Time, nodes)
	for _, a := range answers {
		done := a.at.Add(a.took)
		if a.kind == commandProbe && a.ok && a.at.After(asked) && !done.Before(from) &&
			(first[a.node].IsZero() || done.Before(first[a.node])) {
			first[a.node] = done
		}
	}

	for _, at := range first {
		if at.IsZero() {
			return 0, false
		}
		worst = max(worst, at.Sub(from))
	}

	return worst, true
}
