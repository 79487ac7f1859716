package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	readyTimeout = time.Second // for one check
	goodFor      = time.Second
	// badFor is shorter, so that a recovery shows at once.
	badFor = 100 * time.Millisecond
)

// checkReady returns why this node should get no traffic, or nil. The reason is
// for operators. It may be asked as often as one likes.
func (n *Node) checkReady(ctx context.Context) error {
	if n.stopping.Load() {
		return errors.New("the node is stopping")
	}
	return checkAll(ctx, n.readyChecks)
}

// newReadyChecks returns what a node needs to do its work. The routing service
// and the payment provider are left out: rides go on without them.
func (n *Node) newReadyChecks() []*readyCheck {
	return []*readyCheck{
		{name: "redis", check: n.checkRedis},
		{name: "database", check: n.db.CheckWritable},
	}
}

func (n *Node) checkRedis(ctx context.Context) error {
	if err := n.redis.CheckWritable(ctx); err != nil {
		return err
	}
	return n.redis.CheckListening()
}

// checkAll makes all checks at the same time, so that one that hangs is not
// taken for another. Its error is one line with all reasons.
func checkAll(ctx context.Context, checks []*readyCheck) error {
	found := make([]error, len(checks))
	var running sync.WaitGroup
	for i, c := range checks {
		running.Go(func() { found[i] = c.ask(ctx) })
	}
	running.Wait()

	var reasons []string
	for _, err := range found {
		if err != nil {
			reasons = append(reasons, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	return errors.New(strings.Join(reasons, "; "))
}

// readyCheck is a check whose last result is remembered: a good one for goodFor,
// a bad one for badFor. Those who ask while it is made share its result. It may
// be used from many goroutines.
type readyCheck struct {
	name  string // begins the error
	check func(context.Context) error

	mu      sync.Mutex    // guards all below
	running chan struct{} // closed when the check under way ends; nil: none is
	began   time.Time     // when the last check began
	err     error         // its result
}

// ask returns the result of a check that began goodFor ago at most. It waits
// for one until ctx ends.
func (c *readyCheck) ask(ctx context.Context) error {
	c.mu.Lock()
	if c.running == nil && c.isFreshLocked(time.Now()) {
		defer c.mu.Unlock()
		return c.err
	}
	running, mine := c.running, c.running == nil
	if mine {
		running = make(chan struct{})
		c.running, c.began = running, time.Now()
	}
	c.mu.Unlock()

	if mine {
		c.run(ctx, running)
	}
	select {
	case <-running:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", c.name, ctx.Err())
	}
}

func (c *readyCheck) isFreshLocked(now time.Time) bool {
	if c.began.IsZero() {
		return false
	}
	age := now.Sub(c.began)
	return c.err == nil && age < goodFor || c.err != nil && age < badFor
}

// run makes the check. It goes on when its first asker leaves, because others
// may wait for it.
func (c *readyCheck) run(ctx context.Context, running chan struct{}) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	err := c.check(ctx)
	if err != nil {
		err = fmt.Errorf("%s: %w", c.name, err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.err, c.running = err, nil
	close(running)
}
