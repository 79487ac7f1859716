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
)

const (
	// spare is how many more goroutines and descriptors a node may hold after a run than before. Its pools grow, and
	// shrink much later: the one to the routing service alone holds 64 connections for 90 s, with both ends and three
	// goroutines each in the node. The hundreds of lost connections of a minute, each leaving something, do not fit in.
	spare        = 256
	returnWithin = 15 * time.Second // for what a lost connection held
)

// holdings is what a node holds of what leaks.
type holdings struct{ goroutines, descriptors int }

func (h holdings) String() string {
	return fmt.Sprintf("%d goroutines and %d descriptors", h.goroutines, h.descriptors)
}

// holdings asks a node at its operators' door.
func (n *node) holdings(ctx context.Context) (h holdings, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+"/metrics", nil)
	if err != nil {
		return h, err
	}
	res, err := fresh.Do(req)
	if err != nil {
		return h, fmt.Errorf("metrics of %s: %w", n.name, err)
	}
	defer func() { _ = res.Body.Close() }()
	return readHoldings(res.Body)
}

func readHoldings(metrics io.Reader) (h holdings, err error) {
	h = holdings{-1, -1}
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "go_goroutines":
			h.goroutines, err = strconv.Atoi(value)
		case "process_open_fds":
			h.descriptors, err = strconv.Atoi(value)
		}
		if err != nil {
			return h, fmt.Errorf("metric %s: %w", name, err)
		}
	}
	if lines.Err() == nil && h.goroutines < 0 {
		return h, errors.New("the metrics do not tell the number of goroutines")
	}
	return h, lines.Err()
}

// more says whether there is so much more than before that something leaks.
func (h holdings) more(before holdings) bool {
	return h.goroutines > before.goroutines+spare || h.descriptors > before.descriptors+spare
}

// weigh asks every node.
func (c *city) weigh(ctx context.Context) (out []holdings, err error) {
	for _, n := range c.nodes {
		h, err := n.holdings(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// returned waits until every node holds what it held before the city came to life.
func (c *city) returned(ctx context.Context, before []holdings) (Invariant, error) {
	out := Invariant{Name: "each node's goroutines and descriptors are back where they were"}
	late := time.Now().Add(returnWithin)
	for i, n := range c.nodes {
		now, err := n.holdings(ctx)
		for err == nil && now.more(before[i]) && until(ctx, time.Now().Add(lookEvery)) && time.Now().Before(late) {
			now, err = n.holdings(ctx)
		}
		if err != nil {
			return out, err
		}
		out.check(!now.more(before[i]), "%s held %v, and now holds %v", n.name, before[i], now)
	}
	return out, nil
}
