package waiting

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

// queueLimit is how many requests may wait for the service. Four seconds of
// work are more than any timeout of a client that can be chosen.
const queueLimit = 160

// slowService stands before a handler and lets through what one worker can do,
// in the order of arrival. While it hangs it lets nothing through. More than
// queueLimit waiting requests are refused.
//
// It does not notice that a client has gone, as a worker of a pool would not.
type slowService struct {
	next     http.Handler
	perCall  time.Duration // of the worker
	hangFrom time.Time
	hangTo   time.Time
	// tooOld, unless zero, is how long a request may wait and still be worked on.
	tooOld time.Duration

	queue chan *waitingCall
	ended chan struct{} // the worker has ended

	answered, dropped, refused atomic.Int64
}

// waitingCall is a request in the queue.
type waitingCall struct {
	arrived time.Time
	turn    chan bool // of size 1: whether it is worked on
}

func newSlowService(next http.Handler, perCall time.Duration) *slowService {
	return &slowService{next: next, perCall: perCall, queue: make(chan *waitingCall, queueLimit), ended: make(chan struct{})}
}

// Run is the worker. It ends with ctx.
func (s *slowService) Run(ctx context.Context) {
	defer close(s.ended)

	// The worker works by the clock: a late wake-up costs no capacity.
	var free time.Time
	for {
		var c *waitingCall
		select {
		case c = <-s.queue:
		case <-ctx.Done():
			return
		}

		start := c.arrived
		if free.After(start) {
			start = free
		}
		if !start.Before(s.hangFrom) && start.Before(s.hangTo) {
			start = s.hangTo
		}
		if !sleep.Until(ctx, start) {
			return
		}
		if s.tooOld > 0 && time.Since(c.arrived) > s.tooOld {
			s.dropped.Add(1)
			c.turn <- false
			continue
		}

		free = start.Add(s.perCall)
		if !sleep.Until(ctx, free) {
			return
		}
		s.answered.Add(1)
		c.turn <- true
	}
}

func (s *slowService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if readBody(w, r) != nil {
		return
	}

	c := &waitingCall{arrived: time.Now(), turn: make(chan bool, 1)}
	select {
	case s.queue <- c:
	default:
		s.refused.Add(1)
		http.Error(w, "too many wait", http.StatusServiceUnavailable)
		return
	}

	select {
	case works := <-c.turn:
		if works {
			s.next.ServeHTTP(w, r)
			return
		}
		http.Error(w, "too old", http.StatusServiceUnavailable)
	case <-s.ended:
	}
}
