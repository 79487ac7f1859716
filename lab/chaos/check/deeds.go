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

func (h *hearing) invoked(p *phone, r journal.Record) {
	c := &command{commandKey: commandKey{p.who, r.Command}, kind: r.Kind, trip: trips.TripID(r.Trip), alert: r.Alert,
		invoked: h.line}
	if r.Kind == journal.Accept {
		c.trip = h.offers[r.Offer]
	}
	if r.Kind == journal.Say {
		c.floor = p.spoken[c.trip]
	}

	h.commands[c.commandKey] = c
	h.asked = append(h.asked, c)
}

func (h *hearing) answered(p *phone, r journal.Record) {
	c := h.commands[commandKey{p.who, r.Command}]
	if c == nil {
		h.clean.broken("%s, line %d: an answer to the command %q, which nobody gave", p.name, h.line, r.Command)
		return
	}
	c.answer, c.answered = r, h.line
	if r.What != journal.OK || r.Trip == "" {
		return
	}
	c.trip = trips.TripID(r.Trip)
	if c.kind == journal.SOS || c.kind == journal.Acknowledge {
		return // tells nothing of how the trip stands
	}

	if c.kind == journal.Say {
		h.turns.check(r.Chat > c.floor, "%s, line %d: trip %s: message %d was sent after message %d was acked",
			p.name, h.line, c.trip, r.Chat, c.floor)
		p.spoken[c.trip] = max(p.spoken[c.trip], r.Chat)
		return
	}

	v := p.view(c.trip)
	v.known = max(v.known, r.Seq)
	if c.kind == journal.Request || c.kind == journal.Accept {
		p.newest = c.trip
	}
}

// deeds judges what became of commands.
type deeds struct {
	store     *store
	h         *hearing
	ambiguous int

	acked, refused, open, balanced *invariant
}

func newDeeds(db *store, h *hearing) *deeds {
	return &deeds{store: db, h: h,
		acked:    named("each command acked as done was done, and once"),
		refused:  named("no refused command has an effect"),
		open:     named("each command without an answer was done once or not at all"),
		balanced: named("what is done in a person's name is what they asked for")}
}

func (d *deeds) invariants() []*invariant {
	return []*invariant{d.acked, d.refused, d.open, d.balanced}
}

// kindOf is the event that a command leads to; "" for those that lead to none.
func kindOf(c *command) trips.Kind {
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

// account is how often a person's commands of a kind were done: at least, and
// at most.
type account struct{ least, most int }

type accountKey struct {
	who  trips.Actor
	kind trips.Kind
}

// eventKey names one event.
type eventKey struct {
	trip trips.TripID
	seq  uint32
}

func (d *deeds) judge(ctx context.Context, ask Commands) error {
	accounts, taken := map[accountKey]account{}, map[eventKey]string{}
	said := d.utterances()
	for _, c := range d.h.asked {
		if c.answer.What != journal.OK && c.answer.What != journal.Fail {
			d.ambiguous++
		}
		switch c.kind {
		case journal.Say:
			d.speech(c, said)
		case journal.SOS:
			d.plea(c)
		}

		kind := kindOf(c)
		if kind == "" {
			continue
		}
		recorded, err := whether(ctx, ask, c)
		if err != nil {
			return err
		}
		a := accounts[accountKey{c.who, kind}]
		switch c.answer.What {
		case journal.OK:
			a = account{a.least + 1, a.most + 1}
			d.done(c, kind, recorded, taken)
		case journal.Fail:
			d.refused.check(recorded != yes, "%v: the command %s to %s trip %q was refused (%s) and is recorded as done",
				c.who, c.id, c.kind, c.trip, c.answer.Code)
		default:
			a = a.open(recorded)
		}

		accounts[accountKey{c.who, kind}] = a
	}

	d.balance(accounts)
	d.voices()
	d.pleas()
	return nil
}

// open counts a command that has no answer.
func (a account) open(recorded answer) account {
	if recorded != no {
		a.most++
	}
	if recorded == yes {
		a.least++
	}
	return a
}

// answer is what the database knows of a command id.
type answer int

const (
	unasked answer = iota
	yes
	no
)

func whether(ctx context.Context, ask Commands, c *command) (answer, error) {
	if ask == nil {
		return unasked, nil
	}
	_, err := ask.RecordedEvent(ctx, trips.IdempotencyKey{Actor: c.who, ID: c.id})
	switch {
	case err == nil, errors.Is(err, trips.ErrKeyReused):
		return yes, nil
	case errors.Is(err, trips.ErrNotFound), errors.Is(err, trips.ErrAbandoned):
		return no, nil
	}

	return unasked, err
}

// done holds an ack against the event that it tells.
func (d *deeds) done(c *command, kind trips.Kind, recorded answer, taken map[eventKey]string) {
	at := eventKey{c.trip, c.answer.Seq}
	ev, ok := d.store.event(at.trip, at.seq)
	d.acked.check(ok && ev.Kind == kind && ev.By == c.who && recorded != no,
		"%v: the command %s to %s trip %s was acked as event %d; the log has %q by %v there, its id recorded: %v",
		c.who, c.id, c.kind, at.trip, at.seq, ev.Kind, ev.By, recorded != no)
	if other, twice := taken[at]; twice {
		d.acked.broken("%v: event %d of trip %s was acked for the command %s and for %s",
			c.who, at.seq, at.trip, other, c.id)
	}
	taken[at] = c.id
}

// balance holds the moves in people's names against their commands: what has no
// answer may go either way, and nothing may happen that nobody asked for.
func (d *deeds) balance(accounts map[accountKey]account) {
	moves, example := map[accountKey]int{}, map[accountKey]trips.TripID{}
	for id, events := range d.store.events {
		for _, ev := range events {
			k := accountKey{ev.By, ev.Kind}
			moves[k]++
			example[k] = max(example[k], id)
		}
	}

	for _, k := range slices.SortedFunc(maps.Keys(moves), accountKey.compare) {
		if !d.h.people[k.who] || d.h.torn[k.who] {
			continue
		}
		d.balanced.check(moves[k] <= accounts[k].most, "%v: %d events %q, one of them in trip %s, by at most %d commands",
			k.who, moves[k], k.kind, example[k], accounts[k].most)
	}

	for _, k := range slices.SortedFunc(maps.Keys(accounts), accountKey.compare) {
		d.open.check(moves[k] >= accounts[k].least, "%v: %d events %q, by at least %d commands",
			k.who, moves[k], k.kind, accounts[k].least)
	}
}

func (k accountKey) compare(o accountKey) int {
	return cmp.Or(cmp.Compare(k.who.String(), o.who.String()), cmp.Compare(k.kind, o.kind))
}

// utterance is a message by its sender's name for it.
type utterance struct {
	commandKey
	trip trips.TripID
}

// utterances counts messages.
func (d *deeds) utterances() map[utterance]int {
	n := map[utterance]int{}
	for _, said := range d.store.said {
		for _, m := range said {
			n[utterance{commandKey{m.From, m.ClientID}, m.Trip}]++
		}
	}
	return n
}

// speech judges a message that was sent.
func (d *deeds) speech(c *command, said map[utterance]int) {
	n := said[utterance{c.commandKey, c.trip}]
	switch c.answer.What {
	case journal.OK:
		m, ok := d.store.message(c.trip, c.answer.Chat)
		d.acked.check(ok && m.From == c.who && m.ClientID == c.id,
			"%v: the message %s on trip %s was acked as number %d; the database has %q of %v there",
			c.who, c.id, c.trip, c.answer.Chat, m.ClientID, m.From)
	case journal.Fail:
		d.refused.check(n == 0, "%v: the message %s on trip %s was refused (%s) and is kept",
			c.who, c.id, c.trip, c.answer.Code)
	default:
		d.open.check(n <= 1, "%v: the message %s on trip %s without an ack is kept %d times", c.who, c.id, c.trip, n)
	}
}

// voices holds what was said in people's names against what they sent.
func (d *deeds) voices() {
	for id, said := range d.store.said {
		for _, m := range said {
			if !d.h.people[m.From] || d.h.torn[m.From] {
				continue
			}
			c := d.h.commands[commandKey{m.From, m.ClientID}]
			d.balanced.check(c != nil && c.kind == journal.Say && c.trip == id,
				"%v: message %d on trip %s, %s, was never sent by them", m.From, m.Seq, id, m.ClientID)
		}
	}
}
