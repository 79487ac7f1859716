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
	"github.com/ridehail/ridehail/lab/process"
)

const (
	// spareHandles is how many more goroutines and descriptors a node may hold
	// after a run than before. Its pools grow, and shrink much later: the one
	// to the routing service alone holds 64 connections for 90 s, with both
	// ends and three goroutines each in the node. Leaks of the hundreds of lost
	// connections of a minute are larger.
	spareHandles  = 256
	spareHeapMiB  = 32
	releaseWithin = 15 * time.Second // for the resources of lost connections
	measureWithin = 5 * time.Second
)

// ResourceUse is what a node holds of the resources that leak. The heap
// includes garbage that is not collected yet.
type ResourceUse struct {
	Goroutines  int     `json:"goroutines"`
	Descriptors int     `json:"descriptors"`
	HeapMiB     float64 `json:"heap_mib"`
	accepted    int64   // positions since the node's start
}

func (h ResourceUse) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors and %.1f MiB of heap", h.Goroutines, h.Descriptors, h.HeapMiB)
}

// Resources is what one node held over a run. Before and After are read without
// phones and after a garbage collection. Warm is the maximum of each resource
// with all phones before the first fault, Most that from then on.
type Resources struct {
	Node   string      `json:"node"`
	Before ResourceUse `json:"before"`
	Warm   ResourceUse `json:"warm"`
	Most   ResourceUse `json:"most"`
	After  ResourceUse `json:"after"`
}

// readAdminPage reads a page of a node's admin API.
func (n *node) readAdminPage(ctx context.Context, path string, within time.Duration, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.adminAddress+path, nil)
	if err != nil {
		return err
	}

	res, err := process.FreshHTTP.Do(req)
	if err == nil {
		err = errors.Join(read(res.Body), res.Body.Close())
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", path, n.Name, err)
	}
	return nil
}

// readResources reads a node's metrics.
func (n *node) readResources(ctx context.Context, within time.Duration) (h ResourceUse, err error) {
	return h, n.readAdminPage(ctx, "/metrics", within, func(text io.Reader) (err error) {
		h, err = parseResources(text)
		return err
	})
}

// collectGarbage makes a node collect its garbage.
func (n *node) collectGarbage(ctx context.Context) error {
	return n.readAdminPage(ctx, "/debug/pprof/heap?gc=1", measureWithin, func(profile io.Reader) error {
		_, err := io.Copy(io.Discard, profile)
		return err
	})
}

func parseResources(metrics io.Reader) (h ResourceUse, err error) {
	h = ResourceUse{Goroutines: -1, Descriptors: -1}
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
			h.accepted = int64(value)
		}
	}

	if lines.Err() == nil && h.Goroutines < 0 {
		return h, errors.New("the metrics do not tell the number of goroutines")
	}

	return h, lines.Err()
}

// exceeds reports whether there is so much more than before that something
// leaks.
func (h ResourceUse) exceeds(before ResourceUse) bool {
	return h.Goroutines > before.Goroutines+spareHandles || h.Descriptors > before.Descriptors+spareHandles || h.HeapMiB > before.HeapMiB+spareHeapMiB
}

// maxWith returns the greater of each resource.
func (h ResourceUse) maxWith(o ResourceUse) ResourceUse {
	return ResourceUse{Goroutines: max(h.Goroutines, o.Goroutines), Descriptors: max(h.Descriptors, o.Descriptors),
		HeapMiB: max(h.HeapMiB, o.HeapMiB)}
}

// measureResources reads the resources of every node after a garbage
// collection.
func (c *city) measureResources(ctx context.Context) (out []ResourceUse, err error) {
	for _, n := range c.nodes {
		if err := n.collectGarbage(ctx); err != nil {
			return nil, err
		}
		h, err := n.readResources(ctx, measureWithin)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// checkResources waits until every node holds what it held before the clients
// started, or releaseWithin is over.
func (c *city) checkResources(ctx context.Context, before []ResourceUse) (out Invariant, now []ResourceUse, err error) {
	out = Invariant{Name: "each node's goroutines, descriptors and heap are back where they were"}

	for late := time.Now().Add(releaseWithin); ; {
		if now, err = c.measureResources(ctx); err != nil {
			return out, now, err
		}

		over := false
		for i := range now {
			over = over || now[i].exceeds(before[i])
		}
		if !over || !time.Now().Before(late) || !sleep.For(ctx, readEvery) {
			break
		}
	}

	for i, n := range c.nodes {
		out.check(!now[i].exceeds(before[i]), "%s held %v, and now holds %v", n.Name, before[i], now[i])
	}

	return out, now, nil
}
