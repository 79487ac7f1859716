package gateway

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// comebackWithin is how long a lost connection waits to be recorded together
// with the phone's return. Then it is recorded without: the phone is away, or at
// another node.
const comebackWithin = 10 * time.Second

// maxCountedTrips bounds the trips whose returns are counted.
const maxCountedTrips = 4096

// comebacks keeps the users of sampled trips whose connections were lost, and
// those who are coming back. All methods are safe for any goroutine.
type comebacks struct {
	mu    sync.Mutex // guards below
	users map[trips.Actor]comeback
	count map[trips.TripID]int // of each trip's lost connections and returns
}

// comeback is a user's way from a lost connection to the next welcome.
type comeback struct {
	trip trips.TripID // "" until it is known
	nth  int
	lost time.Time // zero: not on this node
	code int32     // why the connection ended, see phoneConn
	back time.Time // when the phone said hello; zero: not yet
}

func newComebacks() *comebacks {
	return &comebacks{users: map[trips.Actor]comeback{}, count: map[trips.TripID]int{}}
}

// nextLocked numbers a return to a trip.
func (c *comebacks) nextLocked(id trips.TripID) int {
	if len(c.count) >= maxCountedTrips {
		clear(c.count)
	}
	c.count[id]++
	return c.count[id]
}

// noteLoss says that the session of an active sampled trip has ended. It is
// recorded when the phone comes back, or now if the phone has another session.
func (s *session) noteLoss(trip trips.TripID) {
	now := s.g.cfg.Now()
	lost := comeback{trip: trip, lost: now, code: s.conn.code.Load()}
	hasOther := len(s.g.sessions.OfUser(s.user, nil)) > 0
	if hasOther || lost.code == wire.CloseSilent {
		lost.lost = time.Unix(0, s.conn.lastHeard.Load())
	}

	c := s.g.comebacks
	c.mu.Lock()
	lost.nth = c.nextLocked(trip)
	if !hasOther {
		c.users[s.user] = lost
	}
	c.mu.Unlock()

	if hasOther {
		s.g.recordLoss(s.user, lost, now, "The phone has another connection.")
	}
}

// recordLost records the connections that were lost before a time, or all if it
// is zero, and whose phones have not come back here.
func (g *Gateway) recordLost(before time.Time) {
	if g.cfg.Tracer == nil {
		return
	}
	for user, lost := range g.comebacks.takeLost(before) {
		g.recordLoss(user, lost, lost.lost, "The phone has not come back to this node yet.")
	}
}

func (c *comebacks) takeLost(before time.Time) (lost map[trips.Actor]comeback) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for user, b := range c.users {
		if b.back.IsZero() && (before.IsZero() || b.lost.Before(before)) {
			if lost == nil {
				lost = map[trips.Actor]comeback{}
			}
			lost[user] = b
			delete(c.users, user)
		}
	}
	return lost
}

func (g *Gateway) recordLoss(user trips.Actor, lost comeback, until time.Time, note string) {
	h := tracing.ConnectionLost.Hop(tracing.Resume, lost.nth)
	h.From, h.IsFailure = tracing.PhoneOf(user.Role), true
	h.Code, h.Reason = "lost", "The phone ended the connection, or it broke. "+note
	if lost.code > 0 {
		h.Code = strconv.Itoa(int(lost.code))
		h.Reason = fmt.Sprintf("This node closed the connection with %d. %s", lost.code, note)
	}
	g.cfg.Tracer.Record(string(lost.trip), h, lost.lost, until)
}

// beginComeback must be called before a phone's state is read. The reading and
// the welcome are recorded if the phone was connected before and its trip is
// sampled.
func (g *Gateway) beginComeback(user trips.Actor, r *wire.Resume) {
	if g.cfg.Tracer == nil {
		return
	}
	c := g.comebacks
	c.mu.Lock()
	defer c.mu.Unlock()
	b, lost := c.users[user]
	if lost || r.GetEpoch() != "" {
		b.back = g.cfg.Now()
		c.users[user] = b
	}
}

// tripLost returns the trip of a phone that comes back after its connection was
// lost here, and which return it is; 0 if there is none.
func (c *comebacks) tripLost(user trips.Actor) (id trips.TripID, nth int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.users[user]
	if b.back.IsZero() {
		return "", 0
	}
	return b.trip, b.nth
}

// learnTrip says which sampled trip a phone that comes back is on, and returns
// which return it is; 0 if the user is not coming back, or not to this trip.
func (c *comebacks) learnTrip(user trips.Actor, t trips.Trip) (nth int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.users[user]
	if !ok || b.back.IsZero() || !t.Concerns(user) {
		return 0
	}

	switch {
	case b.trip == t.ID:
		return b.nth
	case b.trip != "" || !t.State.IsActive():
		return 0 // another one meanwhile
	}
	b.trip, b.nth = t.ID, c.nextLocked(t.ID)
	c.users[user] = b
	return b.nth
}

// recordStateRead records a read of resume states that began at a time, for
// those of sampled trips that come back.
func (g *Gateway) recordStateRead(of []trips.ResumeQuery, got []trips.ResumeState, err error, began time.Time) {
	if g.cfg.Tracer == nil {
		return
	}

	var shared []tracing.Shared
	for i, q := range of {
		id, nth := trips.TripID(""), 0
		if err != nil || i >= len(got) {
			id, nth = g.comebacks.tripLost(q.Who)
		} else if id = got[i].Trip.ID; g.cfg.Tracer.Samples(string(id)) {
			nth = g.comebacks.learnTrip(q.Who, got[i].Trip)
		}
		if nth > 0 {
			shared = append(shared, tracing.Shared{ID: string(id), Phase: tracing.Resume, Nth: nth})
		}
	}

	if len(shared) == 0 {
		return
	}
	h := tracing.StateRead.Hop(tracing.Resume, 0)
	h.Batch = len(of)
	if err != nil {
		h.Code, h.Reason, h.IsFailure = "unavailable", "The database did not answer; the phone is sent away and comes back.", true
	}
	g.cfg.Tracer.RecordBatch(shared, h, began, g.cfg.Now())
}

// endComeback ends what beginComeback began, when the phone's state was read or
// could not be. It returns zero for a phone whose return is not recorded.
func (g *Gateway) endComeback(user trips.Actor, err error) (b comeback) {
	if g.cfg.Tracer == nil {
		return b
	}
	c := g.comebacks
	c.mu.Lock()
	defer c.mu.Unlock()
	b = c.users[user]
	if err != nil && !b.lost.IsZero() {
		b.back = time.Time{} // it tries again
		c.users[user] = b
		return comeback{}
	}
	delete(c.users, user)
	return b
}

// newWelcomeHop records the lost connection of a phone that is back, and returns
// what is to be recorded of its welcome; nil if that is not.
func (p phoneHops) newWelcomeHop(b comeback, w *wire.Welcome, r *wire.Resume, st trips.ResumeState) *frameHop {
	if b.trip == "" {
		return nil
	}
	if !b.lost.IsZero() {
		p.g.recordLoss(p.user, b, b.back, "Here it came back.")
	}

	h := p.newFrameHop(tracing.WelcomeWritten, b.trip, tracing.Resume, b.nth, "")
	h.Reason = "The trip as it stands; the phone keeps nothing of what it knew."
	if w.Recovered {
		h.Reason = fmt.Sprintf("Recovered: %d missed events and %d missed messages follow.",
			st.Trip.Version-r.GetTripSeq(), max(st.LastChatSeq, r.GetChatSeq())-r.GetChatSeq())
	}
	return h
}
