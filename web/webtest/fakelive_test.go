package webtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/web"
	"github.com/ridehail/ridehail/wire"
)

type (
	liveLine struct {
		ID        string  `json:"id"`
		From      string  `json:"from"`
		To        string  `json:"to"`
		Mechanism string  `json:"mechanism"`
		RateHz    float64 `json:"rate_hz"`
		WasHz     float64 `json:"was_hz"`
		P50Us     float64 `json:"p50_us"`
		P99Us     float64 `json:"p99_us"`
		State     string  `json:"state"`
	}
	liveStation struct {
		Part     string `json:"part"`
		Waiting  int    `json:"waiting"`
		Unit     string `json:"unit"`
		Sentence string `json:"sentence,omitempty"`
	}
	liveDot struct {
		Line  string  `json:"line"`
		Trip  string  `json:"trip"`
		Name  string  `json:"name"`
		AgoMs float64 `json:"ago_ms"`
	}
	liveFault struct {
		ID       string  `json:"id"`
		Name     string  `json:"name"`
		Station  string  `json:"station"`
		On       bool    `json:"on"`
		SinceMs  float64 `json:"since_ms,omitempty"`
		Sentence string  `json:"sentence,omitempty"`
		By       string  `json:"by,omitempty"`
		Possible bool    `json:"possible"`
		Why      string  `json:"why,omitempty"`
	}
	liveEvent struct {
		AtMs     float64          `json:"at_ms"`
		Node     string           `json:"node"`
		Nodes    []string         `json:"nodes"`
		Lines    []*liveLine      `json:"lines"`
		Stations []*liveStation   `json:"stations"`
		Dots     []liveDot        `json:"dots"`
		Ledger   []map[string]any `json:"ledger"`
		Faults   []*liveFault     `json:"faults"`
	}
)

// fakeLive is a node of which only the live figures and the fault switches are
// there. It makes no traffic by itself.
type fakeLive struct {
	*httptest.Server
	mu      sync.Mutex // guards the fields below
	event   liveEvent
	refusal string // of every switch; empty: none
	isAway  bool   // it sends nothing
	// calls are the requests that came for switches and trips.
	calls   []string
	changed chan struct{} // closed and replaced at each change
}

func newFakeLive(t *testing.T) *fakeLive {
	f := &fakeLive{event: aBusyCity(), changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("/", web.Handler())
	mux.Handle("/xray", web.XrayHandler())
	mux.Handle("/xray/", web.XrayHandler())
	mux.HandleFunc("GET /v1/xray", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"trips":[],"kept":0,"bytes":0,"limit_bytes":1}`)
	})
	mux.HandleFunc("GET /v1/xray/median", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"trips":0,"phases":[]}`) })
	mux.HandleFunc("GET /v1/xray/live", f.serveLive)
	mux.HandleFunc("GET /v1/xray/{trip}", func(w http.ResponseWriter, r *http.Request) {
		f.change(func(f *fakeLive) { f.calls = append(f.calls, "GET "+r.PathValue("trip")) })
		problem.Write(w, wire.CodeNotFound, http.StatusNotFound, "no such trip")
	})
	mux.HandleFunc("PUT /xray/api/faults/{id}", f.serveSwitch)
	mux.HandleFunc("DELETE /xray/api/faults", f.serveSwitch)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(func() { f.CloseClientConnections(); f.Close() })
	return f
}

// aBusyCity is what a node says of two thousand drivers, with nothing broken.
func aBusyCity() liveEvent {
	line := func(id string, rate, p50, p99 float64) *liveLine {
		ends, mechanism, _ := strings.Cut(id, ":")
		from, to, _ := strings.Cut(ends, "-")
		return &liveLine{ID: id, From: from, To: to, Mechanism: mechanism, RateHz: rate, P50Us: p50, P99Us: p99, State: "ok"}
	}
	fault := func(id, name, station string) *liveFault {
		return &liveFault{ID: id, Name: name, Station: station, Possible: true}
	}
	account := func(mechanism, class string, sent, delivered, recovered, repeated, overwritten, lost, waiting int) map[string]any {
		return map[string]any{"mechanism": mechanism, "class": class, "sent": sent, "delivered": delivered, "recovered": recovered,
			"repeated": repeated, "overwritten": overwritten, "lost": lost, "waiting": waiting}
	}
	return liveEvent{
		Node: "node-1", Nodes: []string{"node-1", "node-2"},
		Lines: []*liveLine{
			line("rider_phone-gateway:socket", 410, 52, 140), line("driver_phone-gateway:socket", 2000, 120, 310),
			line("gateway-memory:memory", 2000, 9, 21), line("memory-dispatch:memory", 18, 14, 40),
			line("gateway-routing:rpc", 24, 400, 1100), line("routing-dispatch:rpc", 18, 430, 1300),
			line("gateway-store:database", 62, 310, 590), line("store-outbox:database", 62, 190, 420),
			line("dispatch-redis:direct", 6, 85, 130), line("outbox-redis:pubsub", 62, 72, 190), line("outbox-queue:queue", 2, 84, 160),
			line("redis-node:pubsub", 62, 140, 360), line("redis-node:direct", 6, 110, 240), line("queue-provider:rpc", 0.4, 38000, 61000),
		},
		Stations: []*liveStation{{Part: "outbox", Unit: "rows"}, {Part: "queue", Unit: "jobs"}, {Part: "node", Unit: "messages"}},
		Ledger: []map[string]any{
			account("socket", "trip events", 4120, 4088, 14, 6, 0, 0, 12), account("socket", "positions", 182044, 171980, 0, 0, 10051, 0, 13),
			account("pubsub", "trip events", 4120, 4101, 19, 0, 0, 0, 0), account("queue", "jobs", 301, 298, 0, 1, 0, 0, 2),
		},
		Faults: []*liveFault{
			fault("slow_phone", "Slow phone", "rider_phone"), fault("drop", "Drop 1 in 10", "driver_phone"), fault("disconnect", "Disconnect", "driver_phone"),
			fault("delay", "Delay +50 ms", "routing"), fault("redis_away", "Cut Redis", "redis"), fault("database_away", "Cut database", "store"),
			fault("provider_down", "Provider down", "provider"),
		},
	}
}

// change changes what the node says, and says it at once.
func (f *fakeLive) change(how func(*fakeLive)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how(f)
	close(f.changed)
	f.changed = make(chan struct{})
}

// called returns the requests so far.
func (f *fakeLive) called() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.calls, ", ")
}

func (e *liveEvent) line(id string) *liveLine {
	for _, l := range e.Lines {
		if l.ID == id {
			return l
		}
	}
	panic("no line " + id)
}

func (e *liveEvent) fault(id string) *liveFault {
	for _, f := range e.Faults {
		if f.ID == id {
			return f
		}
	}
	panic("no fault " + id)
}

// cutRedis is what the figures show while Redis is away.
func (f *fakeLive) cutRedis() {
	for id, state := range map[string]string{"dispatch-redis:direct": "held", "outbox-redis:pubsub": "held", "outbox-queue:queue": "held", "redis-node:pubsub": "cut", "redis-node:direct": "cut"} {
		l := f.event.line(id)
		l.State, l.WasHz = state, l.RateHz
		if state == "cut" {
			l.RateHz = 0
		}
	}
	f.event.Stations = []*liveStation{{Part: "outbox", Waiting: 214, Unit: "rows"}, {Part: "queue", Waiting: 5, Unit: "jobs"}}
	f.event.fault("redis_away").Sentence = "Redis is away: riders on node 2 hear of this when it is back; positions here still flow."
}

// sendTraffic gives each line the dots of one second.
func (f *fakeLive) sendTraffic() {
	f.event.Dots = nil
	for _, l := range f.event.Lines {
		for i := range min(12, int(l.RateHz)) {
			if l.State == "ok" || l.State == "held" {
				f.event.Dots = append(f.event.Dots, liveDot{l.ID, "0190f7c2-0000-7000-8000-00000000abcd", "fix_moved", float64(i*83) + 10})
			}
		}
	}
}

func (f *fakeLive) serveLive(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		f.mu.Lock()
		f.event.AtMs = float64(time.Now().UnixMilli())
		text, _ := json.Marshal(f.event)
		isAway, changed := f.isAway, f.changed
		f.mu.Unlock()
		if !isAway {
			fmt.Fprintf(w, "event: live\ndata: %s\n\n", text)
			w.(http.Flusher).Flush()
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// serveSwitch answers as the fault desk does.
func (f *fakeLive) serveSwitch(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		On   bool   `json:"on"`
		Page string `json:"page"`
	}
	_ = json.NewDecoder(r.Body).Decode(&asked)
	f.change(func(f *fakeLive) {
		f.calls = append(f.calls, strings.TrimSpace(fmt.Sprintf("%s %s %t", r.Method, r.PathValue("id"), asked.On)))
		if f.refusal != "" {
			problem.Write(w, wire.CodeForbidden, http.StatusForbidden, f.refusal)
			return
		}
		for _, fault := range f.event.Faults {
			if r.Method == http.MethodDelete || fault.ID == r.PathValue("id") {
				fault.On, fault.By, fault.SinceMs = asked.On, asked.Page, float64(time.Now().Add(-12*time.Second).UnixMilli())
			}
		}
	})
}
