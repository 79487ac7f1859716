package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// Takeover is how long the jobs in the hands of a node that was struck waited
// for their effect. A job is in its hands when Redis says, right after the
// blow, that it was delivered to this node and not acknowledged, and the
// database has no charge for it. It waits from the blow until the run, which
// asks all the time, finds the charge in the database, whoever made it: the
// node itself, if it woke up soon enough, or another one.
type Takeover struct {
	// of a kind that takes jobs away from a node
	Strikes int `json:"blows"`
	Blind   int `json:"blind"` // of these, Redis could not be asked
	Jobs    int `json:"jobs"`
	// of these, had no effect when the run stopped looking
	Open   int       `json:"open"`
	WaitMs Quantiles `json:"wait_ms"`
}

const (
	// the nodes' stream, and the group that works on it
	settlementStream = "ridehail:settlements"
	workerGroup      = "workers"
	takeoverLooks    = 50 * time.Millisecond
	takeoverEnds     = 30 * time.Second // after the last heal
	maxPendingJobs   = 64
)

// chargeStore is what a takeover asks the database.
type chargeStore interface {
	Charge(ctx context.Context, id trips.TripID) (payments.Charge, error)
}

// takeoverWatcher watches the jobs of struck nodes.
type takeoverWatcher struct {
	db      chargeStore
	pending func(ctx context.Context, consumer string) ([]trips.TripID, error)

	watching sync.WaitGroup
	mu       sync.Mutex // guards below
	counts   Takeover
	waits    []float64
}

// onStrike says that a node was struck at a moment. It returns when the jobs in its
// hands are known; they are watched until ctx ends.
func (t *takeoverWatcher) onStrike(ctx context.Context, node string, at time.Time) {
	jobs, err := t.pending(ctx, node)
	t.mu.Lock()
	defer t.mu.Unlock()

	t.counts.Strikes++
	if err != nil {
		t.counts.Blind++
		return
	}

	for _, id := range jobs {
		if _, err := t.db.Charge(ctx, id); err == nil {
			continue // only the acknowledgement is missing
		}
		t.counts.Jobs++
		t.watching.Go(func() { t.awaitCharge(ctx, id, at) })
	}
}

func (t *takeoverWatcher) awaitCharge(ctx context.Context, id trips.TripID, since time.Time) {
	for {
		if _, err := t.db.Charge(ctx, id); err == nil {
			break
		}
		if !sleep.For(ctx, takeoverLooks) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.counts.Open++
			return
		}
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits = append(t.waits, toMillis(time.Since(since)))
}

// summarize waits for the watchers.
func (t *takeoverWatcher) summarize() Takeover {
	t.watching.Wait()
	t.counts.WaitMs = computeQuantiles(t.waits)
	return t.counts
}

// pendingJobs asks Redis, past all proxies, which trips' jobs were delivered to a
// node and not acknowledged.
func pendingJobs(ctx context.Context, redis, consumer string) (out []trips.TripID, err error) {
	conn, err := (&net.Dialer{Timeout: answerWithin}).DialContext(ctx, "tcp", redis)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()

	if err := conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	ask := func(words ...string) (any, error) {
		text := fmt.Sprintf("*%d\r\n", len(words))
		for _, w := range words {
			text += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			return nil, err
		}
		return readReply(in, maxDepth)
	}

	pending, err := ask("XPENDING", settlementStream, workerGroup, "-", "+", strconv.Itoa(maxPendingJobs), consumer)
	if err != nil {
		return nil, err
	}

	for _, p := range asList(pending) {
		entry, _ := elementAt(p, 0).(string)
		found, err := ask("XRANGE", settlementStream, entry, entry)
		if err != nil {
			return nil, err
		}
		fields := asList(elementAt(elementAt(found, 0), 1)) // [[entry, [name, value, …]]]
		for i := 0; i+1 < len(fields); i += 2 {
			if id, ok := fields[i+1].(string); ok && fields[i] == "id" {
				out = append(out, trips.TripID(id))
			}
		}
	}
	return out, nil
}

func asList(v any) []any { l, _ := v.([]any); return l }

func elementAt(v any, i int) any {
	if l := asList(v); i < len(l) {
		return l[i]
	}
	return nil
}

// Bounds of what Redis may answer.
const (
	maxDepth = 4
	maxReply = 1 << 20
)

// readReply reads one answer of Redis: a string, an int64, a list, or nil. What
// Redis calls an error is one.
func readReply(in *bufio.Reader, depth int) (any, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("redis answers %q", line)
	}

	kind, text := line[0], string(line[1:len(line)-2])
	if kind == '+' {
		return text, nil
	}
	if kind == '-' {
		return nil, errors.New("redis answers " + text)
	}

	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxReply || kind != ':' && kind != '$' && kind != '*' {
		return nil, fmt.Errorf("redis answers %q", line)
	}

	switch {
	case kind == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case kind == '$':
		b := make([]byte, n+2)
		_, err := io.ReadFull(in, b)
		return string(b[:n]), err
	case depth == 0:
		return nil, errors.New("redis answers lists in lists in lists")
	}

	var out []any
	for range n {
		v, err := readReply(in, depth-1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
