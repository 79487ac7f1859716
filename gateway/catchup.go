package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/trips"
)

// Gap says that published messages may have been missed: the shared state and every session read on from the store.
func (g *Gateway) Gap() {
	g.missed.Store(true)
	for _, s := range g.sessions.All(nil) {
		s.fellBehind()
	}
	g.someBehind()
}

func (g *Gateway) someBehind() {
	select {
	case g.behind <- struct{}{}:
	default:
	}
}

// catchUps is how many sessions read the store at the same time.
const catchUps = 16

// catchUpAll reads the store for the sessions that are behind, some at a time; what fails is tried again.
func (g *Gateway) catchUpAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.behind:
		}
		err := g.sync(ctx)
		var team errgroup.Group
		team.SetLimit(greetAtOnce)
		slots := make(chan struct{}, catchUps)
		for _, s := range g.sessions.All(nil) {
			if s.isBehind() {
				team.Go(func() error { return s.catchUpIfMissed(ctx, slots) })
			}
		}
		if err = errors.Join(err, team.Wait()); err != nil && ctx.Err() == nil {
			g.cfg.Log.Warn("sessions cannot catch up with the store; trying again", "err", err)
			if pause(ctx, time.Second) {
				g.someBehind()
			}
		}
	}
}

// sync brings the shared state in line with the store: who is on a trip, and who is not any more.
func (g *Gateway) sync(ctx context.Context) error {
	if !g.missed.CompareAndSwap(true, false) {
		return nil
	}
	err := g.readDriven(ctx)
	if err != nil {
		g.missed.Store(true)
	}
	return err
}

func (g *Gateway) readDriven(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Limits.CommandWithin)
	defer cancel()
	known, _ := g.cfg.Drivers.Changed(g.cfg.Node, 0, nil)
	driven, err := g.cfg.Store.Driven(ctx)
	if err != nil {
		return fmt.Errorf("trips under way: %w", err)
	}
	active := make(map[trips.TripID]bool, len(driven))
	for _, t := range driven {
		active[t.ID] = true
		g.track(t)
	}
	for _, d := range known {
		if d.Trip == "" || active[d.Trip] {
			continue
		}
		t, err := g.cfg.Store.Trip(ctx, d.Trip)
		if err != nil {
			return fmt.Errorf("trip %s: %w", d.Trip, err)
		}
		g.track(t)
	}
	return nil
}

func (s *session) isBehind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.talk.behind && s.code.Load() == 0 && !s.joining
}

// caughtUp says how far the session is, before the store is read; whatever comes out of turn from now on sets behind again.
func (s *session) caughtUp() talk {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.talk.behind = false
	return s.talk
}

func (s *session) fellBehind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.talk.behind = true
}

// catchUp reads from the store what came after the last event and message sent.
func (s *session) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.g.cfg.Limits.CommandWithin)
	defer cancel()
	at := s.caughtUp()
	err := s.readOn(ctx, at)
	for _, id := range s.unanswered() { // perhaps of the trip before
		if err == nil && id != at.trip {
			err = s.readHelped(ctx, id)
		}
	}
	if err == nil {
		err = s.findTrip(ctx)
	}
	if err != nil {
		s.fellBehind()
	}
	return err
}

// catchUpIfMissed asks first, together with others, whether there is anything to catch up with. After a gap that all
// sessions may have missed something in, hardly one has. Who waits for an answer to a call for help looks at once.
func (s *session) catchUpIfMissed(ctx context.Context, slots chan struct{}) error {
	if s.g.cfg.Standings != nil && len(s.unanswered()) == 0 {
		missed, err := s.missed(ctx)
		if err != nil || !missed {
			return err
		}
	}
	slots <- struct{}{}
	defer func() { <-slots }()
	return s.catchUp(ctx)
}

func (s *session) missed(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.g.cfg.Limits.CommandWithin)
	defer cancel()
	at := s.caughtUp()
	st, err := s.g.greeter.standing(ctx, trips.ResumeQuery{Who: s.user, Trip: at.trip})
	if err != nil {
		s.fellBehind()
		return true, err
	}
	if st.Trip.ID != at.trip {
		return st.Trip.ID != "", nil
	}
	return at.seq < st.Trip.Version || at.chat < st.LastChatSeq || st.SOSAcked || st.Paid && !at.paid, nil
}

// remind goes on with a trip that the phone has just learned of from an ack. A move committed just now is known already;
// one of long ago is the answer to a repeated command, and what happened since then was told while the phone was away.
func (s *session) remind(ctx context.Context, t trips.Trip) {
	s.mu.Lock()
	at := s.placeLocked(t)
	if at == next {
		s.followLocked(t, t.Version, 0)
	}
	s.mu.Unlock()
	if (at == next || at == unclear) && s.catchUp(ctx) != nil {
		s.g.someBehind() // it follows when the store can be read
	}
}

// findTrip looks whether a session without an active trip has one by now.
func (s *session) findTrip(ctx context.Context) error {
	s.mu.Lock()
	at := s.talk
	s.mu.Unlock()
	if at.state.Active() {
		return nil
	}
	t, err := s.g.cfg.Store.Active(ctx, s.user)
	if errors.Is(err, trips.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("active trip of %v: %w", s.user, err)
	}
	s.mu.Lock()
	if s.talk.trip != at.trip || t.ID == at.trip {
		s.mu.Unlock()
		return nil // it came by itself
	}
	s.followLocked(t, s.before(), 0)
	at = s.talk
	s.mu.Unlock()
	return s.readOn(ctx, at)
}

// readOn sends what the trip's record has and the phone has not.
func (s *session) readOn(ctx context.Context, at talk) error {
	if at.trip == "" {
		return nil
	}
	missed, err := s.g.cfg.Store.Events(ctx, at.trip, at.seq)
	if err != nil {
		return fmt.Errorf("events of trip %s: %w", at.trip, err)
	}
	if n := len(missed); n > 0 {
		newest := missed[n-1].Trip
		s.g.track(newest) // an older one could bind the driver to a ride long over
		s.mu.Lock()
		if newest.ID == s.talk.trip {
			s.learnLocked(newest)
		}
		s.mu.Unlock()
		at.state = newest.State
	}
	for _, ev := range missed {
		s.happened(ev, kept)
	}
	if err := s.readTalk(ctx, at); err != nil {
		return err
	}
	if err := s.readHelped(ctx, at.trip); err != nil {
		return err
	}
	if at.state != trips.Completed || at.paid || s.user.Role != trips.RoleRider {
		return nil
	}
	c, err := s.g.cfg.Receipts.Charge(ctx, at.trip)
	if errors.Is(err, trips.ErrNotFound) {
		return nil // its receipt will be published
	}
	if err == nil {
		s.paid(c, outcomeRecovered)
	}
	return err
}

func (s *session) readTalk(ctx context.Context, at talk) error {
	for {
		said, err := s.g.cfg.Room.Store.History(ctx, at.trip, at.chat, historySize)
		if err != nil {
			return fmt.Errorf("chat of trip %s: %w", at.trip, err)
		}
		for _, m := range said {
			s.said(m, kept)
			at.chat = m.Seq
		}
		if len(said) < historySize {
			return nil
		}
	}
}
