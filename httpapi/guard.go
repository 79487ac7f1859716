package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
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
	problem.Write(w, wire.CodeMethod, http.StatusMethodNotAllowed, "Use "+strings.Join(w.Header().Values("Allow"), " or ")+" here.")
}

// unknownEndpoint answers every method alike.
func unknownEndpoint() methods {
	m := methods{}
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		m[method] = func(w http.ResponseWriter, _ *http.Request) {
			problem.Write(w, wire.CodeNoSuchEndpoint, http.StatusNotFound, "There is no such endpoint; docs/protocol.md lists them.")
		}
	}
	return m
}

// guardRoute bounds a request's body and time, turns a panic into a problem,
// and counts the request under its route.
func (a *API) guardRoute(route string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := a.cfg.Now()
		rec := &statusRecorder{ResponseWriter: w}
		defer func() {
			if v := recover(); v != nil {
				a.cfg.Log.Error("a handler panicked", "route", route, "panic", v, "stack", string(debug.Stack()))
				rec.writeInternalError()
			}
			a.seconds.WithLabelValues(route, methodLabel(r.Method), strconv.Itoa(rec.statusSent())).Observe(a.cfg.Now().Sub(start).Seconds())
		}()

		ctx, cancel := context.WithTimeout(r.Context(), handlerTimeout)
		defer cancel()

		rec.Header().Set("X-Content-Type-Options", "nosniff")
		if r.ContentLength != 0 {
			r.Body = limitBodyTime(w, r.Body, a.cfg.BodyWithin)
		}
		r.Body = http.MaxBytesReader(rec, r.Body, maxBody)
		next.ServeHTTP(rec, r.WithContext(a.withExchange(ctx, start)))
	})
}

// limitBodyTime bounds the time in which all of a body must arrive, also of one
// that no handler reads.
func limitBodyTime(w http.ResponseWriter, body io.ReadCloser, within time.Duration) io.ReadCloser {
	conn := http.NewResponseController(w)
	// The call fails only where there is no connection.
	_ = conn.SetReadDeadline(time.Now().Add(within))
	return &timedBody{body, conn}
}

type timedBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
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

// statusRecorder remembers the status that was sent.
type statusRecorder struct {
	http.ResponseWriter
	sent int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.sent = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *statusRecorder) Write(b []byte) (int, error) {
	if r.sent == 0 {
		r.sent = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

func (r *statusRecorder) statusSent() int {
	if r.sent == 0 {
		return http.StatusOK
	}
	return r.sent
}

// writeInternalError answers unless an answer has begun already.
func (r *statusRecorder) writeInternalError() {
	if r.sent == 0 {
		problem.Write(r, wire.CodeInternal, http.StatusInternalServerError,
			"This is our fault and is in our log; try again with the same id.")
	}
}

// endpoint answers one authenticated request; what it returns is sent as JSON,
// an error as a problem.
type endpoint func(r *http.Request, who trips.Actor) (status int, body any, err error)

// requireRole admits a user who has a valid token of one of the roles and is
// not asking too fast.
func (a *API) requireRole(e endpoint, roles ...trips.Role) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := a.authenticate(r, roles)
		if err != nil {
			if code, _ := translate.ExplainError(err); code == wire.CodeTooMany {
				w.Header().Set("Retry-After", "1")
			}
			writeError(w, err)
			return
		}

		status, body, err := e(r, who)
		if err != nil {
			a.logAndWriteError(w, r, err)
			return
		}

		a.writeAnswer(w, r, status, body)
	}
}

func (a *API) authenticate(r *http.Request, roles []trips.Role) (trips.Actor, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return trips.Actor{}, auth.ErrToken
	}

	pass, err := a.cfg.Tokens.Verify(token)
	if err != nil {
		return trips.Actor{}, err
	}

	who := pass.Who
	if !a.limiter.allow(who) {
		return trips.Actor{}, translate.Refuse(wire.CodeTooMany, "You ask too often; wait a second.")
	}

	for _, role := range roles {
		if who.Role == role {
			return who, nil
		}
	}

	return trips.Actor{}, translate.Refuse(wire.CodeForbidden,
		"This is for a "+string(roles[0])+"; your token is for a "+string(who.Role)+".")
}
