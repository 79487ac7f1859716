package gateway

import (
	"context"
	"fmt"
	"slices"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// mostCalls bounds what one connection remembers; nobody calls so often in its life.
const mostCalls = 256

// call is what a connection knows of one of its user's calls for help.
type call struct {
	trip trips.TripID
	seen bool // the phone was told that it is acknowledged
}

// sos keeps a call for help. What follows, an operator who sees it, is told by sosSeen.
func (s *session) sos(ctx context.Context, id string, c *wire.Sos) error {
	if !translate.PlainID(c.GetTripId()) {
		return trips.ErrNotFound
	}
	a, err := s.g.help.Call(ctx, s.user, trips.TripID(c.GetTripId()), id, c.GetText())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.calls[a.ID].seen {
		s.noteLocked(a, false)
	}
	return nil
}

func (s *session) noteLocked(a sos.Alert, seen bool) {
	if s.calls == nil || len(s.calls) >= mostCalls {
		s.calls = map[string]call{}
	}
	s.calls[a.ID] = call{a.Trip, seen}
}

// unanswered are the trips on which this connection called for help and knows of no acknowledgement.
func (s *session) unanswered() (out []trips.TripID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if !c.seen && !slices.Contains(out, c.trip) {
			out = append(out, c.trip)
		}
	}
	return out
}

// place is where a driver's car was when a node last heard of it.
func (g *Gateway) place(id trips.DriverID) (sos.Place, bool) {
	d, ok := g.cfg.Drivers.Get(id)
	return sos.Place{Point: d.Fix.Point, At: d.ReceivedAt}, ok && d.Located()
}

// helped tells who called that an operator has acknowledged it; once, as far as this connection knows.
func (g *Gateway) helped(a sos.Alert) {
	if a.AckedAt.IsZero() {
		return // it is new: the operators are told, not the phone
	}
	for _, s := range g.sessions.Of(a.From, nil) {
		s.news(func() { s.sosSeen(a, outcomeSent) })
	}
}

func (s *session) sosSeen(a sos.Alert, how outcome) {
	s.mu.Lock()
	again := s.calls[a.ID].seen
	if again {
		s.count(classOther, outcomeDuplicate)
	} else {
		s.noteLocked(a, true)
	}
	s.mu.Unlock()
	if again {
		return
	}
	if s.push(&wire.ServerFrame{Body: &wire.ServerFrame_SosSeen{SosSeen: &wire.SosSeen{Id: a.ClientID, TripId: string(a.Trip),
		AtMs: wire.Millis(a.AckedAt)}}}, how) {
		s.g.spawn(s.flush)
	}
}

// readHelped sends which of this user's calls on a trip have been acknowledged and are not known to be told.
func (s *session) readHelped(ctx context.Context, id trips.TripID) error {
	all, err := s.g.cfg.Alerts.AlertsOf(ctx, s.user, id)
	if err != nil {
		return fmt.Errorf("calls for help on trip %s: %w", id, err)
	}
	for _, a := range all {
		if !a.AckedAt.IsZero() {
			s.sosSeen(a, outcomeRecovered)
		}
	}
	return nil
}
