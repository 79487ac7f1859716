package planted

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/payments"
)

// doJobs lets workers do all jobs. After a worker's death another one follows.
func (s *stage) doJobs(ctx context.Context) error {
	queued, err := s.redis.CountOutstanding(ctx, stream)
	if err != nil || queued == 0 {
		return err
	}
	s.trace.addMessage(node, queue, "a job")

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	settler := &payments.Settler{Trips: s.store, Charges: s.store, Refunds: s.store, Now: time.Now, Backoff: time.Millisecond,
		Provider: &payments.HTTPProvider{URL: s.payAt, Secret: "sk", Client: client}}
	s.goRun(ctx, func(ctx context.Context) error {
		for i := 1; ctx.Err() == nil; i++ {
			s.runWorker(ctx, fmt.Sprint("worker", i), int(queued), settler.HandleJob)
		}
		return nil
	})

	// A job that was acked early may still be in hand.
	err = s.awaitThat(ctx, "the end of all jobs", func() bool {
		left, err := s.redis.CountOutstanding(ctx, stream)
		s.mu.Lock()
		defer s.mu.Unlock()
		return err == nil && left == 0 && len(s.begun) == int(queued) && s.inHand == 0
	})
	s.traceAcks(int(queued))
	return err
}

// runWorker runs one worker until it dies or ctx ends.
func (s *stage) runWorker(ctx context.Context, name string, queued int, handle func(context.Context, string, []byte) error) {
	ctx, die := context.WithCancel(ctx)
	defer die()
	w := &events.Worker{Redis: s.redis, Stream: stream, Consumer: name, Concurrency: 1, Heartbeat: 20 * time.Millisecond}
	w.Handle = func(ctx context.Context, id string, payload []byte) (err error) {
		s.beginJob(id)
		defer func() { s.endJob(err) }()
		s.traceJob(ctx, queued)
		if s.takeFault(&s.dieNext) {
			s.trace.addEvent(worker, "✗ dies; another follows")
			die()
			return context.Canceled
		}
		return handle(ctx, id, payload)
	}
	_ = w.Run(ctx)
}

func (s *stage) beginJob(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun[id] = true
	s.inHand++
}

func (s *stage) endJob(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inHand--
	if err == nil {
		s.finished++
	}
}

// traceJob tells that a worker has a job, and which jobs were acked by then:
// those that are done before it got this one, any other one after.
func (s *stage) traceJob(ctx context.Context, queued int) {
	left, err := s.redis.CountOutstanding(ctx, stream)
	if err != nil {
		return
	}

	s.mu.Lock()
	done := s.finished
	s.mu.Unlock()

	acked := queued - int(left)
	s.traceAcks(min(acked, done))
	s.trace.addMessage(queue, worker, "the job")
	s.traceAcks(acked)
}

// traceAcks tells of the acks of that many jobs, unless it has.
func (s *stage) traceAcks(acked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; s.acked < acked; s.acked++ {
		s.trace.addMessage(worker, queue, "XACK")
	}
}

// takeFault reports whether a fault was asked for, once.
func (s *stage) takeFault(fault *bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := *fault
	*fault = false
	return was
}
