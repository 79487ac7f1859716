package line

import (
	"container/heap"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

// pacer releases the chunks of all connections of a line when they are due. One
// goroutine sleeps for all of them, in the kernel: a timer of the runtime for
// each chunk would be a millisecond late.
type pacer struct {
	// patience is how long it sleeps at most. Nothing that is added while it
	// sleeps is due sooner, if that is the delay of the line.
	patience time.Duration
	wake     chan struct{} // filled when the first chunk is added, and by stop
	ended    chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards the fields below
	waiting chunkHeap
	stopped bool
}

// The shortest patience is that of a line with loss alone, which looks for new
// chunks while others wait. The longest bounds how long stop waits.
const (
	minPatience = 200 * time.Microsecond
	maxPatience = 20 * time.Millisecond
)

func startPacer(delay time.Duration) *pacer {
	p := &pacer{patience: min(max(delay, minPatience), maxPatience), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go p.run()
	return p
}

// addChunk releases a chunk when it is due, or at once after stop. It does not
// block.
func (p *pacer) addChunk(c *chunk) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.stopped {
		c.way.ready <- c
		return
	}

	heap.Push(&p.waiting, c)
	if len(p.waiting) == 1 {
		p.wakeUp()
	}
}

func (p *pacer) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// stop releases everything at once and ends the goroutine.
func (p *pacer) stop() {
	p.mu.Lock()
	p.stopped = true
	p.wakeUp()
	p.mu.Unlock()
	<-p.ended
}

func (p *pacer) run() {
	defer close(p.ended)
	for {
		next, stopped := p.releaseDue(time.Now())
		switch {
		case stopped:
			return
		case next.IsZero():
			<-p.wake
		default:
			soon := time.Now().Add(p.patience)
			if next.After(soon) {
				next = soon
			}
			sleep.Precisely(next)
		}
	}
}

// releaseDue releases what is due and returns when the next chunk is. The zero
// time means that none waits.
func (p *pacer) releaseDue(now time.Time) (next time.Time, stopped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	for len(p.waiting) > 0 && (p.stopped || !p.waiting[0].due.After(now)) {
		c := heap.Pop(&p.waiting).(*chunk)
		c.way.ready <- c // has room for all that are under way
	}

	if len(p.waiting) > 0 {
		next = p.waiting[0].due
	}
	return next, p.stopped
}

// chunkHeap holds the chunk that is due first at its top.
type chunkHeap []*chunk

func (h chunkHeap) Len() int           { return len(h) }
func (h chunkHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h chunkHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *chunkHeap) Push(c any)        { *h = append(*h, c.(*chunk)) }
func (h *chunkHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}
