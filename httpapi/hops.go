package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// exchange is a request and its answer, whose hops are recorded once it is known
// of which trip or quote they are. It belongs to the request's goroutine.
type exchange struct {
	began, read time.Time // when the request's head and all of its body were read

	id      string // of the trip or quote; empty: none that is sampled
	written tracing.Hop
}

type exchangeKey struct{}

// withExchange adds an exchange to a request's context, if hops are recorded.
func (a *API) withExchange(ctx context.Context, began time.Time) context.Context {
	if a.cfg.Tracer == nil {
		return ctx
	}
	return context.WithValue(ctx, exchangeKey{}, &exchange{began: began})
}

// exchangeOf returns the exchange of a request; nil if no hop is recorded.
func exchangeOf(r *http.Request) *exchange {
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	return x
}

// noteRead notes that all of a request was read.
func (a *API) noteRead(r *http.Request) {
	if x := exchangeOf(r); x != nil {
		x.read = a.cfg.Now()
	}
}

// recordRead records how a request of a sampled trip or quote was read, and keeps
// what writing its answer will record.
func (a *API) recordRead(r *http.Request, id string, read, written tracing.Hop) {
	x := exchangeOf(r)
	if x == nil || !a.cfg.Tracer.Samples(id) {
		return
	}
	read.Bytes = int(max(0, r.ContentLength))
	a.cfg.Tracer.Record(id, read, x.began, x.read)
	x.id, x.written = id, written
}

// writeAnswer writes an answer, and records that if recordRead was called.
func (a *API) writeAnswer(w http.ResponseWriter, r *http.Request, status int, body any) {
	x := exchangeOf(r)
	if x == nil || x.id == "" {
		a.writeJSON(w, status, body)
		return
	}
	began := a.cfg.Now()
	x.written.Bytes = a.writeJSON(w, status, body)
	a.cfg.Tracer.Record(x.id, x.written, began, a.cfg.Now())
}

// recordCommand records a command over HTTP that led to an event. One that led
// to none may name any trip, and is not recorded.
func (a *API) recordCommand(r *http.Request, who trips.Actor, command string, ev trips.Event, answer json.RawMessage) {
	phase, phone := tracing.PhaseOf(ev.Kind), tracing.PhoneOf(who.Role)
	read, written := tracing.HTTPRead.Hop(phase, 0), tracing.HTTPWritten.Hop(phase, 0)
	read.From, written.To = phone, phone
	read.Key = "command:" + command
	written.Cause, written.Frame = read.Key, string(answer)
	a.recordRead(r, string(ev.Trip.ID), read, written)
}

// recordQuote records a request for a quote, which is the root of its trace.
func (a *API) recordQuote(r *http.Request, id string, out quote) {
	if !a.cfg.Tracer.Samples(id) {
		return
	}
	read, written := tracing.QuoteRead.Hop(tracing.Quote, 0), tracing.QuoteWritten.Hop(tracing.Quote, 0)
	read.Key, written.Cause = tracing.RootKey, tracing.RootKey
	out.Quote, out.Path = "", nil // the one is a secret of the rider's, the other long
	if frame, err := json.Marshal(out); err == nil {
		written.Frame = string(frame)
	}
	a.recordRead(r, id, read, written)
}

// findNearbyFor returns the free cars near a pickup, and records the search: as
// look_around where other nodes were asked, otherwise as a search in memory.
func (a *API) findNearbyFor(ctx context.Context, id string, p location.Point) []sharedstate.NearbyDriver {
	if !a.cfg.Tracer.Samples(id) {
		near, _ := a.findNearby(ctx, p)
		return near
	}
	began := a.cfg.Now()
	near, asked := a.findNearby(ctx, p)
	kind := tracing.CandidateSearch
	if asked > 0 {
		kind = tracing.LookAround
	}
	h := kind.Hop(tracing.Quote, 0)
	h.From, h.Reason = tracing.Gateway, fmt.Sprintf("%d free cars are near the pickup, to show the rider.", len(near))
	a.cfg.Tracer.Record(id, h, began, a.cfg.Now())
	return near
}
