package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/web"
	"github.com/ridehail/ridehail/wire"
)

const (
	maxBody        = 4 << 10
	handlerTimeout = 10 * time.Second
)

// methods answers one path, method by method.
type methods map[string]http.HandlerFunc

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, ok := m[r.Method]
	if !ok && r.Method == http.MethodHead {
		h, ok = m[http.MethodGet]
	}
	if ok {
		h(w, r)
		return
	}
	for method := range m {
		w.Header().Add("Allow", method)
	}
	writeProblem(w, wire.CodeMethod, http.StatusMethodNotAllowed, "Use "+strings.Join(w.Header().Values("Allow"), " or ")+" here.")
}

// public builds the routes of the public door.
func (g *door) public() http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, m methods) { mux.Handle(path, g.guarded(path, m)) }
	handle("/v1/quotes", methods{"POST": g.as(g.postQuote, trips.RoleRider)})
	handle("/v1/surge", methods{"GET": g.surge})
	handle("/v1/trips", methods{"POST": g.as(g.postTrip, trips.RoleRider), "GET": g.as(g.listTrips, trips.RoleRider, trips.RoleDriver)})
	handle("/v1/trips/{id}", methods{"GET": g.as(g.getTrip, trips.RoleRider, trips.RoleDriver)})
	handle("/v1/trips/{id}/cancel", methods{"POST": g.as(g.cancelTrip, trips.RoleRider, trips.RoleDriver)})
	handle("/v1/trips/{id}/chat", methods{"GET": g.as(g.chatHistory, trips.RoleRider, trips.RoleDriver)})
	handle("/v1/nearby", methods{"GET": g.as(g.nearby, trips.RoleRider)})
	handle("/v1/receipts", methods{"GET": g.as(g.receipts, trips.RoleRider)})
	if g.cfg.Webhook != nil {
		mux.Handle(webhookPath, g.webhook())
	}
	if g.cfg.City != nil {
		d := newDrawing(g.cfg.City)
		handle("/v1/map", methods{"GET": g.plan(d)})
		handle("/v1/city", methods{"GET": d.whole})
		handle("/v1/tiles/{z}/{x}/{y}", methods{"GET": g.tile(d)})
	}
	handle("/v1/dev/tokens", methods{"POST": g.postDevToken})
	handle("/healthz", methods{"GET": g.healthz})
	handle("/readyz", methods{"GET": g.readyz})
	handle("/v1/", methods{}.orNothing())
	mux.HandleFunc("/v1/ws", g.cfg.Socket)
	mux.Handle("/", web.Handler())
	return mux
}

// orNothing answers every method of an unknown path alike.
func (m methods) orNothing() methods {
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		m[method] = func(w http.ResponseWriter, _ *http.Request) {
			writeProblem(w, wire.CodeNoSuchEndpoint, http.StatusNotFound, "There is no such endpoint; docs/protocol.md lists them.")
		}
	}
	return m
}

// guarded bounds a request's body and time, turns a panic into a problem, and counts the request under its route.
func (g *door) guarded(route string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := g.cfg.Now()
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if v := recover(); v != nil {
				g.cfg.Log.Error("a handler panicked", "route", route, "panic", v, "stack", string(debug.Stack()))
				rec.problem(wire.CodeInternal, "This is our fault and is in our log; try again with the same id.")
			}
			g.m.http.WithLabelValues(route, methodLabel(r.Method), strconv.Itoa(rec.status())).Observe(g.cfg.Now().Sub(start).Seconds())
		}()
		ctx, cancel := context.WithTimeout(r.Context(), handlerTimeout)
		defer cancel()
		rec.Header().Set("X-Content-Type-Options", "nosniff")
		if g.cfg.BodyWithin > 0 && r.ContentLength != 0 {
			r.Body = timely(w, r.Body, g.cfg.BodyWithin)
		}
		r.Body = http.MaxBytesReader(rec, r.Body, maxBody)
		next.ServeHTTP(rec, r.WithContext(ctx))
	})
}

// timely bounds the time in which all of a body must arrive, also one that nobody reads.
func timely(w http.ResponseWriter, body io.ReadCloser, within time.Duration) io.ReadCloser {
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(within)) // fails only where there is no connection
	return &timelyBody{body, conn}
}

type timelyBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

func (b *timelyBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.conn.SetReadDeadline(time.Time{}) // the answer may take longer
	}
	return n, err
}

// methodLabel keeps invented methods from becoming label values.
func methodLabel(m string) string {
	switch m {
	case "GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "other"
}

// recorder remembers the status that was sent.
type recorder struct {
	http.ResponseWriter
	sent int
}

func (r *recorder) WriteHeader(status int) {
	r.sent = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.sent == 0 {
		r.sent = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

func (r *recorder) status() int {
	if r.sent == 0 {
		return http.StatusOK
	}
	return r.sent
}

// problem answers unless an answer has begun already.
func (r *recorder) problem(code wire.Code, text string) {
	if r.sent == 0 {
		writeProblem(r, code, statusOf(code), text)
	}
}

// endpoint answers one authenticated request; what it returns is sent as JSON, an error as a problem.
type endpoint func(r *http.Request, who trips.Actor) (status int, body any, err error)

// as admits who has a valid token of one of the roles and is not asking too fast.
func (g *door) as(e endpoint, roles ...trips.Role) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := g.admit(r, roles)
		if err != nil {
			if code, _, _ := codeOf(err); code == wire.CodeTooMany {
				w.Header().Set("Retry-After", "1")
			}
			fail(w, err)
			return
		}
		status, body, err := e(r, who)
		if err != nil {
			if code, _, _ := codeOf(err); code == wire.CodeUnavailable && r.Context().Err() == nil {
				g.cfg.Log.Warn("a request failed", "path", r.URL.Path, "err", err)
			}
			fail(w, err)
			return
		}
		writeJSON(w, status, body, g.cfg.Log)
	}
}

func (g *door) admit(r *http.Request, roles []trips.Role) (trips.Actor, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return trips.Actor{}, ErrToken
	}
	pass, err := g.cfg.Auth.Verify(token)
	if err != nil {
		return trips.Actor{}, err
	}
	who := pass.Who
	if !g.pace.allow(who) {
		return trips.Actor{}, refuse(wire.CodeTooMany, "You ask too often; wait a second.")
	}
	for _, role := range roles {
		if who.Role == role {
			return who, nil
		}
	}
	return trips.Actor{}, refuse(wire.CodeForbidden, "This is for a "+string(roles[0])+"; your token is for a "+string(who.Role)+".")
}

func writeJSON(w http.ResponseWriter, status int, body any, log *slog.Logger) {
	data, err := json.Marshal(body)
	if err != nil {
		log.Error("an answer cannot be encoded", "err", err)
		writeProblem(w, wire.CodeInternal, http.StatusInternalServerError, "This is our fault and is in our log.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may be gone; nothing else to do about it
}

// readJSON reads one JSON object: no unknown fields, nothing after it, within the bound.
func readJSON(r *http.Request, into any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return refuse(wire.CodeBadFrame, "Send the body as Content-Type: application/json.")
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return badBody(err)
	}
	if err := dec.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return badBody(err)
		}
		return refuse(wire.CodeBadFrame, "Send one JSON object and nothing after it.")
	}
	return nil
}

func badBody(err error) error {
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return refuse(wire.CodeTooLarge, "The body is over 4 KiB; send less.")
	}
	if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) {
		return refuse(wire.CodeBadField, "The field "+strconv.Quote(wrong.Field)+" has the wrong type.")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return refuse(wire.CodeBadFrame, "The body has the unknown field "+name+"; leave it out.")
	}
	return refuse(wire.CodeBadFrame, "The body is not one JSON object.")
}
