package gateway

import (
	"context"
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
	who := trips.ResumeQuery{Who: s.user}
	if r.GetEpoch() == epoch && plainID(r.GetTripId()) {
		who.Trip = trips.TripID(r.GetTripId())
	}
	s.g.rooms.listen()
	st, err := s.g.stands(ctx, who)
	w := &wire.Welcome{UserId: s.user.ID, Role: string(s.user.Role), Epoch: epoch, AtMs: wire.Millis(s.g.cfg.Now()),
		ExpiresAtMs: wire.Millis(s.until)}
	owed := false
	if err == nil {
		owed = s.take(w, r, st.ResumeState)
	}
	s.g.rooms.heed()
	if err != nil {
		return err
	}
	s.push(&wire.ServerFrame{Body: &wire.ServerFrame_Welcome{Welcome: w}}, outcomeSent)
	s.joined()
	s.flush()
	if w.Recovered && st.Paid {
		s.paid(st.receipt, outcomeRecovered)
	}
	if owed && s.catchUp(ctx) != nil {
		s.g.someBehind() // what the phone missed follows when the store can be read
	}
	if s.user.Role == trips.RoleDriver {
		for _, o := range s.g.cfg.Inbox.Held(trips.DriverID(s.user.ID)) {
			s.push(offerFrame(o), outcomeRecovered)
		}
	}
	s.flush()
	return nil
}

// take makes the session and its welcome tell how things stand, and says whether the store has more to tell.
func (s *session) take(w *wire.Welcome, r *wire.Resume, st trips.ResumeState) (owed bool) {
	t := st.Trip
	if !t.Concerns(s.user) {
		t = trips.Trip{} // a trip that the phone named, and not its own
	}
	seq, said := t.Version, st.LastChatSeq
	switch {
	case r != nil && r.GetEpoch() == epoch && t.ID == trips.TripID(r.GetTripId()) && r.GetTripSeq() <= t.Version:
		w.Recovered = true
		seq, said = r.GetTripSeq(), r.GetChatSeq()
	case t.State.Active():
		w.Trip, w.ChatSeq = wireTrip(t), st.LastChatSeq
	default:
		return false
	}
	if t.ID == "" {
		return false
	}
	s.mu.Lock()
	s.followLocked(t, seq, said)
	s.mu.Unlock()
	if t.State.Active() {
		s.g.track(t)
	}
	return seq < t.Version || said < max(st.LastChatSeq, s.g.rooms.heard(t.ID)) || st.SOSAcked
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
	mu        sync.Mutex
	of        map[trips.TripID][]*session
	listeners int                     // sessions that do not know yet which room is theirs
	said      map[trips.TripID]uint32 // the newest messages told since there are listeners
}

func (r *rooms) in(id trips.TripID) []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.of[id])
}

// tell returns who shall hear a chat message.
func (r *rooms) tell(id trips.TripID, seq uint32) []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listeners > 0 {
		r.said[id] = max(r.said[id], seq)
	}
	return slices.Clone(r.of[id])
}

// listen begins to remember what is told, for a session that will enter a room before it calls heed.
func (r *rooms) listen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners++
}

func (r *rooms) heed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listeners--; r.listeners == 0 {
		clear(r.said)
	}
}

// heard is the number of the newest message of a trip that a listener may have missed, or 0.
func (r *rooms) heard(id trips.TripID) uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said[id]
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
