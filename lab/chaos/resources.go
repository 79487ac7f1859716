package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

const (
	// spare is how many more goroutines and descriptors a node may hold after a
	// run than before. Its pools grow, and shrink much later: the one to the
	// routing service alone holds 64 connections for 90 s, with both ends and
	// three goroutines each in the node. The hundreds of lost connections of a
	// minute, each leaving something, do not fit in.
	spare        = 256
	spareMiB     = 32               // of heap, the same
	returnWithin = 15 * time.Second // for what a lost connection held
	weighWithin  = 5 * time.Second
)

// Holdings is what a node holds of what leaks.
type Holdings struct {
	Goroutines  int `json:"goroutines"`
	Descriptors int `json:"descriptors"`
	// with what nobody needs any more, unless it was collected before
	HeapMiB  float64 `json:"heap_mib"`
	believed int64   // positions taken for true since its start
}

func (h Holdings) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors and %.1f MiB of heap", h.Goroutines, h.Descriptors, h.HeapMiB)
}

// Resources is what one node held over a run. Before and After are read without
// phones and after a garbage collection.
type Resources struct {
	Node   string   `json:"node"`
	Before Holdings `json:"before"`
	// the most of each while all phones were there and nothing had been broken
	// yet
	Warm  Holdings `json:"warm"`
	Most  Holdings `json:"most"` // the most of each from the first fault on
	After Holdings `json:"after"`
}

// ask reads a page of a node's operators' door.
func (n *node) ask(ctx context.Context, path string, within time.Duration, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+path, nil)
	if err != nil {
		return err
	}

	res, err := fresh.Do(req)
	if err == nil {
		err = errors.Join(read(res.Body), res.Body.Close())
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", path, n.Name, err)
	}
	return nil
}

// holdings asks a node.
func (n *node) holdings(ctx context.Context, within time.Duration) (h Holdings, err error) {
	return h, n.ask(ctx, "/metrics", within, func(text io.Reader) (err error) {
		h, err = readHoldings(text)
		return err
	})
}

// collect has a node collect its garbage.
func (n *node) collect(ctx context.Context) error {
	return n.ask(ctx, "/debug/pprof/heap?gc=1", weighWithin, func(profile io.Reader) error {
		_, err := io.Copy(io.Discard, profile)
		return err
	})
}

func readHoldings(metrics io.Reader) (h Holdings, err error) {
	h = Holdings{Goroutines: -1, Descriptors: -1}
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "go_goroutines", "process_open_fds", "go_memstats_heap_alloc_bytes", `ridehail_gateway_updates_total{result="accepted"}`:
		default:
			continue
		}

		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return h, fmt.Errorf("metric %s: %w", name, err)
		}

		switch name {
		case "go_goroutines":
			h.Goroutines = int(value)
		case "process_open_fds":
			h.Descriptors = int(value)
		case "go_memstats_heap_alloc_bytes":
			h.HeapMiB = value / (1 << 20)
		default:
			h.believed = int64(value)
		}
	}

	if lines.Err() == nil && h.Goroutines < 0 {
		return h, errors.New("the metrics do not tell the number of goroutines")
	}

	return h, lines.Err()
}

// over says whether there is so much more than before that something leaks.
func (h Holdings) over(before Holdings) bool {
	return h.Goroutines > before.Goroutines+spare || h.Descriptors > before.Descriptors+spare || h.HeapMiB > before.HeapMiB+spareMiB
}

// most keeps the greater of each.
func (h Holdings) most(o Holdings) Holdings {
	return Holdings{Goroutines: max(h.Goroutines, o.Goroutines), Descriptors: max(h.Descriptors, o.Descriptors),
		HeapMiB: max(h.HeapMiB, o.HeapMiB)}
}

// weigh asks every node.
func (c *city) weigh(ctx context.Context) (out []Holdings, err error) {
	for _, n := range c.nodes {
		if err := n.collect(ctx); err != nil {
			return nil, err
		}
		h, err := n.holdings(ctx, weighWithin)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// returned waits until every node holds what it held before the city came to
// life.
func (c *city) returned(ctx context.Context, before []Holdings) (out Invariant, now []Holdings, err error) {
	out = Invariant{Name: "each node's goroutines, descriptors and heap are back where they were"}

	for late := time.Now().Add(returnWithin); ; {
		if now, err = c.weigh(ctx); err != nil {
			return out, now, err
		}

		over := false
		for i := range now {
			over = over || now[i].over(before[i])
		}
		if !over || !time.Now().Before(late) || !sleep.For(ctx, readEvery) {
			break
		}
	}

	for i, n := range c.nodes {
		out.check(!now[i].over(before[i]), "%s held %v, and now holds %v", n.Name, before[i], now[i])
	}

	return out, now, nil
}
