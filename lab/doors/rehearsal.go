package doors

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/httpserver"
	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// Others is what this run saw of the messages that are no positions.
type Others struct {
	Events       int     `json:"events"` // trip events that phones got
	EventGaps    int     `json:"event_gaps"`
	EventAge     float64 `json:"event_age_ms"` // from the commit to the phone, median
	Offers       int     `json:"offers"`
	OfferValid   float64 `json:"offer_valid_s"` // how long an offer binds
	Jobs         int     `json:"jobs"`          // queued while the worker was away
	JobsDone     int     `json:"jobs_done"`
	JobWait      float64 `json:"job_wait_ms"` // the longest
	Routes       int     `json:"routes"`      // asked by RPC
	RouteTime    float64 `json:"route_ms"`    // median
	RoutesByRoad int     `json:"routes_by_road"`
}

// eventLog notes the events and the offers that phones get. Its methods may be
// called from many goroutines.
type eventLog struct {
	mu     sync.Mutex // guards all below
	ages   []float64  // of events, in milliseconds
	gaps   int
	last   map[string]uint32 // number of the last event, by phone and trip
	offers int
	valid  float64 // the shortest, in seconds
}

func (l *eventLog) noteFrame(phone string, f *wire.ServerFrame, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if e := f.GetTripEvent(); e != nil {
		l.ages = append(l.ages, wire.ToMillis(at)-e.AtMs)
		key := phone + " " + e.TripId
		if last, ok := l.last[key]; ok && e.Seq != last+1 {
			l.gaps++
		}
		l.last[key] = e.Seq
	}

	if o := f.GetOffer(); o != nil {
		valid := (o.ExpiresAtMs - wire.ToMillis(at)) / 1000
		if l.offers == 0 || valid < l.valid {
			l.valid = valid
		}
		l.offers++
	}
}

func (l *eventLog) sumUp() Others {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Others{Events: len(l.ages), EventGaps: l.gaps, EventAge: quantile.Sort(l.ages).At(.5), Offers: l.offers, OfferValid: l.valid}
}

// rehearseRides adds a queue whose worker comes late, and ways asked by RPC.
func rehearseRides(ctx context.Context, t *town) (Others, error) {
	seen := t.events.sumUp()
	if err := seen.settleLate(ctx, t); err != nil {
		return seen, fmt.Errorf("queue charges: %w", err)
	}
	if err := seen.askRoutes(ctx, t); err != nil {
		return seen, fmt.Errorf("ask for ways: %w", err)
	}
	return seen, nil
}

// settleLate queues a job for each ride while no worker is there, as when the
// provider is down.
func (o *Others) settleLate(ctx context.Context, t *town) error {
	redis, err := events.OpenEmbedded(events.WithLog(t.log))
	if err != nil {
		return err
	}
	defer redis.Close()

	const stream = "settlements"
	queued := map[string]time.Time{}
	for _, p := range t.pairs {
		queued[p.riderID] = time.Now()
		if err := redis.EnqueueJob(ctx, stream, p.riderID, nil); err != nil {
			return err
		}
	}
	o.Jobs = len(queued)

	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	worker := events.Worker{Redis: redis, Stream: stream, Consumer: "doors", Concurrency: 1,
		Handle: func(_ context.Context, id string, _ []byte) error {
			o.JobsDone++
			o.JobWait = max(o.JobWait, 1e3*time.Since(queued[id]).Seconds())
			if o.JobsDone == o.Jobs {
				stop()
			}
			return nil
		}}
	_ = worker.Run(ctx) // until all are done
	return context.Cause(t.ctx)
}

// askRoutes asks the routing service for the way of each ride.
func (o *Others) askRoutes(ctx context.Context, t *town) error {
	l, err := httpserver.Listen("the routing service", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer stop()
	serving.Go(func() { _ = httpserver.Run(ctx, l, routing.NewHandler(routing.NewRouter(t.node.City()))) })

	ways := routing.NewClient("http://"+l.Addr().String(), routing.ClientOptions{Straight: t.node.City().Straight()})
	defer ways.Close()

	var took []float64
	for _, p := range t.pairs {
		began := time.Now()
		way, err := ways.Route(ctx, p.at, p.goal)
		if err != nil {
			return err
		}
		took = append(took, 1e3*time.Since(began).Seconds())
		if way.Source == routing.SourceRoad {
			o.RoutesByRoad++
		}
	}
	o.Routes, o.RouteTime = len(took), quantile.Sort(took).At(.5)
	return nil
}
