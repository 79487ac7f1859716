package check

import (
	"maps"
	"slices"
	"time"

	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// rescue holds what phones and operators did and heard of calls for help
// against what is kept of them.
type rescue struct {
	store *store
	h     *hearing

	seen, twice, tail, acks *invariant
}

func newRescue(db *store, h *hearing) *rescue {
	return &rescue{store: db, h: h,
		seen:  named("a phone hears that an operator saw a call only if it is its own and one did"),
		twice: named("a connection tells once that an operator saw a call"),
		tail:  named("who called for help and was there in the end knows that an operator saw it"),
		acks:  named("calls for help are acknowledged by operators, and stay so")}
}

func (r *rescue) invariants() []*invariant { return []*invariant{r.seen, r.twice, r.tail, r.acks} }

// word is what a phone heard of one of its calls.
type word struct {
	client string
	trip   trips.TripID
	line   int
	hello  int // line of the connection's hello
}

func (r *rescue) judge() {
	r.acknowledgements()

	for _, name := range slices.Sorted(maps.Keys(r.h.phones)) {
		p := r.h.phones[name]
		first := map[string]int{}
		for _, w := range p.heard {
			a, kept := r.store.calls[commandKey{p.who, w.client}]
			r.seen.check(kept && a.Trip == w.trip && !a.AckedAt.IsZero(),
				"%s, line %d: trip %s: told that an operator saw %s; the database has trip %q, acknowledged: %v",
				p.name, w.line, w.trip, w.client, a.Trip, !a.AckedAt.IsZero())
			hello, told := first[w.client]
			r.twice.check(!told || hello != w.hello, "%s, line %d: trip %s: told again on one connection that an operator saw %s",
				p.name, w.line, w.trip, w.client)
			first[w.client] = w.hello
		}
	}
}

// acknowledgements holds what operators did against what is kept, and asks of
// phones that were connected for a while when all ended whether they know. When
// a call was acknowledged is told by the operator's clock.
func (r *rescue) acknowledgements() {
	asked, at, operators := map[string]bool{}, map[string]float64{}, false
	for _, c := range r.h.asked {
		if c.kind != journal.Acknowledge {
			continue
		}
		operators, asked[c.alert] = true, true
		if c.answer.What != journal.OK {
			continue
		}
		a, kept := r.store.calledBy(c.alert)
		r.acks.check(kept && !a.AckedAt.IsZero(), "%v: the call %s was acknowledged with %s; the database has it: %v, acknowledged: %v",
			c.who, c.alert, c.id, kept, !a.AckedAt.IsZero())
		at[c.alert] = c.answer.AtMs
	}

	for _, a := range r.store.inOrder() {
		if operators && !a.AckedAt.IsZero() {
			r.acks.check(asked[a.ID], "trip %s: the call %s of %v is acknowledged, by no operator", a.Trip, a.ID, a.From)
		}
		if at[a.ID] > 0 {
			r.listeners(a, at[a.ID])
		}
	}
}

// listeners judges the phones of who called that followed the call's trip to
// the end.
func (r *rescue) listeners(a sos.Alert, atMs float64) {
	for _, p := range r.h.phones {
		if p.who != a.From || p.newest != a.Trip || !p.stayed || atMs > p.lostAt-float64(r.h.grace/time.Millisecond) {
			continue
		}
		told := slices.ContainsFunc(p.heard, func(w word) bool { return w.client == a.ClientID })
		r.tail.check(told, "%s: trip %s: an operator saw %s, and the phone was never told", p.name, a.Trip, a.ClientID)
	}
}

// plea judges a call for help that somebody made.
func (d *deeds) plea(c *command) {
	a, kept := d.store.calls[c.commandKey]
	switch c.answer.What {
	case journal.OK:
		d.acked.check(kept && a.Trip == c.trip, "%v: the call for help %s on trip %s was acked; the database has it: %v, on trip %q",
			c.who, c.id, c.trip, kept, a.Trip)
	case journal.Fail:
		d.refused.check(!kept, "%v: the call for help %s on trip %s was refused (%s) and is kept", c.who, c.id, c.trip,
			c.answer.Code)
	default:
		d.open.check(!kept || a.Trip == c.trip, "%v: the call for help %s on trip %s without an ack is kept on trip %s",
			c.who, c.id, c.trip, a.Trip)
	}
}

// pleas holds calls in people's names against those that they made.
func (d *deeds) pleas() {
	for _, a := range d.store.inOrder() {
		if !d.h.people[a.From] || d.h.torn[a.From] {
			continue
		}
		c := d.h.commands[commandKey{a.From, a.ClientID}]
		d.balanced.check(c != nil && c.kind == journal.SOS && c.trip == a.Trip,
			"%v: the call for help %s on trip %s, %s, was never made by them", a.From, a.ID, a.Trip, a.ClientID)
	}
}
