package messages

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/quantile"
)

// patience bounds the wait for what must come.
const patience = 30 * time.Second

// tally counts what one receiver got. All methods may be called from any
// goroutine.
type tally struct {
	plan    plan
	onFirst func(seconds float64, received int)

	mu       sync.Mutex // guards all below
	begun    time.Time
	arrivals []arrival     // of each message, by its number
	received int           // messages that came at least once
	order    []plot.Point  // received over time
	changed  chan struct{} // closed and replaced at each arrival
}

// arrival is what became of one message.
type arrival struct {
	times int
	age   time.Duration // at the first arrival, since the message was due
}

func newTally(p plan, onFirst func(float64, int)) *tally {
	return &tally{plan: p, onFirst: onFirst, arrivals: make([]arrival, p.messages), changed: make(chan struct{})}
}

func (t *tally) beginAt(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun = at
}

// receiveMessage takes the arrival of a message.
func (t *tally) receiveMessage(message int) {
	t.mu.Lock()
	since := time.Since(t.begun)
	a := &t.arrivals[message]
	a.times++
	first := a.times == 1
	if first {
		a.age = since - t.plan.dueTime(message)
		t.received++
		t.order = append(t.order, plot.Point{X: since.Seconds(), Y: float64(t.received)})
	}

	received := t.received
	close(t.changed)
	t.changed = make(chan struct{})
	t.mu.Unlock()

	if first {
		t.onFirst(since.Seconds(), received)
	}
}

// awaitMessage waits until a message has come.
func (t *tally) awaitMessage(ctx context.Context, message int) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		t.mu.Lock()
		came, changed := t.arrivals[message].times > 0, t.changed
		t.mu.Unlock()
		if came {
			return nil
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("message %d did not come within %v; run it again on a quieter machine", message, patience)
		case <-changed:
		}
	}
}

func (t *tally) curvePoints() []plot.Point {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.order
}

// summarizeWay adds to a way's figures what was received. What waited until the
// receiver was back is no part of the mean age while it was there.
func (t *tally) summarizeWay(f *Way) {
	t.mu.Lock()
	defer t.mu.Unlock()

	var ages []float64
	var there time.Duration
	stayed := 0
	for i, a := range t.arrivals {
		f.Deliveries += a.times
		if a.times == 0 {
			f.Lost++
			continue
		}
		f.Twice += a.times - 1
		f.Received++
		ages = append(ages, toMilliseconds(a.age))
		if p := t.plan; i >= p.to || a.age < p.dueTime(p.to)-p.dueTime(i) {
			there += a.age
			stayed++
		}
	}

	sorted := quantile.Sort(ages)
	f.AgeP50, f.AgeWorst = sorted.At(.5), sorted.Max()
	f.AgeMeanThere = toMilliseconds(there) / float64(max(1, stayed))
}

func toMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
