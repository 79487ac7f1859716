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

// Queue is where jobs are put. The id of an alert's job is its trip's, and the
// job notifies the operators of all alerts of that trip.
type Queue interface {
	EnqueueJob(ctx context.Context, stream, jobID string, payload []byte) error
}

// NotifierConfig configures a Notifier. Zero values stand for the numbers in
// brackets.
type NotifierConfig struct {
	Store    Store
	Queue    Queue
	Stream   string
	Interval time.Duration // between two looks [1 s]
	// Grace is how long a job may take by itself, the first time and each time
	// it is queued again [3 s].
	Grace      time.Duration
	Registerer prometheus.Registerer
	Now        func() time.Time
	Log        *slog.Logger
}

// Notifier tells the operators of alerts: HandleJob does the jobs, and Run
// queues those again that got lost. Every node runs one.
type Notifier struct {
	cfg        NotifierConfig
	notified   prometheus.Counter
	openAlerts prometheus.Gauge
	oldestAge  prometheus.Gauge
	// requeuedAt is when a trip was queued again. It belongs to the goroutine
	// in Run.
	requeuedAt map[trips.TripID]time.Time
}

// maxOpenAlerts bounds how many open alerts one look reads.
const maxOpenAlerts = 10_000

// NewNotifier returns a Notifier with its metrics registered. Run must be
// called too.
func NewNotifier(cfg NotifierConfig) *Notifier {
	cfg.Interval = cmp.Or(cfg.Interval, time.Second)
	cfg.Grace = cmp.Or(cfg.Grace, 3*time.Second)

	f := promauto.With(cfg.Registerer)
	return &Notifier{cfg: cfg,
		notified: f.NewCounter(prometheus.CounterOpts{Name: "ridehail_alerts_raised_total",
			Help: "Calls for help that this node told the operators of."}),
		openAlerts: f.NewGauge(prometheus.GaugeOpts{Name: "ridehail_alerts_open",
			Help: "Calls for help that no operator acknowledged, of all nodes."}),
		oldestAge: f.NewGauge(prometheus.GaugeOpts{Name: "ridehail_alerts_oldest_seconds",
			Help: "Age of the oldest call for help that no operator acknowledged; 0 when there is none."})}
}

// HandleJob tells the operators of a trip's alerts; the payload is the trip's
// id. For alerts that operators already have it does nothing. It is the handler of
// the jobs and may be called from many goroutines.
func (n *Notifier) HandleJob(ctx context.Context, _ string, payload []byte) error {
	raised, err := n.cfg.Store.MarkNotified(ctx, trips.TripID(payload), n.cfg.Now())
	if err != nil {
		return err
	}

	for _, a := range raised {
		n.notified.Inc()
		n.cfg.Log.Warn("a user calls for help; acknowledge it on the operators' page", "alert", a.ID, "trip", a.Trip,
			"from", a.From)
	}

	return nil
}

// Run queues alerts again whose job got lost, until ctx ends. It returns ctx's
// error.
func (n *Notifier) Run(ctx context.Context) error {
	tick := time.NewTicker(n.cfg.Interval)
	defer tick.Stop()
	for {
		if _, err := n.RequeueLost(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Log.Warn("cannot look for calls for help that were not announced; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// RequeueLost queues the trips again whose alerts have waited longer than
// Grace, and returns how many. Only one goroutine may call it at a time.
func (n *Notifier) RequeueLost(ctx context.Context) (queued int, err error) {
	open, err := n.cfg.Store.OpenAlerts(ctx, maxOpenAlerts)
	if err != nil {
		return 0, fmt.Errorf("open alerts: %w", err)
	}

	now := n.cfg.Now()
	n.openAlerts.Set(float64(len(open)))
	n.oldestAge.Set(0)
	if len(open) > 0 {
		n.oldestAge.Set(max(0, now.Sub(open[len(open)-1].At).Seconds()))
	}
	before := n.requeuedAt
	n.requeuedAt = map[trips.TripID]time.Time{}
	for _, a := range open {
		if !a.NotifiedAt.IsZero() || now.Sub(a.At) <= n.cfg.Grace {
			continue
		}
		if _, done := n.requeuedAt[a.Trip]; done {
			continue
		}

		n.requeuedAt[a.Trip] = before[a.Trip]
		if err != nil || now.Sub(before[a.Trip]) <= n.cfg.Grace {
			continue
		}

		if err = n.cfg.Queue.EnqueueJob(ctx, n.cfg.Stream, string(a.Trip), []byte(a.Trip)); err == nil {
			n.requeuedAt[a.Trip] = now
			queued++
		}
	}
	return queued, err
}
