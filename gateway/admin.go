package gateway

import (
	"context"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ridehail/ridehail/wire"
)

const readyTimeout = 2 * time.Second

// admin is the door for operators: metrics, health, profiles, calls for help and the revocation of tokens. It asks nobody
// who they are: keep its listener off the public network.
func (g *door) admin() http.Handler {
	gatherer, ok := g.cfg.Registerer.(prometheus.Gatherer)
	if !ok {
		gatherer = prometheus.DefaultGatherer
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	mux.Handle("/healthz", methods{"GET": g.healthz})
	mux.Handle("/readyz", methods{"GET": g.readyz})
	mux.Handle("/admin/revocations", g.guarded("/admin/revocations", methods{"POST": g.postRevocation}))
	g.ops(mux)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// healthz says that the process answers; it asks nobody else, so that a slow database restarts no node.
func (g *door) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"}, g.cfg.Log)
}

// readyz says whether the node should get traffic.
func (g *door) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if g.cfg.Ready != nil {
		if err := g.cfg.Ready(ctx); err != nil {
			g.cfg.Log.Warn("not ready", "err", err)
			w.Header().Set("Retry-After", "1")
			writeProblem(w, wire.CodeUnavailable, http.StatusServiceUnavailable, "This node is not ready: it is stopping, or cannot reach its database or Redis.")
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"}, g.cfg.Log)
}
