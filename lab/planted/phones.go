package planted

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
)

// nameOf is a person's name in a history.
func nameOf(who trips.Actor) string { return strings.ToUpper(who.ID[:1]) + who.ID[1:] }

// renameIDs replaces the trips' ids by T1, T2, in the order of their requests.
func (s *stage) renameIDs(text string) string {
	for i, trip := range s.named {
		text = strings.ReplaceAll(text, string(trip), fmt.Sprint("T", i+1))
	}
	return text
}

// writeRecord writes into the journal of a phone.
func (s *stage) writeRecord(who trips.Actor, r journal.Record) {
	r.Who, r.Phone = who.String(), "phone of "+who.ID
	s.kept.AddRecord(r)
}

// connectPhone lets a phone connect, unless it is there.
func (s *stage) connectPhone(who trips.Actor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.phones[who] {
		s.phones[who] = true
		s.writeRecord(who, journal.Record{What: journal.Hello})
		s.writeRecord(who, journal.Record{What: journal.Welcome})
	}
}

// sendCommand lets a phone give a command and records what becomes of it.
func (s *stage) sendCommand(ctx context.Context, c command) error {
	if c.Kind != journal.Request && c.Trip == "" {
		return errSkipped
	}

	s.connectPhone(c.Who)
	s.writeRecord(c.Who, journal.Record{What: journal.Offer, Offer: c.ID, Trip: string(c.Trip)})
	r := journal.Record{What: journal.Invoke, Command: c.ID, Kind: c.Kind, Trip: string(c.Trip), Offer: c.ID}
	s.writeRecord(c.Who, r)

	finish := func(ev trips.Event, err error) { s.recordAnswer(c, r, ev, err) }
	switch {
	case s.killNext:
		s.killNext = false
		return s.commandAndKill(ctx, c, finish)
	case s.holdNext:
		s.holdNext = false
		return s.commandHeld(ctx, c, finish)
	}

	ev, err := s.doCommand(ctx, c)
	finish(ev, err)
	if err == nil {
		s.answered = append(s.answered, c.key())
	}

	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.held != nil:
		return s.releaseHeld(ctx)
	case s.child != nil:
		return nil
	}
	return s.drainOutbox(ctx)
}

// doCommand gives a command to the node.
func (s *stage) doCommand(ctx context.Context, c command) (trips.Event, error) {
	got := func() { s.traceCommand(c, nameOf(c.Who), node, c.asks) }
	if s.child != nil {
		return s.child.doCommand(ctx, c, patience, got)
	}
	got()
	return carryOut(ctx, s.service, c)
}

// traceCommand keeps a message about a command, unless its step tells of it in
// another way.
func (s *stage) traceCommand(c command, from, to, text string) {
	if c.asks != "" {
		s.trace.addMessage(from, to, text)
	}
}

// recordAnswer records what a phone was told of its command.
func (s *stage) recordAnswer(c command, r journal.Record, ev trips.Event, err error) {
	switch {
	case errors.Is(err, errNoAnswer):
		r.What = journal.Info
		s.trace.addEvent(nameOf(c.Who), "gets no answer")
	case err != nil:
		r.What, r.Code = journal.Fail, err.Error()
		s.traceCommand(c, node, nameOf(c.Who), formatRefusal(err))
	default:
		t := ev.Trip
		r.What, r.Trip, r.Seq, r.State, r.Driver = journal.OK, string(t.ID), t.Version, string(t.State), string(t.Driver)
		s.traceCommand(c, node, nameOf(c.Who), "done")
		s.nameTrip(t)
	}
	s.writeRecord(c.Who, r)
}

// nameTrip keeps a new trip for later steps.
func (s *stage) nameTrip(t trips.Trip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trips[t.Rider] == "" {
		s.trips[t.Rider] = t.ID
		s.named = append(s.named, t.ID)
	}
}

// formatRefusal is a refusal in a few words.
func formatRefusal(err error) string {
	if errors.Is(err, trips.ErrTaken) {
		return "no: busy"
	}
	return "no"
}

// commandAndKill gives a command while another program holds the database's
// write lock, so that the commit must wait. The node is killed once the phone
// has its answer, or has waited in vain.
func (s *stage) commandAndKill(ctx context.Context, c command, finish func(trips.Event, error)) error {
	if err := s.awaitRecords(ctx); err != nil {
		return err
	}
	release, err := holdWrites(ctx, s.url)
	if err != nil {
		return err
	}
	defer release()

	ev, err := s.doCommand(ctx, c)
	finish(ev, err)

	s.child.kill()
	s.trace.addEvent(node, "✗ killed, and started again")
	s.answered = nil
	s.child, err = startNode(s.cfg.StartNode, s.url)
	return cmp.Or(ctx.Err(), err)
}

// awaitRecords lets a node in a process of its own finish what it has begun:
// it waits until the database has what the node has done since its start.
func (s *stage) awaitRecords(ctx context.Context) error {
	if len(s.answered) == 0 {
		return nil
	}
	kept, closeStore, err := store.OpenExisting(ctx, s.url)
	if err != nil {
		return err
	}
	defer func() { _ = closeStore() }()

	return s.awaitThat(ctx, "the commit of what a healthy node has done", func() bool {
		for _, k := range s.answered {
			if _, err := kept.RecordedEvent(ctx, k); err != nil {
				return false
			}
		}
		return true
	})
}

// traceRecords notes which commands the database knows after the node's end.
func (s *stage) traceRecords(ctx context.Context) {
	s.mu.Lock()
	people := slices.SortedFunc(maps.Keys(s.phones), func(a, b trips.Actor) int { return cmp.Compare(a.ID, b.ID) })
	s.mu.Unlock()

	for _, who := range people {
		has := "has no ride of "
		if _, err := s.store.ActiveTrip(ctx, who); err == nil {
			has = "has a ride of "
		}
		s.trace.addEvent(database, has+nameOf(who))
	}
}

// commandHeld gives a command whose commit is held back, and returns once it
// waits there, or is refused.
func (s *stage) commandHeld(ctx context.Context, c command, finish func(trips.Event, error)) error {
	commit, err := holdCommit(ctx, s.url, c.ID)
	if err != nil {
		return err
	}

	s.held = &heldCommand{commit: commit, done: make(chan struct{})}
	go func(done chan struct{}) {
		defer close(done)
		finish(s.doCommand(ctx, c))
	}(s.held.done)

	waits, err := commit.awaitCommit(ctx, s.held.done)
	if waits {
		s.trace.addEvent(database, "has its id; commit is slow")
	}
	return err
}

// releaseHeld lets a commit that is held back go on, after the relay has looked
// at the outbox and published what it found.
func (s *stage) releaseHeld(ctx context.Context) error {
	if s.held == nil {
		return nil
	}

	looked := s.countLooks()
	err := s.awaitThat(ctx, "the relay's look at the outbox", func() bool { return s.countLooks() >= looked+2 })
	if err == nil {
		err = s.awaitMessages(ctx, "what the relay found")
	}

	s.held.commit.release(ctx)
	<-s.held.done
	s.held = nil
	return err
}

func (s *stage) countLooks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// OnGap never matters: the subscription begins before all else.
func (s *stage) OnGap(events.Gap) {}

// OnMessage tells the phones of a trip's people. It runs on one goroutine.
func (s *stage) OnMessage(m events.Message) {
	switch m.Topic {
	case mark:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.marked[string(m.Payload)] = true
	case string(trips.TopicTrip):
		var ev trips.Event
		if json.Unmarshal(m.Payload, &ev) == nil {
			s.tellEvent(ev)
		}
	}
}

func (s *stage) tellEvent(ev trips.Event) {
	t := ev.Trip
	for _, who := range []trips.Actor{trips.Rider(t.Rider), trips.Driver(t.Driver)} {
		s.mu.Lock()
		connected := s.phones[who]
		s.mu.Unlock()
		if !connected {
			continue
		}

		s.trace.addMessage(relay, nameOf(who), string(ev.Kind))
		s.writeRecord(who, journal.Record{What: journal.Event, Trip: string(t.ID), Seq: t.Version, Kind: string(ev.Kind),
			State: string(t.State), Driver: string(t.Driver)})
	}
}

// tracedStore notes what the trip service asks of the store.
type tracedStore struct {
	trips.Store
	stage *stage
}

func (t tracedStore) Apply(ctx context.Context, m trips.Command) (trips.Event, error) {
	t.stage.trace.addMessage(node, database, "write")
	ev, err := t.Store.Apply(ctx, m)
	t.stage.trace.addMessage(database, node, map[bool]string{true: "ok", false: "no"}[err == nil])
	return ev, err
}

// tracedOutbox notes what the relay finds in the outbox.
type tracedOutbox struct {
	store.Store
	stage *stage
}

func (t tracedOutbox) PendingMessages(ctx context.Context, limit int) ([]trips.OutboxMessage, error) {
	t.stage.mu.Lock()
	t.stage.looks++
	t.stage.mu.Unlock()

	found, err := t.Store.PendingMessages(ctx, limit)
	for _, m := range found {
		t.stage.trace.addMessage(database, relay, fmt.Sprintf("id %d", m.ID))
	}
	return found, err
}
