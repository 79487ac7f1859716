package waiting

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/routingpb"
)

// answer is how a call ended for its caller.
type answer struct {
	slow, failed bool
}

// gathered is how one request ended: the number of the first service that kept
// it waiting and of the first that failed; the number of services when none
// did.
type gathered struct {
	firstSlow, firstFail int
	took                 time.Duration
}

// caller asks all services for one request.
type caller struct {
	*mapServices
	from, to location.Point
}

// callService makes one call.
func (c *caller) callService(ctx context.Context, id callID) answer {
	call := &sentCall{callID: id}
	point := func(p location.Point) []*routingpb.Point { return []*routingpb.Point{{Lng: p.Lng, Lat: p.Lat}} }
	_, err := c.clients[id.service].Matrix(context.WithValue(ctx, sentCallKey{}, call),
		&routingpb.MatrixRequest{From: point(c.from), To: point(c.to)})
	return answer{slow: call.fate == fateSlow, failed: err != nil}
}

// askOnce makes one call and waits for its answer.
func (c *caller) askOnce(ctx context.Context, request, service int) answer {
	return c.callService(ctx, callID{request, service, 0})
}

// isQuick reports whether a call was answered without a wait.
func (a answer) isQuick() bool { return !a.slow && !a.failed }

// askHedged makes a call, and a second one when the first failed or has no
// answer after a while. A quick answer of either counts. What the services say
// decides which is quick, and not the clock of a busy machine.
func (c *caller) askHedged(ctx context.Context, request, service int) answer {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan answer, 2)
	var calls sync.WaitGroup
	defer func() { cancel(); calls.Wait() }()
	start := func(try int) {
		calls.Go(func() { answers <- c.callService(ctx, callID{request, service, try}) })
	}

	start(0)
	late := time.NewTimer(c.plan.hedgeAfter())
	defer late.Stop()
	select {
	case a := <-answers:
		if a.isQuick() {
			return a
		}
		answers <- a
	case <-late.C:
	}

	start(1)
	a := <-answers
	if a.isQuick() {
		return a
	}
	if b := <-answers; b.isQuick() || a.failed {
		return b
	}
	return a
}

// askInTurn asks one service after the other.
func (c *caller) askInTurn(ctx context.Context, request int) gathered {
	g := c.gatherNothing()
	for i := range c.plan.services {
		g.addAnswer(i, c.askOnce(ctx, request, i))
	}
	return g
}

// askTogether asks all services at the same time, in the given way, and waits
// for the last.
func (c *caller) askTogether(ctx context.Context, request int, ask func(ctx context.Context, request, service int) answer) gathered {
	answers := make([]answer, c.plan.services)
	var asking sync.WaitGroup
	for i := range answers {
		asking.Go(func() { answers[i] = ask(ctx, request, i) })
	}
	asking.Wait()

	g := c.gatherNothing()
	for i, a := range answers {
		g.addAnswer(i, a)
	}
	return g
}

func (c *caller) gatherNothing() gathered {
	return gathered{firstSlow: c.plan.services, firstFail: c.plan.services}
}

func (g *gathered) addAnswer(service int, a answer) {
	if a.slow {
		g.firstSlow = min(g.firstSlow, service)
	}
	if a.failed {
		g.firstFail = min(g.firstFail, service)
	}
}

// askAll makes all requests, several at a time, and returns how each ended. Its
// error is ctx's.
func (c *caller) askAll(ctx context.Context, atOnce int, ask func(ctx context.Context, request int) gathered) ([]gathered, error) {
	out := make([]gathered, c.plan.requests)
	var asking errgroup.Group
	asking.SetLimit(atOnce)
	for i := range out {
		asking.Go(func() error {
			began := time.Now()
			out[i] = ask(ctx, i)
			out[i].took = time.Since(began)
			return ctx.Err()
		})
	}
	return out, asking.Wait()
}
