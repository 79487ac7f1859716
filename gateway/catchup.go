package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/trips"
)

// OnGap must be called when published messages may have been missed: every
// session then reads on from the store. It does not block.
func (g *Gateway) OnGap() {
	for _, s := range g.sessions.All(nil) {
		s.markGap()
	}
	g.wakeCatchUp()
}

// OnGapOf is OnGap for the sessions of some users. A session that has not begun
// to read its state misses nothing by it. It does not block.
func (g *Gateway) OnGapOf(users ...trips.Actor) {
	marked := false
	for _, user := range users {
		for _, s := range g.sessions.OfUser(user, nil) {
			marked = s.markGapIfReading() || marked
		}
	}
	if marked {
		g.wakeCatchUp()
	}
}

// wakeCatchUp wakes catchUpAll. It never blocks.
func (g *Gateway) wakeCatchUp() {
	select {
	case g.gaps <- struct{}{}:
	default:
	}
}

// catchUps is how many sessions read the store at the same time.
const catchUps = 16

// catchUpAll reads the store for the sessions that have a gap, some at a time;
// what fails is tried again a second later. It returns when ctx ends.
func (g *Gateway) catchUpAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.gaps:
		}

		var team errgroup.Group
		team.SetLimit(resumeBatchSize)

		slots := make(chan struct{}, catchUps)
		for _, s := range g.sessions.All(nil) {
			if s.hasGap() {
				team.Go(func() error { return (&catchUp{s: s}).runIfBehind(ctx, slots) })
			}
		}

		if err := team.Wait(); err != nil && ctx.Err() == nil {
			g.cfg.Log.Warn("sessions cannot catch up with the store; trying again", "err", err)
			if sleep.For(ctx, time.Second) {
				g.wakeCatchUp()
			}
		}
	}
}

// hasGap returns true if the session must catch up, and can.
func (s *session) hasGap() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor.gap && s.held.released && !s.conn.hasEnded()
}

func (s *session) markGap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor.markGap()
}

// markGapIfReading marks a gap if the session has begun to read its state, and
// says whether it did.
func (s *session) markGapIfReading() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading {
		s.cursor.markGap()
	}
	return s.reading
}

// catchUp reads from the store what came after the last event and message sent,
// and sends it. After an error the session has a gap again.
func (s *session) catchUp(ctx context.Context) error { return (&catchUp{s: s}).run(ctx) }

// catchUpAfterAck makes the session follow the trip of an ack, if it is a new
// one. A move committed just now is known already. One of long ago is the
// answer to a repeated command: what happened since then was published while
// the phone was away, so it is read from the store.
func (s *session) catchUpAfterAck(ctx context.Context, t trips.Trip) {
	s.mu.Lock()
	at := s.cursor.compareTrip(s.user.Role, t)
	if at == next {
		s.followTripLocked(t, t.Version, 0)
	}
	s.mu.Unlock()

	if (at == next || at == unclear) && s.catchUp(ctx) != nil {
		s.g.wakeCatchUp() // it follows when the store can be read
	}
}

// catchUp is one reading of the store for a session.
type catchUp struct {
	s  *session
	at tripCursor // from where on
}

// runIfBehind reads first, in a batch with other sessions, whether there is
// anything to catch up with. A gap is most often one of all sessions, and few
// have missed something. A session that waits for the answer to a call for help
// reads at once. slots bounds how many read at the same time.
func (c *catchUp) runIfBehind(ctx context.Context, slots chan struct{}) error {
	if len(c.s.unackedSOSTrips()) == 0 {
		behind, err := c.isBehind(ctx)
		if err != nil || !behind {
			return err
		}
	}

	slots <- struct{}{}
	defer func() { <-slots }()
	return c.run(ctx)
}

// closeGap closes the session's gap and takes note of how far it is.
func (c *catchUp) closeGap() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.at = c.s.cursor.beginCatchUp()
}

func (c *catchUp) isBehind(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.s.g.cfg.Limits.CommandWithin)
	defer cancel()

	c.closeGap()
	st, err := c.s.g.resumes.askState(ctx, trips.ResumeQuery{Who: c.s.user, Trip: c.at.trip})
	if err != nil {
		c.s.markGap()
		return false, err
	}
	return c.at.isBehind(st.ResumeState), nil
}

func (c *catchUp) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.s.g.cfg.Limits.CommandWithin)
	defer cancel()

	c.closeGap()
	err := c.readAll(ctx)
	if err != nil {
		c.s.markGap()
	}
	return err
}

func (c *catchUp) readAll(ctx context.Context) error {
	if err := c.readTrip(ctx); err != nil {
		return err
	}

	for _, id := range c.s.unackedSOSTrips() {
		if id == c.at.trip {
			continue // read already; others are perhaps of the trip before
		}
		if err := c.readSOSAcks(ctx, id); err != nil {
			return err
		}
	}
	return c.findTrip(ctx)
}

// findTrip follows the user's active trip, if the session has none.
func (c *catchUp) findTrip(ctx context.Context) error {
	s := c.s
	s.mu.Lock()
	at := s.cursor
	s.mu.Unlock()

	if at.state.IsActive() {
		return nil
	}

	t, err := s.g.cfg.Store.ActiveTrip(ctx, s.user)
	if errors.Is(err, trips.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("active trip of %v: %w", s.user, err)
	}

	s.mu.Lock()
	if s.cursor.trip != at.trip || t.ID == at.trip {
		s.mu.Unlock()
		return nil // it came by itself
	}

	s.followTripLocked(t, lastForeignEvent(s.user.Role), 0)
	c.at = s.cursor
	s.mu.Unlock()
	return c.readTrip(ctx)
}

// readTrip sends what the store has of the trip and the phone has not.
func (c *catchUp) readTrip(ctx context.Context) error {
	if c.at.trip == "" {
		return nil
	}
	if err := c.readEvents(ctx); err != nil {
		return err
	}
	if err := c.readChat(ctx); err != nil {
		return err
	}
	if err := c.readSOSAcks(ctx, c.at.trip); err != nil {
		return err
	}
	return c.readReceipt(ctx)
}

func (c *catchUp) readEvents(ctx context.Context) error {
	s := c.s
	missed, err := s.g.cfg.Store.Events(ctx, c.at.trip, c.at.seq)
	if err != nil {
		return fmt.Errorf("events of trip %s: %w", c.at.trip, err)
	}
	if len(missed) == 0 {
		return nil
	}

	newest := missed[len(missed)-1].Trip
	// Only the newest: an older one could bind the driver to a ride long over.
	s.g.cfg.Drivers.Follow(newest)
	s.mu.Lock()
	if newest.ID == s.cursor.trip {
		s.learnTripLocked(newest)
	}
	s.mu.Unlock()

	c.at.state = newest.State

	for _, ev := range missed {
		s.deliverTripEvent(ev, kept)
	}

	return nil
}

func (c *catchUp) readChat(ctx context.Context) error {
	for {
		said, err := c.s.g.cfg.Room.Store.ChatHistory(ctx, c.at.trip, c.at.chat, historySize)
		if err != nil {
			return fmt.Errorf("chat of trip %s: %w", c.at.trip, err)
		}

		for _, m := range said {
			c.s.deliverChat(m, kept)
			c.at.chat = m.Seq
		}

		if len(said) < historySize {
			return nil
		}
	}
}

// readSOSAcks sends the acknowledgements of the user's calls for help on a trip
// that this connection has not sent.
func (c *catchUp) readSOSAcks(ctx context.Context, id trips.TripID) error {
	all, err := c.s.g.cfg.Alerts.AlertsOf(ctx, c.s.user, id)
	if err != nil {
		return fmt.Errorf("calls for help on trip %s: %w", id, err)
	}

	for _, a := range all {
		if !a.AckedAt.IsZero() {
			c.s.deliverSOSAck(a, outcomeRecovered)
		}
	}

	return nil
}

func (c *catchUp) readReceipt(ctx context.Context) error {
	if c.at.state != trips.Completed || c.at.paid || c.s.user.Role != trips.RoleRider {
		return nil
	}
	charge, err := c.s.g.cfg.Receipts.Charge(ctx, c.at.trip)
	if errors.Is(err, trips.ErrNotFound) {
		return nil // its receipt will be published
	}
	if err == nil {
		c.s.deliverReceipt(charge, outcomeRecovered)
	}
	return err
}
