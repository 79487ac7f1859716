package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// epoch never changes: trip events and chat are numbered in the database, which
// outlives every node, so any node knows what another one sent. A trip
// that the database does not know is answered with recovered=false.
const epoch = "1"

// newsWithin bounds how long a phone that connects waits until its node hears
// the news of its trips. If that takes longer, the session has a gap then.
const newsWithin = 300 * time.Millisecond

// joinNews makes the node hear the news of the user's trips. It returns a
// channel that is closed when none is missed any more, or nil.
func (s *session) joinNews() (confirmed <-chan struct{}) {
	if s.g.cfg.JoinNews == nil {
		return nil
	}
	return s.g.cfg.JoinNews(s.user)
}

// awaitNews waits for joinNews before the session reads its state, so that what
// happens after the reading is heard.
func (s *session) awaitNews(confirmed <-chan struct{}) {
	if confirmed != nil {
		late := time.NewTimer(newsWithin)
		defer late.Stop()
		select {
		case <-confirmed:
		case <-late.C:
		case <-s.g.base.Done():
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = true
}

// sendWelcome sends the phone the state of its trip. The session is registered
// already: what is delivered meanwhile is held until the welcome is queued, and
// then sent in its turn.
func (s *session) sendWelcome(r *wire.Resume) error {
	ctx, cancel := context.WithTimeout(s.g.base, s.g.cfg.Limits.CommandWithin)
	defer cancel()

	w := &wire.Welcome{UserId: s.user.ID, Role: string(s.user.Role), Epoch: epoch, AtMs: wire.ToMillis(s.g.cfg.Now()),
		ExpiresAtMs: wire.ToMillis(s.until), WantsSentMs: s.g.cfg.Tracer != nil}
	s.g.beginComeback(s.user, r)
	st, owed, err := s.readResume(ctx, w, r)
	back := s.g.endComeback(s.user, err)
	if err != nil {
		return err
	}

	if s.user.Role == trips.RoleDriver {
		w.NoOffersBecause = s.g.noOffersBecause(trips.DriverID(s.user.ID))
	}
	s.out.queueFrame(&wire.ServerFrame{Body: &wire.ServerFrame_Welcome{Welcome: w}}, outcomeSent, s.hops().newWelcomeHop(back, w, r, st.ResumeState))
	s.releaseHeld()
	s.out.flush()

	if w.Recovered && st.Paid {
		s.deliverReceipt(st.receipt, outcomeRecovered)
	}
	if owed && s.catchUp(ctx) != nil {
		// What the phone missed follows when the store can be read.
		s.g.wakeCatchUp()
	}

	if s.user.Role == trips.RoleDriver {
		for _, o := range s.g.cfg.Inbox.OffersOf(trips.DriverID(s.user.ID)) {
			s.out.queueFrame(offerFrame(o), outcomeRecovered, s.hops().newOfferHop(o))
		}
	}

	s.out.flush()
	return nil
}

// readResume reads the phone's resume state and fills in the welcome. owed is
// true if the store has more for the phone.
func (s *session) readResume(ctx context.Context, w *wire.Welcome, r *wire.Resume) (st resumeState, owed bool, err error) {
	who := trips.ResumeQuery{Who: s.user}
	if r.GetEpoch() == epoch && translate.IsPlainID(r.GetTripId()) {
		who.Trip = trips.TripID(r.GetTripId())
	}

	s.g.chatSubscribers.beginJoin()
	defer s.g.chatSubscribers.endJoin()

	st, err = s.g.resumes.askState(ctx, who)
	if err == nil {
		owed = s.adoptTrip(w, r, st.ResumeState)
		err = s.followForgottenTrip(ctx, st.Trip.ID)
	}
	return st, owed, err
}

// followForgottenTrip brings the shared state of a driver in line with the
// store, if the node still takes the driver for busy with another trip than the
// newest. It has not heard of that trip's end: the driver had no phone here
// then.
func (s *session) followForgottenTrip(ctx context.Context, newest trips.TripID) error {
	if s.user.Role != trips.RoleDriver {
		return nil
	}
	d, _ := s.g.cfg.Drivers.Get(trips.DriverID(s.user.ID))
	if d.Trip == "" || d.Trip == newest {
		return nil
	}

	t, err := s.g.cfg.Store.Trip(ctx, d.Trip)
	if errors.Is(err, trips.ErrNotFound) {
		return nil
	}
	if err == nil {
		s.g.cfg.Drivers.Follow(t)
	}
	return err
}

// adoptTrip makes the session follow the phone's trip and puts it into the
// welcome. It returns true if the store has more for the phone.
func (s *session) adoptTrip(w *wire.Welcome, r *wire.Resume, st trips.ResumeState) (owed bool) {
	t := st.Trip
	if !t.Concerns(s.user) {
		t = trips.Trip{} // a trip that the phone named, and not its own
	}
	s.g.cfg.Drivers.Follow(t)

	seq, said := t.Version, st.LastChatSeq
	switch {
	case r != nil && r.GetEpoch() == epoch && t.ID == trips.TripID(r.GetTripId()) && r.GetTripSeq() <= t.Version:
		w.Recovered = true
		seq, said = r.GetTripSeq(), r.GetChatSeq()
	case t.State.IsActive():
		w.Trip, w.ChatSeq = translate.EncodeTrip(t), st.LastChatSeq
	default:
		return false
	}

	if t.ID == "" {
		return false
	}

	s.mu.Lock()
	s.followTripLocked(t, seq, said)
	s.mu.Unlock()

	return seq < t.Version || said < max(st.LastChatSeq, s.g.chatSubscribers.newestWhileJoining(t.ID)) || st.SOSAcked
}

// afterWelcome runs f, which delivers something, once the phone has been
// welcomed: now, or on the goroutine that welcomes it.
func (s *session) afterWelcome(f func()) {
	s.mu.Lock()
	held := s.held.holdDelivery(f)
	s.mu.Unlock()
	if !held {
		f()
	}
}

// releaseHeld delivers what was held, in order, and what comes meanwhile behind
// it. From then on nothing is held.
func (s *session) releaseHeld() {
	for {
		s.mu.Lock()
		held := s.held.takeHeld()
		if len(held) == 0 {
			s.out.openSending()
			gap := s.cursor.gap
			s.mu.Unlock()
			if gap {
				s.g.wakeCatchUp()
			}
			return
		}
		s.mu.Unlock()

		for _, f := range held {
			f()
		}
	}
}
