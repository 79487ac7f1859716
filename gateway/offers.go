package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// DeliverOffer puts an offer into the hands of a driver connected here. It
// returns dispatch.ErrUnreachable if the driver is not.
func (g *Gateway) DeliverOffer(o dispatch.Offer) error {
	to := g.putOffer(o)
	if len(to) == 0 {
		return fmt.Errorf("driver %s has no socket on this node: %w", o.Driver, dispatch.ErrUnreachable)
	}

	for _, s := range to {
		s.afterWelcome(func() { s.out.sendFrame(offerFrame(o)) })
	}
	return nil
}

// putOffer puts the offer into the inbox and returns the driver's sessions. If
// there are none it keeps the offer out, since no session would end and hand it
// back.
func (g *Gateway) putOffer(o dispatch.Offer) []*session {
	g.presence.Lock()
	defer g.presence.Unlock()
	to := g.sessions.OfUser(trips.Driver(o.Driver), nil)
	if len(to) > 0 {
		g.cfg.Inbox.Put(o)
	}
	return to
}

// elsewhereWithin is how long to wait for the acceptance of an offer that this
// node never had: the phone may have come here from the node that had it,
// before it heard what became of its first attempt.
const elsewhereWithin = 3 * time.Second

// acceptedBefore returns what became of an acceptance whose offer is not here
// (any more): it may be a repeat. If another node may still be about to commit
// it, it is abandoned before it is refused, so that the refusal holds.
func (g *Gateway) acceptedBefore(ctx context.Context, key trips.IdempotencyKey, offerID string, gone error) (trips.Event, error) {
	ev, err := g.cfg.Store.RecordedEvent(ctx, key)
	if !g.cfg.Inbox.HasSeen(offerID) {
		late := time.Now().Add(elsewhereWithin)
		for errors.Is(err, trips.ErrNotFound) && time.Now().Before(late) && sleep.For(ctx, 50*time.Millisecond) {
			ev, err = g.cfg.Store.RecordedEvent(ctx, key)
		}
		if errors.Is(err, trips.ErrNotFound) {
			ev, err = g.cfg.Store.Abandon(ctx, key)
		}
	}

	if errors.Is(err, trips.ErrNotFound) || errors.Is(err, trips.ErrAbandoned) {
		return ev, gone
	}
	return ev, err
}

// WithdrawOffer takes an offer out of its driver's hands and tells the phone
// why; the reason is one of package dispatch.
func (g *Gateway) WithdrawOffer(o dispatch.Offer, reason string) {
	if _, held := g.cfg.Inbox.Drop(o.ID); !held {
		return // taken or declined meanwhile: the phone knows
	}

	for _, s := range g.sessions.OfUser(trips.Driver(o.Driver), nil) {
		s.afterWelcome(func() {
			s.out.sendFrame(&wire.ServerFrame{Body: &wire.ServerFrame_OfferGone{OfferGone: &wire.OfferGone{Id: o.ID, Reason: reason}}})
		})
	}
}

func offerFrame(o dispatch.Offer) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Offer{Offer: &wire.Offer{Id: o.ID, Trip: translate.EncodeTrip(o.Trip),
		ExpiresAtMs: wire.ToMillis(o.ExpiresAt), PickupM: float32(o.Metres), PickupS: float32(o.Pickup.Seconds())}}}
}
