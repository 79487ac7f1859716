package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// DeliverOffer puts an offer into the hands of a driver connected here. It
// returns dispatch.ErrUnreachable if the driver is not, and dispatch.ErrBusy if
// the driver is not free for an offer of another node.
func (g *Gateway) DeliverOffer(o dispatch.Offer) error {
	to, err := g.putOffer(o)
	if err != nil {
		return err
	}

	for _, s := range to {
		s.afterWelcome(func() { s.out.sendFrameAs(offerFrame(o), outcomeSent, s.hops().newOfferHop(o)) })
	}
	return nil
}

// putOffer puts the offer into the inbox and returns the driver's sessions. If
// there are none it keeps the offer out, since no session would end and hand it
// back. Our own dispatcher has reserved the driver already. For the offer of
// another node the driver is reserved here, where all of them come.
func (g *Gateway) putOffer(o dispatch.Offer) ([]*session, error) {
	g.presence.Lock()
	defer g.presence.Unlock()
	to := g.sessions.OfUser(trips.Driver(o.Driver), nil)
	if len(to) == 0 {
		return nil, fmt.Errorf("driver %s has no socket on this node: %w", o.Driver, dispatch.ErrUnreachable)
	}

	if outdated := g.keepOffer(o); outdated || o.Node == g.cfg.Node {
		return to, nil
	}

	if err := g.cfg.Drivers.Reserve(o.Driver, o.ID); err != nil {
		g.cfg.Inbox.Drop(o.ID)
		return nil, fmt.Errorf("%w: %w", dispatch.ErrBusy, err)
	}
	// The dispatcher may die, and its withdrawal may be lost.
	time.AfterFunc(o.ExpiresAt.Sub(g.cfg.Now()), func() { g.releaseHold(o) })
	return to, nil
}

// keepOffer puts the offer into the inbox and ends the holds of those that it
// replaces. It returns true if a newer dispatcher's offer of the trip is there.
func (g *Gateway) keepOffer(o dispatch.Offer) (outdated bool) {
	for _, older := range g.cfg.Inbox.Put(o) {
		g.releaseHold(older)
		g.endThought(older.ID, dispatch.GoneWithdrawn, g.cfg.Tracer.Now())
		outdated = outdated || older.ID == o.ID
	}
	return outdated
}

// releaseHold ends the hold of another node's offer. It does nothing the second
// time. Our own dispatcher ends its holds itself.
func (g *Gateway) releaseHold(o dispatch.Offer) {
	if o.Node != g.cfg.Node {
		g.cfg.Drivers.Release(o.Driver, o.ID)
	}
}

// ReleaseHoldsOf ends the holds of a node that died, so that the dispatcher that
// follows it may ask the same drivers. The phones may still accept.
func (g *Gateway) ReleaseHoldsOf(node string) {
	for _, o := range g.cfg.Inbox.OffersFrom(node) {
		g.releaseHold(o)
	}
}

// noOffersBecause returns why a driver gets no offers as things stand, or "".
func (g *Gateway) noOffersBecause(id trips.DriverID) string {
	d, _ := g.cfg.Drivers.Get(id)
	switch silent := g.cfg.Drivers.Guard().SilenceCutoff(g.cfg.Now(), detector.SuspectAfter); {
	case d.Trip != "":
		return wire.NoOffersOnTrip
	case d.Status == sharedstate.NonOperational:
		return wire.NoOffersOffDuty
	case !d.HasPosition(), d.ReceivedAt.Before(silent):
		return wire.NoOffersNoPosition
	}
	return ""
}

// answerOffer reserves the trip of an offer for the driver who accepts it, or
// lets the dispatcher ask the next driver. It returns no event if the driver
// declines.
func (s *session) answerOffer(ctx context.Context, c command, a *wire.AnswerOffer, ack *answer) (trips.Event, error) {
	if err := s.requireRole(trips.RoleDriver); err != nil {
		return trips.Event{}, err
	}
	if !translate.IsPlainID(a.GetOfferId()) && a.GetAccept() {
		return trips.Event{}, dispatch.ErrOfferGone
	}

	driver := trips.DriverID(s.user.ID)
	key := newAcceptKey(s.user, c.id, a.GetOfferId())

	o, err := s.g.cfg.Inbox.Take(driver, a.GetOfferId())
	if err == nil {
		ack.offeredTrip, ack.offerNth = o.Trip.ID, o.Nth
		s.g.recordOfferAnswer(o.ID, a.GetAccept(), c)
	}
	if !a.GetAccept() {
		if err == nil {
			s.g.releaseHold(o)
			s.g.cfg.OnOfferDeclined(o)
		}
		return trips.Event{}, nil // an offer that is gone counts as declined
	}
	if err != nil && !translate.IsPlainID(a.GetOfferId()) {
		return trips.Event{}, err // no node made such an offer
	}
	if err != nil {
		return s.g.settleAcceptance(ctx, key, a.GetOfferId(), err)
	}

	ev, err := s.g.cfg.Trips.Apply(ctx, key, o.Trip.ID, func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Reserve(driver, at)
	})
	if errors.Is(err, trips.ErrAbandoned) {
		// The phone came back to another node meanwhile, and was refused there.
		err = fmt.Errorf("%w: %w", dispatch.ErrOfferGone, err)
	}
	if err != nil {
		s.returnOffer(o, err)
	} else {
		s.g.releaseHold(o)
	}
	return ev, err
}

// returnOffer puts an offer back that could not be accepted because the
// database was away, and lets the dispatcher ask another driver when it never
// will be.
func (s *session) returnOffer(o dispatch.Offer, err error) {
	if translate.IsUnavailable(err) {
		s.g.keepOffer(o)
		return
	}
	s.g.releaseHold(o)
	s.g.cfg.OnOfferDeclined(o)
}

// elsewhereWithin is how long after a phone came back the node that it left may
// still commit an acceptance which the phone sends again here.
const elsewhereWithin = 3 * time.Second

// noteComeback is called before the session's first command. A phone that was
// connected before may have left a command under way on another node.
func (s *session) noteComeback(r *wire.Resume) {
	if r.GetEpoch() != "" {
		s.elsewhereUntil = time.Now().Add(elsewhereWithin).UnixNano()
	}
}

// mayRunElsewhere returns true for the acceptance of an offer that this node
// never had, from a phone that has just come back.
func (s *session) mayRunElsewhere(c command) bool {
	b, ok := c.body.(*wire.ClientFrame_AnswerOffer)
	return ok && b.AnswerOffer.GetAccept() && s.user.Role == trips.RoleDriver && time.Now().UnixNano() < s.elsewhereUntil &&
		translate.IsPlainID(b.AnswerOffer.GetOfferId()) && !s.g.cfg.Inbox.HasSeen(b.AnswerOffer.GetOfferId())
}

// awaitElsewhere waits until the command is recorded or cannot be under way any
// more. It returns false if the phone has left meanwhile: it will send the
// command again.
func (s *session) awaitElsewhere(c command) bool {
	ctx, cancel := context.WithDeadline(s.g.base, time.Unix(0, s.elsewhereUntil))
	defer cancel()

	key := newAcceptKey(s.user, c.id, c.body.(*wire.ClientFrame_AnswerOffer).AnswerOffer.GetOfferId())
	for !s.conn.hasEnded() {
		_, err := s.g.cfg.Store.RecordedEvent(ctx, key)
		if !errors.Is(err, trips.ErrNotFound) || !sleep.For(ctx, 50*time.Millisecond) {
			return true
		}
	}
	return false
}

// newAcceptKey returns the key under which the acceptance of an offer is kept.
func newAcceptKey(driver trips.Actor, id, offerID string) trips.IdempotencyKey {
	return trips.IdempotencyKey{Actor: driver, ID: id, Fingerprint: "accept " + offerID}
}

// settleAcceptance returns the result of an acceptance whose offer is not here,
// or not any more: it may be a repeat. If another node may still commit it, the
// command is abandoned before it is refused, so that the refusal holds.
func (g *Gateway) settleAcceptance(ctx context.Context, key trips.IdempotencyKey, offerID string, gone error) (trips.Event, error) {
	ev, err := g.cfg.Store.RecordedEvent(ctx, key)
	if errors.Is(err, trips.ErrNotFound) && !g.cfg.Inbox.HasSeen(offerID) {
		ev, err = g.cfg.Store.Abandon(ctx, key)
	}

	if errors.Is(err, trips.ErrNotFound) || errors.Is(err, trips.ErrAbandoned) {
		return ev, gone
	}
	return ev, err
}

// WithdrawOffer removes an offer from its driver's inbox and sends the phone
// the reason, one of package dispatch. It does nothing if the offer was
// answered meanwhile.
func (g *Gateway) WithdrawOffer(o dispatch.Offer, reason string) {
	if _, held := g.cfg.Inbox.Drop(o.ID); !held {
		return // taken or declined meanwhile: the phone knows
	}
	g.releaseHold(o)
	g.endThought(o.ID, reason, g.cfg.Tracer.Now())

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
