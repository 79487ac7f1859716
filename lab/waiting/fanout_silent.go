package waiting

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
)

// silentRequests is how many requests are made in each way while a service is
// silent.
const silentRequests = 12

// silentFigures are what was counted while one service was silent.
type silentFigures struct {
	Seconds float64 `json:"seconds"`

	Unbounded int `json:"answered_without_deadline"`

	Fallback     int    `json:"answered_with_deadline"`
	Waited       uint64 `json:"waited_for_the_deadline"`
	LeftAlone    uint64 `json:"not_asked_by_the_breaker"`
	fallbackTook time.Duration

	Later       laterFigures `json:"asynchronous"`
	LaterWithin int          `json:"asynchronous_whole_while_silent"`
}

// askSilent makes the first service silent and asks in three ways at the same
// time. It ends the silence when the app's client has made its requests.
func (c *caller) askSilent(ctx context.Context) (silentFigures, error) {
	c.services[0].silent.Store(true)
	began := time.Now()
	var f silentFigures
	var err error

	unbounded, stop := context.WithCancel(ctx)
	var answered atomic.Int64
	var asking, waiting sync.WaitGroup
	asking.Go(func() {
		for i := range silentRequests {
			c.askWithoutDeadline(unbounded, i, &waiting, &answered)
		}
	})

	later := newLaterRequests(c, silentRequests, 300*time.Millisecond)
	asking.Go(func() { f.Later, err = later.run(ctx) })

	c.askWithFallback(ctx, &f)
	<-later.left
	f.Unbounded, f.LaterWithin, f.Seconds = int(answered.Load()), later.countWhole(), time.Since(began).Seconds()
	stop()
	waiting.Wait()

	c.services[0].silent.Store(false)
	asking.Wait()
	return f, err
}

// askWithoutDeadline begins a request that waits for all services for as long
// as it takes. It returns when all services but one have answered, or ctx has
// ended.
func (c *caller) askWithoutDeadline(ctx context.Context, request int, waiting *sync.WaitGroup, answered *atomic.Int64) {
	others := make(chan struct{}, c.plan.services)
	waiting.Go(func() {
		g := c.askTogether(ctx, request, func(ctx context.Context, request, service int) answer {
			a := c.callService(ctx, callID{request, service, noFault})
			if service > 0 {
				others <- struct{}{}
			}
			return a
		})
		if g.firstFail == c.plan.services {
			answered.Add(1)
		}
	})

	for range c.plan.services - 1 {
		<-others
	}
}

// askWithFallback makes requests with the app's own client of each service: a
// deadline, a circuit breaker, and the straight line instead of an answer.
func (c *caller) askWithFallback(ctx context.Context, f *silentFigures) {
	clients := make([]*routing.Client, c.plan.services)
	for i, at := range c.servers {
		clients[i] = routing.NewClient(at.URL, routing.ClientOptions{Straight: c.city.Straight()})
		defer clients[i].Close()
	}

	took := make([]time.Duration, 0, silentRequests)
	for range silentRequests {
		began := time.Now()
		var failed atomic.Bool
		var asking sync.WaitGroup
		for _, client := range clients {
			asking.Go(func() {
				if _, _, err := client.Times(ctx, []location.Point{c.from}, c.to); err != nil {
					failed.Store(true)
				}
			})
		}
		asking.Wait()

		if !failed.Load() {
			f.Fallback++
		}
		took = append(took, time.Since(began))
	}

	stats := clients[0].Stats()
	f.Waited, f.LeftAlone, f.fallbackTook = stats.Failures, stats.Skipped, quantile.Sort(took).At(.5)
}
