package gateway

import (
	"fmt"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// Offer puts an offer into the hands of a driver connected here; dispatch.ErrUnreachable when they are not.
func (g *Gateway) Offer(o dispatch.Offer) error {
	to := g.hand(o)
	if len(to) == 0 {
		return fmt.Errorf("driver %s has no socket on this node: %w", o.Driver, dispatch.ErrUnreachable)
	}
	for _, s := range to {
		s.news(func() { s.send(offerFrame(o)) })
	}
	return nil
}

// hand puts the offer into the inbox and returns the driver's sessions, unless they are gone: then nobody would hand it
// back.
func (g *Gateway) hand(o dispatch.Offer) []*session {
	g.presence.Lock()
	defer g.presence.Unlock()
	to := g.sessions.Of(trips.Driver(o.Driver), nil)
	if len(to) > 0 {
		g.cfg.Inbox.Put(o)
	}
	return to
}

// OfferGone takes an offer out of its driver's hands and says why; one of the reasons of package dispatch.
func (g *Gateway) OfferGone(o dispatch.Offer, reason string) {
	if _, held := g.cfg.Inbox.Drop(o.ID); !held {
		return // taken or declined meanwhile: the phone knows
	}
	for _, s := range g.sessions.Of(trips.Driver(o.Driver), nil) {
		s.news(func() {
			s.send(&wire.ServerFrame{Body: &wire.ServerFrame_OfferGone{OfferGone: &wire.OfferGone{Id: o.ID, Reason: reason}}})
		})
	}
}

func offerFrame(o dispatch.Offer) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Offer{Offer: &wire.Offer{Id: o.ID, Trip: wireTrip(o.Trip),
		ExpiresAtMs: wire.Millis(o.ExpiresAt), PickupM: float32(o.Metres), PickupS: float32(o.Pickup.Seconds())}}}
}
