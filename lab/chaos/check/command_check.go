package check

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/trips"
)

// commandCheck compares commands and their answers with the store.
type commandCheck struct {
	store     *store
	history   *clientHistory
	ambiguous int

	acked, refused, unanswered, balanced *invariant
}

func newCommandCheck(db *store, h *clientHistory) *commandCheck {
	return &commandCheck{store: db, history: h,
		acked:      newInvariant("each command acked as done was done, and once"),
		refused:    newInvariant("no refused command has an effect"),
		unanswered: newInvariant("each command without an answer was done once or not at all"),
		balanced:   newInvariant("what is done in a person's name is what they asked for")}
}

func (d *commandCheck) invariants() []*invariant {
	return []*invariant{d.acked, d.refused, d.unanswered, d.balanced}
}

// expectedKind returns the kind of event that a command leads to, or "".
func expectedKind(c *command) trips.Kind {
	switch c.kind {
	case journal.Request:
		return trips.KindRequested
	case journal.Accept:
		return trips.KindReserved
	case journal.Arrive:
		return trips.KindArrived
	case journal.Start:
		return trips.KindOnTrip
	case journal.Complete:
		return trips.KindCompleted
	case journal.Cancel:
		if c.who.Role == trips.RoleDriver {
			return trips.KindDriverCancel
		}
		return trips.KindRiderCancel
	}

	return ""
}

// commandBounds is how often an actor's commands of a kind were done.
type commandBounds struct{ least, most int }

type actorKind struct {
	who  trips.Actor
	kind trips.Kind
}

// eventKey names one event.
type eventKey struct {
	trip trips.TripID
	seq  uint32
}

func (d *commandCheck) checkCommands(ctx context.Context, ask Commands) error {
	accounts, taken := map[actorKind]commandBounds{}, map[eventKey]string{}
	stored := d.countMessages()
	for _, c := range d.history.sent {
		if c.answer.What != journal.OK && c.answer.What != journal.Fail {
			d.ambiguous++
		}
		switch c.kind {
		case journal.Say:
			d.checkMessage(c, stored)
		case journal.SOS:
			d.checkAlert(c)
		}

		kind := expectedKind(c)
		if kind == "" {
			continue
		}
		recorded, err := lookUpRecord(ctx, ask, c)
		if err != nil {
			return err
		}
		a := accounts[actorKind{c.who, kind}]
		switch c.answer.What {
		case journal.OK:
			a = commandBounds{a.least + 1, a.most + 1}
			d.checkAcked(c, kind, recorded, taken)
		case journal.Fail:
			d.refused.check(recorded != recordPresent, "%v: the command %s to %s trip %q was refused (%s) and is recorded as done",
				c.who, c.id, c.kind, c.trip, c.answer.Code)
		default:
			a = a.addUnanswered(recorded)
		}

		accounts[actorKind{c.who, kind}] = a
	}

	d.checkBalance(accounts)
	d.checkMessageSenders()
	d.checkAlertSenders()
	return nil
}

// addUnanswered counts a command without an answer.
func (a commandBounds) addUnanswered(recorded recordState) commandBounds {
	if recorded != recordAbsent {
		a.most++
	}
	if recorded == recordPresent {
		a.least++
	}
	return a
}

// recordState is whether the database has a command id.
type recordState int

const (
	recordUnknown recordState = iota
	recordPresent
	recordAbsent
)

func lookUpRecord(ctx context.Context, ask Commands, c *command) (recordState, error) {
	if ask == nil {
		return recordUnknown, nil
	}
	_, err := ask.RecordedEvent(ctx, trips.IdempotencyKey{Actor: c.who, ID: c.id})
	switch {
	case err == nil, errors.Is(err, trips.ErrKeyReused):
		return recordPresent, nil
	case errors.Is(err, trips.ErrNotFound), errors.Is(err, trips.ErrAbandoned):
		return recordAbsent, nil
	}

	return recordUnknown, err
}

// checkAcked compares an ack with the event that it names.
func (d *commandCheck) checkAcked(c *command, kind trips.Kind, recorded recordState, taken map[eventKey]string) {
	at := eventKey{c.trip, c.answer.Seq}
	ev, ok := d.store.findEvent(at.trip, at.seq)
	d.acked.check(ok && ev.Kind == kind && ev.By == c.who && recorded != recordAbsent,
		"%v: the command %s to %s trip %s was acked as event %d; the log has %q by %v there, its id recorded: %v",
		c.who, c.id, c.kind, at.trip, at.seq, ev.Kind, ev.By, recorded != recordAbsent)
	if other, twice := taken[at]; twice {
		d.acked.addViolation("%v: event %d of trip %s was acked for the command %s and for %s",
			c.who, at.seq, at.trip, other, c.id)
	}
	taken[at] = c.id
}

// checkBalance compares the number of events by each actor with the number of
// their commands. A command without an answer may count or not.
func (d *commandCheck) checkBalance(accounts map[actorKind]commandBounds) {
	moves, example := map[actorKind]int{}, map[actorKind]trips.TripID{}
	for id, events := range d.store.events {
		for _, ev := range events {
			k := actorKind{ev.By, ev.Kind}
			moves[k]++
			example[k] = max(example[k], id)
		}
	}

	for _, k := range slices.SortedFunc(maps.Keys(moves), actorKind.compare) {
		if !d.history.people[k.who] || d.history.truncated[k.who] {
			continue
		}
		d.balanced.check(moves[k] <= accounts[k].most, "%v: %d events %q, one of them in trip %s, by at most %d commands",
			k.who, moves[k], k.kind, example[k], accounts[k].most)
	}

	for _, k := range slices.SortedFunc(maps.Keys(accounts), actorKind.compare) {
		d.unanswered.check(moves[k] >= accounts[k].least, "%v: %d events %q, by at least %d commands",
			k.who, moves[k], k.kind, accounts[k].least)
	}
}

func (k actorKind) compare(o actorKind) int {
	return cmp.Or(cmp.Compare(k.who.String(), o.who.String()), cmp.Compare(k.kind, o.kind))
}

// countMessages counts the stored messages by their sender's id.
func (d *commandCheck) countMessages() map[messageKey]int {
	n := map[messageKey]int{}
	for _, messages := range d.store.messages {
		for _, m := range messages {
			n[keyOf(m)]++
		}
	}
	return n
}

// checkMessage checks the outcome of sending a message.
func (d *commandCheck) checkMessage(c *command, stored map[messageKey]int) {
	n := stored[messageKey{c.commandKey, c.trip}]
	switch c.answer.What {
	case journal.OK:
		m, ok := d.store.findMessage(c.trip, c.answer.Chat)
		d.acked.check(ok && m.From == c.who && m.ClientID == c.id,
			"%v: the message %s on trip %s was acked as number %d; the database has %q of %v there",
			c.who, c.id, c.trip, c.answer.Chat, m.ClientID, m.From)
	case journal.Fail:
		d.refused.check(n == 0, "%v: the message %s on trip %s was refused (%s) and is kept",
			c.who, c.id, c.trip, c.answer.Code)
	default:
		d.unanswered.check(n <= 1, "%v: the message %s on trip %s without an ack is kept %d times", c.who, c.id, c.trip, n)
	}
}

// checkMessageSenders checks that each stored message was sent.
func (d *commandCheck) checkMessageSenders() {
	for id, messages := range d.store.messages {
		for _, m := range messages {
			if !d.history.people[m.From] || d.history.truncated[m.From] {
				continue
			}
			c := d.history.commands[commandKey{m.From, m.ClientID}]
			d.balanced.check(c != nil && c.kind == journal.Say && c.trip == id,
				"%v: message %d on trip %s, %s, was never sent by them", m.From, m.Seq, id, m.ClientID)
		}
	}
}

// checkAlert checks the outcome of a call for help.
func (d *commandCheck) checkAlert(c *command) {
	a, kept := d.store.alerts[c.commandKey]
	switch c.answer.What {
	case journal.OK:
		d.acked.check(kept && a.Trip == c.trip, "%v: the call for help %s on trip %s was acked; the database has it: %v, on trip %q",
			c.who, c.id, c.trip, kept, a.Trip)
	case journal.Fail:
		d.refused.check(!kept, "%v: the call for help %s on trip %s was refused (%s) and is kept", c.who, c.id, c.trip,
			c.answer.Code)
	default:
		d.unanswered.check(!kept || a.Trip == c.trip, "%v: the call for help %s on trip %s without an ack is kept on trip %s",
			c.who, c.id, c.trip, a.Trip)
	}
}

// checkAlertSenders checks that each stored call for help was made.
func (d *commandCheck) checkAlertSenders() {
	for _, a := range d.store.sortedAlerts() {
		if !d.history.people[a.From] || d.history.truncated[a.From] {
			continue
		}
		c := d.history.commands[commandKey{a.From, a.ClientID}]
		d.balanced.check(c != nil && c.kind == journal.SOS && c.trip == a.Trip,
			"%v: the call for help %s on trip %s, %s, was never made by them", a.From, a.ID, a.Trip, a.ClientID)
	}
}
