package httpapi

import (
	"context"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ridehail/ridehail/internal/problem"
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
	mux.Handle("/readyz", methods{"GET": a.getReady})
	handle("/admin/revocations", methods{"POST": a.postRevocation})
	handle("/ops", methods{"GET": a.getOps})
	handle("/ops/alerts", methods{"GET": a.listAlerts})
	handle("/ops/alerts/{id}/ack", methods{"POST": a.postAlertAck})
	handle("/ops/suspects", methods{"GET": a.getSuspects})
	handle("/ops/trips/{id}/cancel", methods{"POST": a.postTripCancel})

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

// getReady says whether the node should get traffic.
func (a *API) getReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if a.cfg.Ready != nil {
		if err := a.cfg.Ready(ctx); err != nil {
			a.cfg.Log.Warn("not ready", "err", err)
			w.Header().Set("Retry-After", "1")
			problem.Write(w, wire.CodeUnavailable, http.StatusServiceUnavailable,
				"This node is not ready: it is stopping, or cannot reach its database or Redis.")
			return
		}
	}

	a.writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
