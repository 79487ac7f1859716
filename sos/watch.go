package sos

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/ridehail/ridehail/trips"
)

// Queue is where jobs go. The job of an alert is its trip's id: who does it
// raises all alerts of the trip.
type Queue interface {
	Enqueue(ctx context.Context, stream, jobID string, payload []byte) error
}

// WatchConfig is what a Watch is built from; zero values stand for the numbers
// in brackets.
type WatchConfig struct {
	Store  Store
	Queue  Queue
	Stream string
	Every  time.Duration // between two looks [1 s]
	// how long raising may take by itself, and how long a job queued again may
	// [3 s]
	Grace      time.Duration
	Registerer prometheus.Registerer
	Now        func() time.Time
	Log        *slog.Logger
}

// Watch brings alerts before the operators: it does the jobs, and queues those
// again that got lost. Every node has one.
type Watch struct {
	cfg        WatchConfig
	notified   prometheus.Counter
	openAlerts prometheus.Gauge
	oldestAge  prometheus.Gauge
	// when a trip was queued again; of the goroutine in Run
	requeuedAt map[trips.TripID]time.Time
}

// maxOpenAlerts alerts that are open at a time and looked at.
const maxOpenAlerts = 10_000

// NewWatch builds a watch; Run must run.
func NewWatch(cfg WatchConfig) *Watch {
	cfg.Every = cmp.Or(cfg.Every, time.Second)
	cfg.Grace = cmp.Or(cfg.Grace, 3*time.Second)

	f := promauto.With(cfg.Registerer)
	return &Watch{cfg: cfg,
		notified: f.NewCounter(prometheus.CounterOpts{Name: "ridehail_alerts_raised_total",
			Help: "Calls for help that this node told the operators of."}),
		openAlerts: f.NewGauge(prometheus.GaugeOpts{Name: "ridehail_alerts_open",
			Help: "Calls for help that no operator acknowledged, of all nodes."}),
		oldestAge: f.NewGauge(prometheus.GaugeOpts{Name: "ridehail_alerts_oldest_seconds",
			Help: "Age of the oldest call for help that no operator acknowledged; 0 when there is none."})}
}

// Handle raises the alerts of a trip, whose id is the payload. Again it has no
// effect.
func (w *Watch) Handle(ctx context.Context, _ string, payload []byte) error {
	raised, err := w.cfg.Store.RaiseAlerts(ctx, trips.TripID(payload), w.cfg.Now())
	if err != nil {
		return err
	}

	for _, a := range raised {
		w.notified.Inc()
		w.cfg.Log.Warn("somebody calls for help; acknowledge it on the operators' page", "alert", a.ID, "trip", a.Trip,
			"from", a.From)
	}

	return nil
}

// Run looks for alerts whose job got lost until ctx ends. It returns ctx's
// error.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	for {
		if _, err := w.Look(ctx); err != nil && ctx.Err() == nil {
			w.cfg.Log.Warn("calls for help cannot be looked after; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Look queues the trips again whose alerts wait too long to be raised, and says
// how many. One goroutine at a time.
func (w *Watch) Look(ctx context.Context) (queued int, err error) {
	open, err := w.cfg.Store.OpenAlerts(ctx, maxOpenAlerts)
	if err != nil {
		return 0, fmt.Errorf("open alerts: %w", err)
	}

	now := w.cfg.Now()
	w.openAlerts.Set(float64(len(open)))
	w.oldestAge.Set(0)
	if n := len(open); n > 0 {
		w.oldestAge.Set(max(0, now.Sub(open[n-1].At).Seconds()))
	}
	before := w.requeuedAt
	w.requeuedAt = map[trips.TripID]time.Time{}
	for _, a := range open {
		if !a.RaisedAt.IsZero() || now.Sub(a.At) <= w.cfg.Grace {
			continue
		}
		if _, done := w.requeuedAt[a.Trip]; done {
			continue
		}

		w.requeuedAt[a.Trip] = before[a.Trip]
		if err != nil || now.Sub(before[a.Trip]) <= w.cfg.Grace {
			continue
		}

		if err = w.cfg.Queue.Enqueue(ctx, w.cfg.Stream, string(a.Trip), []byte(a.Trip)); err == nil {
			w.requeuedAt[a.Trip] = now
			queued++
		}
	}
	return queued, err
}
