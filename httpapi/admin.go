package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/web"
	"github.com/ridehail/ridehail/wire"
)

const readyTimeout = 2 * time.Second

// Admin is the API of operators: metrics, health, profiles, calls for help and
// the revocation of tokens. It asks for no token: keep its listener off the
// public network.
func (a *API) Admin() http.Handler {
	gatherer, ok := a.cfg.Registerer.(prometheus.Gatherer)
	if !ok {
		gatherer = prometheus.DefaultGatherer
	}

	mux := http.NewServeMux()
	handle := func(path string, m methods) { mux.Handle(path, a.guardRoute(path, m)) }
	mux.Handle("/metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	mux.Handle("/healthz", methods{"GET": a.getHealth})
	mux.Handle("/readyz", methods{"GET": a.getReady(true)})
	handle("/admin/revocations", methods{"POST": a.postRevocation})
	a.mountLive(mux)
	handle("/ops", methods{"GET": a.getOps})
	handle("/ops/alerts", methods{"GET": a.listAlerts})
	handle("/ops/alerts/{id}/ack", methods{"POST": a.postAlertAck})
	handle("/ops/suspects", methods{"GET": a.getSuspects})
	handle("/ops/trips/{id}/cancel", methods{"POST": a.postTripCancel})

	a.handleXRay(mux, a.getAnyRide, true)
	mountXray(mux)
	mux.Handle("/app/", web.Handler()) // its colours

	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// getHealth answers while the process runs. It calls no other part, so that a
// slow database restarts no node.
func (a *API) getHealth(w http.ResponseWriter, _ *http.Request) {
	a.writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// getReady says whether the node should get traffic. The reason why not is for
// operators, because it may hold addresses.
func (a *API) getReady(forOperators bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()

		var why error
		if a.cfg.Ready != nil {
			why = a.cfg.Ready(ctx)
		}
		if r.Context().Err() == nil {
			a.readiness.note(why)
		}
		if why == nil {
			a.writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
			return
		}

		detail := "it is stopping, or cannot use its database or Redis."
		if forOperators {
			detail = why.Error()
		}
		problem.Write(w, wire.CodeUnavailable, http.StatusServiceUnavailable, "This node is not ready: "+detail)
	}
}

// readinessLog logs when the node stops or begins to be ready, and not each
// time that it is asked.
type readinessLog struct {
	now func() time.Time
	log *slog.Logger

	mu       sync.Mutex // guards all below
	notReady bool
	why      string    // as logged last
	loggedAt time.Time // when that was
}

// anotherReasonAfter is the least time between two reasons in the log while the
// node is not ready. Reasons may hold ports, which change each time.
const anotherReasonAfter = 10 * time.Second

// note takes an answer to whether the node is ready.
func (l *readinessLog) note(err error) {
	now := l.now()
	l.mu.Lock()
	was, why, age := l.notReady, l.why, now.Sub(l.loggedAt)
	l.notReady = err != nil
	another := err != nil && (!was || err.Error() != why && age >= anotherReasonAfter)
	if another {
		l.why, l.loggedAt = err.Error(), now
	}
	l.mu.Unlock()

	switch {
	case another:
		l.log.Warn("not ready", "err", err)
	case was && err == nil:
		l.log.Info("ready again")
	}
}
