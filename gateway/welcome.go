package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// epoch never changes: trip events and chat are numbered in the database, which outlives every node, so any node can
// vouch for what another one sent. A trip that the database does not know is answered with recovered=false.
const epoch = "1"

// welcome tells the phone where it stands. The session is registered already: what is published meanwhile is held until
// the welcome is queued, and then told in its turn.
func (s *session) welcome(r *wire.Resume) error {
	ctx, cancel := context.WithTimeout(s.g.base, s.g.cfg.Limits.CommandWithin)
	defer cancel()
	active, err := s.g.cfg.Store.Active(ctx, s.user)
	if err != nil && !errors.Is(err, trips.ErrNotFound) {
		return err
	}
	w := &wire.Welcome{UserId: s.user.ID, Role: string(s.user.Role), Epoch: epoch, AtMs: wire.Millis(s.g.cfg.Now()),
		ExpiresAtMs: wire.Millis(s.until)}
	if w.Recovered, err = s.resume(ctx, r, active); err != nil {
		return err
	}
	if !w.Recovered && active.ID != "" {
		w.Trip = wireTrip(active)
		if w.ChatSeq, err = s.startAt(ctx, active); err != nil {
			return err
		}
	}
	s.g.track(active)
	s.push(&wire.ServerFrame{Body: &wire.ServerFrame_Welcome{Welcome: w}}, outcomeSent)
	s.joined()
	s.flush()
	if w.Recovered && s.catchUp(ctx) != nil {
		s.g.someBehind() // what the phone missed follows when the store can be read
	}
	if w.Trip != nil && s.readHelped(ctx, active.ID) != nil {
		s.mu.Lock()
		s.behindLocked()
		s.mu.Unlock()
	}
	if s.user.Role == trips.RoleDriver {
		for _, o := range s.g.cfg.Inbox.Held(trips.DriverID(s.user.ID)) {
			s.push(offerFrame(o), outcomeRecovered)
		}
	}
	s.flush()
	return nil
}

// resume takes the phone's word for how far it got, if that can be.
func (s *session) resume(ctx context.Context, r *wire.Resume, active trips.Trip) (recovered bool, err error) {
	if r == nil || r.GetEpoch() != epoch {
		return false, nil
	}
	id := trips.TripID(r.GetTripId())
	if id == "" || (active.ID != "" && active.ID != id) {
		return id == active.ID, nil
	}
	t, err := s.g.cfg.Store.Trip(ctx, id)
	if errors.Is(err, trips.ErrNotFound) || (err == nil && (!t.Concerns(s.user) || r.GetTripSeq() > t.Version)) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("trip %s: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followLocked(t, r.GetTripSeq(), r.GetChatSeq())
	return true, nil
}

// startAt follows a trip from how it stands, and returns the number of its newest chat message. It enters the trip's
// room first, so that what is said while the number is read is held.
func (s *session) startAt(ctx context.Context, t trips.Trip) (chatSeq uint32, err error) {
	s.mu.Lock()
	s.followLocked(t, t.Version, 0)
	s.mu.Unlock()
	if chatSeq, err = s.lastSaid(ctx, t.ID); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.talk.chat = chatSeq
	s.mu.Unlock()
	return chatSeq, nil
}

// lastSaid is the number of a trip's newest chat message.
func (s *session) lastSaid(ctx context.Context, id trips.TripID) (last uint32, err error) {
	for {
		said, err := s.g.cfg.Room.Store.History(ctx, id, last, historySize)
		if err != nil {
			return 0, fmt.Errorf("chat of trip %s: %w", id, err)
		}
		if len(said) > 0 {
			last = said[len(said)-1].Seq
		}
		if len(said) < historySize {
			return last, nil
		}
	}
}

// news runs f, which sends something, once the phone has been welcomed.
func (s *session) news(f func()) {
	s.mu.Lock()
	if s.joining {
		s.held = append(s.held, f)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	f()
}

// joined tells what was held, and what comes meanwhile behind it.
func (s *session) joined() {
	for {
		s.mu.Lock()
		held := s.held
		s.held = nil
		s.joining = len(held) > 0
		if !s.joining {
			defer s.mu.Unlock()
			if s.talk.behind {
				s.g.someBehind()
			}
			return
		}
		s.mu.Unlock()
		for _, f := range held {
			f()
		}
	}
}

// rooms knows which sessions follow a trip, so that its chat finds them.
type rooms struct {
	mu sync.RWMutex
	of map[trips.TripID][]*session
}

func (r *rooms) in(id trips.TripID) []*session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.of[id])
}

// move takes a session from one trip's room to another's; no trip has no room.
func (r *rooms) move(s *session, from, to trips.TripID) {
	if from == to {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if from != "" {
		left := slices.DeleteFunc(r.of[from], func(o *session) bool { return o == s })
		if r.of[from] = left; len(left) == 0 {
			delete(r.of, from)
		}
	}
	if to != "" {
		r.of[to] = append(r.of[to], s)
	}
}
