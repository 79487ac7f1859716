// Package page serves the lab's page at /lab: the list of experiments, and one
// run at a time, whose points it streams to the browser that asked for it.
package page

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/loopback"
	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/web"
	"github.com/ridehail/ridehail/wire"
)

// Config says what the page shows and may do.
type Config struct {
	Experiments []finding.Experiment // in the order of the list
	// MayRun is false where development tokens are off: the page then shows its
	// texts and starts nothing.
	MayRun bool
	Log    *slog.Logger
}

// Page answers HTTP below /lab. Its methods may be called from any goroutine.
type Page struct {
	// Fixed at creation.
	cfg     Config
	handler http.Handler
	ctx     context.Context // every run ends with it
	stop    context.CancelFunc
	grace   time.Duration // see stopGrace

	running sync.WaitGroup // the experiment that runs

	mu      sync.Mutex // guards the fields below
	closed  bool
	current *activeRun // nil: none
	lastRun uint64     // number of the run that was started last
}

// New returns a page whose runs end when ctx does. The caller must Close it.
func New(ctx context.Context, cfg Config) *Page {
	p := &Page{cfg: cfg, grace: stopGrace}
	p.ctx, p.stop = context.WithCancel(ctx)

	mux := http.NewServeMux()
	p.handler = loopback.Only("The lab", mux)
	shown := web.LabHandler(listWithoutScripts(cfg.Experiments))
	mux.Handle("/lab", shown)
	mux.Handle("/lab/", shown)
	mux.HandleFunc("GET /lab/api/experiments", p.getExperiments)
	mux.HandleFunc("GET /lab/api/experiments/{name}/frame", p.getFrame)
	mux.HandleFunc("POST /lab/api/runs", p.postRun)
	mux.HandleFunc("DELETE /lab/api/runs/{run}", p.deleteRun)
	mux.HandleFunc("/lab/api/", func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, wire.CodeNoSuchEndpoint, http.StatusNotFound, "The lab has no such endpoint.")
	})
	return p
}

// Close ends the run that is on and waits until it has ended, at most as long
// as an experiment may take to stop. It starts no others.
func (p *Page) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()

	p.stop()
	ended := make(chan struct{})
	go func() { p.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(p.grace):
		p.cfg.Log.Warn("an experiment of the lab does not stop: leaving it behind")
	}
}

// ServeHTTP answers programs on this machine only, and of browsers' pages only
// the lab's own.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// findExperiment answers with 404 when there is no such experiment.
func (p *Page) findExperiment(w http.ResponseWriter, name string) (finding.Experiment, bool) {
	i := slices.IndexFunc(p.cfg.Experiments, func(e finding.Experiment) bool { return e.Name == name })
	if i < 0 {
		problem.Write(w, wire.CodeNotFound, http.StatusNotFound, "There is no experiment "+quoteShort(name)+"; the list has all names.")
		return finding.Experiment{}, false
	}
	return p.cfg.Experiments[i], true
}

// quoteShort quotes what a stranger sent, cut to a length that fits a line.
func quoteShort(s string) string {
	if runes := []rune(s); len(runes) > 40 {
		s = string(runes[:40]) + "…"
	}
	return strconv.Quote(s)
}
