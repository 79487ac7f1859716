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

// Takeover is how long the pending jobs of a struck node waited for their
// effect. A job is pending if Redis says, right after the strike, that it was
// delivered to this node and not acknowledged, and the database has no charge
// for it. It waits from the strike until the run, which polls the database,
// finds the charge. The node itself may have made it, if it woke up soon
// enough, or another node.
type Takeover struct {
	// Strikes are of the kinds that take jobs away from a node.
	Strikes int `json:"blows"`
	Blind   int `json:"blind"` // strikes after which Redis did not answer
	Jobs    int `json:"jobs"`  // pending ones
	Open    int `json:"open"`  // jobs without effect at the end
	// WaitMs is of the jobs with an effect.
	WaitMs Quantiles `json:"wait_ms"`
}

const (
	workerGroup    = "workers" // that works on the nodes' stream
	takeoverLooks  = 50 * time.Millisecond
	takeoverEnds   = 30 * time.Second // after the last heal
	maxPendingJobs = 64
)

// chargeStore returns trips.ErrNotFound for a trip without a charge.
type chargeStore interface {
	Charge(ctx context.Context, id trips.TripID) (payments.Charge, error)
}

// takeoverWatcher watches the pending jobs of struck nodes.
type takeoverWatcher struct {
	db      chargeStore
	pending func(ctx context.Context, consumer string) ([]trips.TripID, error)

	watching sync.WaitGroup
	mu       sync.Mutex // guards below
	counts   Takeover
	waits    []float64
}

// onStrike returns when the pending jobs of a struck node are known. They are
// watched until ctx ends.
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

// summarize waits until all jobs had their effect, or the context of onStrike
// ends.
func (t *takeoverWatcher) summarize() Takeover {
	t.watching.Wait()
	t.counts.WaitMs = computeQuantiles(t.waits)
	return t.counts
}

// pendingJobs asks Redis, past all proxies, for the trips whose jobs were
// delivered to a node and not acknowledged.
func (c *city) pendingJobs(ctx context.Context, consumer string) (out []trips.TripID, err error) {
	stream := c.redisKey(settlements)
	err = c.askRedis(ctx, func(ask askFunc) error {
		pending, err := ask("XPENDING", stream, workerGroup, "-", "+", strconv.Itoa(maxPendingJobs), consumer)
		if err != nil {
			return err
		}

		for _, p := range asList(pending) {
			entry, _ := elementAt(p, 0).(string)
			found, err := ask("XRANGE", stream, entry, entry)
			if err != nil {
				return err
			}

			// [[entry, [name, value, …]]]
			fields := asList(elementAt(elementAt(found, 0), 1))
			for i := 0; i+1 < len(fields); i += 2 {
				if id, ok := fields[i+1].(string); ok && fields[i] == "id" {
					out = append(out, trips.TripID(id))
				}
			}
		}
		return nil
	})
	return out, err
}

// askFunc sends a command to a Redis and returns its reply.
type askFunc func(words ...string) (any, error)

// askRedis runs a conversation with the first server that does not refuse it. A
// server of a cluster refuses keys that another one keeps.
func (c *city) askRedis(ctx context.Context, talk func(ask askFunc) error) error {
	var errs []error
	for _, address := range c.redisAddresses {
		err := talkToRedis(ctx, address, talk)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func talkToRedis(ctx context.Context, address string, talk func(ask askFunc) error) error {
	conn, err := (&net.Dialer{Timeout: answerWithin}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()

	if err := conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	return talk(func(words ...string) (any, error) {
		text := fmt.Sprintf("*%d\r\n", len(words))
		for _, w := range words {
			text += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			return nil, err
		}
		return readReply(in, maxDepth)
	})
}

func asList(v any) []any { l, _ := v.([]any); return l }

func elementAt(v any, i int) any {
	if l := asList(v); i < len(l) {
		return l[i]
	}
	return nil
}

// Bounds of a reply of Redis.
const (
	maxDepth = 4
	maxReply = 1 << 20
)

// readReply reads one reply of Redis: a string, an int64, a list, or nil. A
// Redis error is returned as an error.
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
