package doors

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/internal/httpserver"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// The paths of the doors that the app does not have. They read and write the
// shared state of the real node, and send the frames that a socket would carry.
const (
	pathCar    = "/car"    // GET: the newest position after one, or 204; with wait, not before there is one
	pathStream = "/stream" // GET: server-sent events
	pathFix    = "/fix"    // POST: a driver's position
)

const (
	scanEvery = 5 * time.Millisecond // how long a new position may wait for its listeners
	longest   = 20 * time.Second     // an answer to a long poll
)

// server is the HTTP doors of one node.
type server struct {
	drivers *sharedstate.Drivers
	node    string
	tokens  *auth.Tokens
	hub     hub
	url     string
}

// startServer serves until ctx ends. Work waits for the end.
func startServer(ctx context.Context, t *town, work *sync.WaitGroup) (*server, error) {
	tokens, err := auth.NewTokens(secret, &auth.Revocations{Now: time.Now}, time.Now)
	if err != nil {
		return nil, err
	}
	l, err := httpserver.Listen("the HTTP doors", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}

	s := &server{drivers: t.node.Drivers(), node: t.node.Name(), tokens: tokens, url: "http://" + l.Addr().String(),
		hub: hub{waiters: map[trips.DriverID]chan struct{}{}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathCar, s.serveCar)
	mux.HandleFunc("GET "+pathStream, s.serveStream)
	mux.HandleFunc("POST "+pathFix, s.takeFix)
	work.Go(func() { _ = httpserver.Run(ctx, l, mux) })
	work.Go(func() { s.hub.run(ctx, s.drivers) })
	return s, nil
}

// requireRole answers 401 and returns false unless the request has a token for
// the role. A socket is asked once; these doors are with each request.
func (s *server) requireRole(w http.ResponseWriter, r *http.Request, role trips.Role) (trips.Actor, bool) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	pass, err := s.tokens.Verify(token)
	if err != nil || pass.Who.Role != role {
		http.Error(w, "a token of a "+string(role)+" is needed", http.StatusUnauthorized)
		return trips.Actor{}, false
	}
	return pass.Who, true
}

// serveCar answers with the car's position if it is newer than the one that the
// phone has.
func (s *server) serveCar(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.requireRole(w, r, trips.RoleRider); !ok {
		return
	}
	car, after := askedFor(r)

	if r.URL.Query().Has("wait") {
		ctx, cancel := context.WithTimeout(r.Context(), longest)
		defer cancel()
		s.awaitAfter(ctx, car, after)
	}

	frame, _ := s.newestAfter(car, after)
	if frame == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(frame) // the phone has gone
}

func askedFor(r *http.Request) (car trips.DriverID, after uint32) {
	seq, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 32) // none: 0
	return trips.DriverID(r.URL.Query().Get("id")), uint32(seq)
}

// findAfter returns where a car is, and false when the phone has that position.
func (s *server) findAfter(car trips.DriverID, after uint32) (sharedstate.Driver, bool) {
	d, ok := s.drivers.Get(car)
	return d, ok && d.HasPosition() && d.Fix.Seq > after
}

// awaitAfter returns when there is a position that the phone does not have, or
// when ctx ends.
func (s *server) awaitAfter(ctx context.Context, car trips.DriverID, after uint32) {
	s.hub.awaitCar(ctx, car, func() bool { _, ok := s.findAfter(car, after); return ok })
}

// newestAfter returns the frame of a car's position and its number, or nil when
// the phone has it.
func (s *server) newestAfter(car trips.DriverID, after uint32) (frame []byte, seq uint32) {
	d, ok := s.findAfter(car, after)
	if !ok {
		return nil, after
	}
	frame, err := wire.JSON.Append(nil, &wire.ServerFrame{Body: &wire.ServerFrame_Position{Position: &wire.Position{
		N: d.Fix.Seq, DriverId: string(car), Seq: d.Fix.Seq, AtMs: wire.ToMillis(d.Fix.At), ReceivedMs: wire.ToMillis(d.ReceivedAt),
		SentMs: wire.ToMillis(time.Now()), Heading: d.Fix.Heading, Speed: d.Fix.Speed,
		Point: translate.EncodePoint(d.Fix.Point)}}})
	if err != nil {
		return nil, after // a position has no text that could be wrong
	}
	return frame, d.Fix.Seq
}

// serveStream sends each new position as a server-sent event.
func (s *server) serveStream(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.requireRole(w, r, trips.RoleRider); !ok {
		return
	}
	car, after := askedFor(r)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	if out.Flush() != nil {
		return
	}

	for {
		s.awaitAfter(r.Context(), car, after)
		if r.Context().Err() != nil {
			return
		}
		var frame []byte
		if frame, after = s.newestAfter(car, after); frame == nil {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", frame); err != nil || out.Flush() != nil {
			return
		}
	}
}

// takeFix is the way up without a socket: a request for each position.
func (s *server) takeFix(w http.ResponseWriter, r *http.Request) {
	who, ok := s.requireRole(w, r, trips.RoleDriver)
	if !ok {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<10))
	var f wire.ClientFrame
	if err != nil || wire.JSON.DecodeKnown(body, &f) != nil || f.GetFix() == nil {
		http.Error(w, "want a frame with a fix", http.StatusBadRequest)
		return
	}

	fix := f.GetFix()
	why := s.drivers.Move(trips.DriverID(who.ID), location.Fix{Point: translate.DecodePoint(fix.GetPoint()),
		Seq: fix.Seq, At: wire.FromMillis(fix.AtMs), Heading: fix.Heading, Speed: fix.Speed, Accuracy: fix.Accuracy})
	if why != location.Accepted {
		http.Error(w, string(why), http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// hub wakes those that wait for a car's next position. The node tells only its
// own sockets, so the hub looks at the shared state every scanEvery.
type hub struct {
	mu      sync.Mutex // guards waiters
	waiters map[trips.DriverID]chan struct{}
}

func (h *hub) run(ctx context.Context, drivers *sharedstate.Drivers) {
	drivers.SetTracking(true)
	var changed []sharedstate.Driver
	for sleep.For(ctx, scanEvery) {
		changed = drivers.TakeChanged(changed[:0])
		h.mu.Lock()
		for _, d := range changed {
			if waiting, ok := h.waiters[d.ID]; ok {
				close(waiting)
				delete(h.waiters, d.ID)
			}
		}
		h.mu.Unlock()
	}
}

// awaitCar returns when ready does, which is asked after each change of the
// car, or when ctx ends.
func (h *hub) awaitCar(ctx context.Context, car trips.DriverID, ready func() bool) {
	for {
		h.mu.Lock()
		waiting, ok := h.waiters[car]
		if !ok {
			waiting = make(chan struct{})
			h.waiters[car] = waiting
		}
		h.mu.Unlock()
		if ready() {
			return
		}

		select {
		case <-waiting:
		case <-ctx.Done():
			return
		}
	}
}
