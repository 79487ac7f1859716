package gateway

import (
	"context"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// requestHelp stores a call for help. deliverSOSAck sends the acknowledgement
// later.
func (s *session) requestHelp(ctx context.Context, id string, c *wire.Sos) error {
	if !translate.IsPlainID(c.GetTripId()) {
		return trips.ErrNotFound
	}
	a, err := s.g.sosService.RequestHelp(ctx, s.user, trips.TripID(c.GetTripId()), id, c.GetText())
	if err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.addCall(a)
	return nil
}

// unackedSOSTrips returns the trips on which this connection called for help
// and knows of no acknowledgement.
func (s *session) unackedSOSTrips() []trips.TripID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls.unackedTrips()
}

// carPosition is where a driver's car was when a node last heard of it.
func (g *Gateway) carPosition(id trips.DriverID) (sos.Place, bool) {
	d, ok := g.cfg.Drivers.Get(id)
	return sos.Place{Point: d.Fix.Point, At: d.ReceivedAt}, ok && d.HasPosition()
}

// deliverSOSAck delivers an operator's acknowledgement to the sessions of the
// user who called for help.
func (g *Gateway) deliverSOSAck(a sos.Alert) {
	if a.AckedAt.IsZero() {
		return // it is new: the operators are told, not the phone
	}
	for _, s := range g.sessions.OfUser(a.From, nil) {
		s.afterWelcome(func() { s.deliverSOSAck(a, outcomeSent) })
	}
}

// deliverSOSAck sends an acknowledgement, once on each connection.
func (s *session) deliverSOSAck(a sos.Alert, how outcome) {
	s.mu.Lock()
	first := s.calls.markAcked(a)
	s.mu.Unlock()

	if !first {
		s.g.metrics.delivery.countMessage(classOther, outcomeDuplicate)
		return
	}
	s.out.sendFrameAs(&wire.ServerFrame{Body: &wire.ServerFrame_SosSeen{SosSeen: &wire.SosSeen{Id: a.ClientID, TripId: string(a.Trip),
		AtMs: wire.ToMillis(a.AckedAt)}}}, how, nil)
}
