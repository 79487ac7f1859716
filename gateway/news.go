package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// TopicTyping is the topic of typing marks. They are in no outbox; the other topics are those of trips.Topic.
const TopicTyping = "typing"

// Deliver takes what was published and hands it to the sessions it concerns. One goroutine at a time.
func (g *Gateway) Deliver(topic string, payload []byte) {
	if err := g.deliver(topic, payload); err != nil {
		g.m.drops.WithLabelValues("bad_notice").Inc()
		g.cfg.Log.Warn("a published message cannot be read", "topic", topic, "err", err)
	}
}

func (g *Gateway) deliver(topic string, payload []byte) error {
	switch topic {
	case string(trips.TopicTrip):
		var ev trips.Event
		if err := json.Unmarshal(payload, &ev); err != nil {
			return err
		}
		g.track(ev.Trip)
		if g.cfg.Happened != nil {
			g.cfg.Happened(ev)
		}
		for _, s := range g.concerned(ev.Trip) {
			s.news(func() { s.happened(ev) })
		}
	case string(trips.TopicChat):
		var m chat.Message
		if err := json.Unmarshal(payload, &m); err != nil {
			return err
		}
		for _, s := range g.rooms.in(m.Trip) {
			s.news(func() { s.said(m) })
		}
	case string(trips.TopicReceipt):
		var c payments.Charge
		if err := json.Unmarshal(payload, &c); err != nil {
			return err
		}
		for _, s := range g.sessions.Of(trips.Rider(c.Rider), nil) {
			s.news(func() { s.paid(c) })
		}
	case TopicTyping:
		var t typingMark
		if err := json.Unmarshal(payload, &t); err != nil {
			return err
		}
		for _, s := range g.rooms.in(t.Trip) {
			if s.user.Role != t.From {
				s.send(&wire.ServerFrame{Body: &wire.ServerFrame_Typing{Typing: &wire.Typing{TripId: string(t.Trip)}}})
			}
		}
	}
	return nil
}

func (g *Gateway) concerned(t trips.Trip) []*session {
	out := g.sessions.Of(trips.Rider(t.Rider), nil)
	if t.Driver != "" {
		out = g.sessions.Of(trips.Driver(t.Driver), out)
	}
	return out
}

// Gap says that published messages may have been missed: the shared state and every session read on from the store.
func (g *Gateway) Gap() {
	g.missed.Store(true)
	for _, s := range g.sessions.All(nil) {
		s.mu.Lock()
		s.talk.behind = s.talk.trip != ""
		s.mu.Unlock()
	}
	g.someBehind()
}

func (g *Gateway) someBehind() {
	select {
	case g.behind <- struct{}{}:
	default:
	}
}

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
		team.SetLimit(16)
		for _, s := range g.sessions.All(nil) {
			if s.isBehind() {
				team.Go(func() error { return s.catchUp(ctx) })
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

// talk is the trip a session follows, and how far it got. A session follows one trip at a time, the newest.
type talk struct {
	trip   trips.TripID
	region location.Region
	since  time.Time // when the trip was requested
	state  trips.State
	seq    uint32 // last event sent
	chat   uint32 // last chat message sent
	paid   bool   // the receipt was sent
	behind bool   // something was missed
}

// happened sends a trip event in its turn: not twice, and not before those that were missed.
func (s *session) happened(ev trips.Event) {
	s.mu.Lock()
	if ev.Trip.ID != s.talk.trip {
		if ev.Trip.RequestedAt.Before(s.talk.since) {
			s.mu.Unlock()
			return // of an earlier trip
		}
		s.followLocked(ev.Trip, ev.Seq()-1, 0)
	}
	switch seq := ev.Seq(); {
	case seq <= s.talk.seq:
		s.mu.Unlock()
		return
	case seq > s.talk.seq+1:
		s.talk.behind = true
		s.mu.Unlock()
		s.g.someBehind()
		return
	}
	s.talk.seq, s.talk.state = ev.Seq(), ev.Trip.State
	s.mu.Unlock()
	s.send(&wire.ServerFrame{Body: &wire.ServerFrame_TripEvent{TripEvent: &wire.TripEvent{
		TripId: string(ev.Trip.ID), Seq: ev.Seq(), Kind: string(ev.Kind), AtMs: wire.Millis(ev.At), Trip: wireTrip(ev.Trip)}}})
	s.watch(ev.Trip)
}

// followLocked makes t the session's trip.
func (s *session) followLocked(t trips.Trip, seq, chatSeq uint32) {
	old := s.talk.trip
	s.talk = talk{trip: t.ID, region: t.Region, since: t.RequestedAt, state: t.State, seq: seq, chat: chatSeq}
	if !s.left {
		s.g.rooms.move(s, old, t.ID)
	}
}

// watch shows the car to the rider from the reservation to the end of the ride, and to nobody else.
func (s *session) watch(t trips.Trip) {
	if s.user.Role != trips.RoleRider {
		return
	}
	if t.Driver == "" || !t.State.Active() {
		s.g.sessions.Unwatch(s)
		return
	}
	if !s.g.sessions.Watch(s, t.Driver) {
		return
	}
	if d, ok := s.g.cfg.Drivers.Get(t.Driver); ok && d.Located() {
		s.moved(t.Driver, d.Fix, d.ReceivedAt)
	}
}

// said sends a chat message in its turn.
func (s *session) said(m chat.Message) {
	s.mu.Lock()
	switch {
	case m.Trip != s.talk.trip, m.Seq <= s.talk.chat:
		s.mu.Unlock()
		return
	case m.Seq > s.talk.chat+1:
		s.talk.behind = true
		s.mu.Unlock()
		s.g.someBehind()
		return
	}
	s.talk.chat = m.Seq
	s.mu.Unlock()
	s.send(&wire.ServerFrame{Body: &wire.ServerFrame_Chat{Chat: wireChat(m)}})
}

// paid sends the receipt of a trip.
func (s *session) paid(c payments.Charge) {
	s.mu.Lock()
	if c.Trip == s.talk.trip {
		if s.talk.paid {
			s.mu.Unlock()
			return
		}
		s.talk.paid = true
	}
	s.mu.Unlock()
	s.send(&wire.ServerFrame{Body: &wire.ServerFrame_Receipt{Receipt: wireReceipt(c)}})
}

func (s *session) isBehind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.talk.behind && s.code.Load() == 0 && !s.joining
}

// catchUp reads from the store what came after the last event and message sent. What is published meanwhile is either
// the next in turn or sets behind again.
func (s *session) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.g.cfg.Limits.CommandWithin)
	defer cancel()
	s.mu.Lock()
	s.talk.behind = false
	at := s.talk
	s.mu.Unlock()
	err := s.readOn(ctx, at)
	if err != nil {
		s.mu.Lock()
		s.talk.behind = true
		s.mu.Unlock()
	}
	return err
}

func (s *session) readOn(ctx context.Context, at talk) error {
	missed, err := s.g.cfg.Store.Events(ctx, at.trip, at.seq)
	if err != nil {
		return fmt.Errorf("events of trip %s: %w", at.trip, err)
	}
	state := at.state
	for _, ev := range missed {
		s.g.track(ev.Trip)
		s.happened(ev)
		state = ev.Trip.State
	}
	for {
		said, err := s.g.cfg.Room.Store.History(ctx, at.trip, at.chat, historySize)
		if err != nil {
			return fmt.Errorf("chat of trip %s: %w", at.trip, err)
		}
		for _, m := range said {
			s.said(m)
			at.chat = m.Seq
		}
		if len(said) < historySize {
			break
		}
	}
	if state != trips.Completed || at.paid || s.user.Role != trips.RoleRider {
		return nil
	}
	c, err := s.g.cfg.Receipts.Charge(ctx, at.trip)
	if errors.Is(err, trips.ErrNotFound) {
		return nil // its receipt will be published
	}
	if err == nil {
		s.paid(c)
	}
	return err
}
