package audit

import (
	"maps"
	"slices"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// ledger is what an audit remembers while it reads. Each method below takes one row.
type ledger struct {
	now   time.Time
	grace time.Duration

	talks   map[trips.TripID]*talk
	charges map[trips.TripID]payments.Charge
	refunds map[trips.TripID]payments.Refund
	last    map[trips.TripID]trips.Trip // after the last event
	driving map[trips.DriverID]trips.TripID
	riding  map[trips.RiderID]trips.TripID
	movers  map[trips.TripID]trips.Trip // rows ahead of the events read before them
	trips   int
	calls

	oneDriver, oneRider, dense, legal, rows, paid, unpaid, charged, returned, numbered, private, relayed Invariant
}

// talk is the chat of one trip.
type talk struct {
	last     uint32
	speakers []trips.Actor
}

func newLedger(now time.Time, grace time.Duration) *ledger {
	return &ledger{
		now: now, grace: grace,
		talks:   map[trips.TripID]*talk{},
		charges: map[trips.TripID]payments.Charge{},
		refunds: map[trips.TripID]payments.Refund{},
		last:    map[trips.TripID]trips.Trip{},
		driving: map[trips.DriverID]trips.TripID{},
		riding:  map[trips.RiderID]trips.TripID{},
		movers:  map[trips.TripID]trips.Trip{},
		calls:   newCalls(),

		oneDriver: Invariant{Name: "a driver has one active trip at most, at every moment"},
		oneRider:  Invariant{Name: "a rider has one active trip at most, at every moment"},
		dense:     Invariant{Name: "events of a trip are numbered 1, 2, 3, ..."},
		legal:     Invariant{Name: "each event is the legal next move of its trip"},
		rows:      Invariant{Name: "each trip stands where its last event left it"},
		paid:      Invariant{Name: "each completed trip is charged"},
		unpaid:    Invariant{Name: "no trip is charged twice, or without being completed"},
		charged:   Invariant{Name: "each charge is the quoted fare, under the trip's reference"},
		returned:  Invariant{Name: "only what was charged is given back, once, and no more than that"},
		numbered:  Invariant{Name: "chat messages of a trip are numbered 1, 2, 3, ..."},
		private:   Invariant{Name: "only the two people of a trip talk in its chat"},
		relayed:   Invariant{Name: "nothing is stuck in the outbox"},
	}
}

func (l *ledger) report() Report {
	return Report{At: l.now.UTC(), Grace: l.grace.String(), Trips: l.trips, Events: l.dense.Checked,
		Invariants: []Invariant{l.oneDriver, l.oneRider, l.dense, l.legal, l.rows, l.paid, l.unpaid, l.charged,
			l.returned, l.numbered, l.private, l.theirs, l.once, l.raised, l.relayed}}
}

func (l *ledger) message(m chat.Message) error {
	k := l.talks[m.Trip]
	if k == nil {
		k = &talk{}
		l.talks[m.Trip] = k
	}
	l.numbered.check(m.Seq == k.last+1, "trip %s: message %d follows message %d", m.Trip, m.Seq, k.last)
	k.last = m.Seq
	if !slices.Contains(k.speakers, m.From) {
		k.speakers = append(k.speakers, m.From)
	}
	return nil
}

func (l *ledger) refund(r payments.Refund) error {
	if first, twice := l.refunds[r.Trip]; twice {
		l.returned.broken("trip %s: refunded as %q and again as %q", r.Trip, first.Reference, r.Reference)
		return nil
	}
	l.refunds[r.Trip] = r
	return nil
}

func (l *ledger) charge(c payments.Charge) error {
	if first, twice := l.charges[c.Trip]; twice {
		l.unpaid.broken("trip %s: charged by %s and again by %s", c.Trip, first.ProviderID, c.ProviderID)
		return nil
	}
	l.charges[c.Trip] = c
	return nil
}

func (l *ledger) event(seq uint32, ev trips.Event) error {
	t, before := ev.Trip, l.last[ev.Trip.ID]
	l.dense.check(seq == before.Version+1 && seq == t.Version,
		"trip %s: event %d, which leaves version %d, follows event %d", t.ID, seq, t.Version, before.Version)
	err := replay(before, ev)
	l.legal.check(err == nil, "trip %s: event %d: %v", t.ID, seq, err)
	if t.Driver != "" {
		one(&l.oneDriver, l.driving, "driver", t.Driver, t, seq)
	}
	one(&l.oneRider, l.riding, "rider", t.Rider, t, seq)
	l.last[t.ID] = t
	return nil
}

// one follows which trip binds a person, event by event.
func one[ID ~string](i *Invariant, busy map[ID]trips.TripID, who string, id ID, t trips.Trip, seq uint32) {
	other, bound := busy[id]
	bound = bound && other != t.ID
	i.check(!bound || !t.State.Active(), "%s %s: event %d of trip %s binds who is bound by trip %s",
		who, id, seq, t.ID, other)
	if bound {
		return
	}
	if t.State.Active() {
		busy[id] = t.ID
	} else {
		delete(busy, id)
	}
}

// trip holds a trip's row against its events, its charge and its chat.
func (l *ledger) trip(row trips.Trip) error {
	l.trips++
	last, known := l.last[row.ID]
	if row.Version > last.Version {
		l.movers[row.ID] = row
	} else {
		l.stands(row, last)
	}
	if !known {
		last = row
	}
	l.judgeCharge(last)
	l.judgeRefund(row.ID)
	l.judgeTalk(last)
	l.judgeCalls(last)
	delete(l.last, row.ID)
	delete(l.charges, row.ID)
	delete(l.refunds, row.ID)
	delete(l.talks, row.ID)
	return nil
}

// stands holds a row against the event that should have left it so.
func (l *ledger) stands(row, left trips.Trip) {
	l.rows.check(guard(row) == guard(left),
		"trip %s: the row says %s, version %d, of driver %q; its last event %s, version %d, of driver %q",
		row.ID, row.State, row.Version, row.Driver, left.State, left.Version, left.Driver)
}

// moved is told the log once more, to see whether rows ahead of their events moved while we read.
func (l *ledger) moved(seq uint32, ev trips.Event) error {
	if row, ok := l.movers[ev.Trip.ID]; ok && row.Version == seq {
		delete(l.movers, ev.Trip.ID)
		l.stands(row, ev.Trip)
	}
	return nil
}

func (l *ledger) judgeCharge(t trips.Trip) {
	c, charged := l.charges[t.ID]
	if !charged {
		switch {
		case t.State != trips.Completed:
		case l.now.Sub(t.EndedAt) <= l.grace:
			l.paid.Pending++
		default:
			l.paid.check(false, "trip %s of rider %s: completed %s, not charged", t.ID, t.Rider, stamp(t.EndedAt))
		}
		return
	}
	l.unpaid.check(t.State == trips.Completed, "trip %s is %s, charged %v as %s", t.ID, t.State, c.Amount, c.ProviderID)
	if t.State == trips.Completed {
		l.paid.Checked++
	}
	if t.Quote == (trips.Quote{}) {
		return // it has no events that tell its fare, which is a violation of its own
	}
	l.charged.check(c.Amount == t.Quote.Fare && c.Reference == payments.Reference(t.ID) && c.Rider == t.Rider,
		"trip %s of rider %s at %v: charged %v to rider %s as %q",
		t.ID, t.Rider, t.Quote.Fare, c.Amount, c.Rider, c.Reference)
}

func (l *ledger) judgeRefund(id trips.TripID) {
	r, given := l.refunds[id]
	if !given {
		return
	}
	c, charged := l.charges[id]
	switch {
	case !charged:
		l.returned.check(false, "trip %s: never charged, refund of %v is %s", id, r.Amount, r.State)
	case r.Amount.Currency != c.Amount.Currency || r.Amount.Minor <= 0 || r.Amount.Minor > c.Amount.Minor:
		l.returned.check(false, "trip %s: charged %v, refund of %v is %s", id, c.Amount, r.Amount, r.State)
	case r.Reference == payments.RefundReference(id) && r.State == payments.RefundAsked:
		l.returned.Pending++ // a provider may take days
	default:
		l.returned.check(r.Reference == payments.RefundReference(id), "trip %s: refunded as %q", id, r.Reference)
	}
}

func (l *ledger) judgeTalk(t trips.Trip) {
	k := l.talks[t.ID]
	if k == nil {
		return
	}
	for _, who := range k.speakers {
		l.private.check(who.Role != trips.RoleSystem && t.Concerns(who), "trip %s: %v speaks", t.ID, who)
	}
}

// orphans names what is left when every trip took its own.
func (l *ledger) orphans() {
	for _, id := range slices.Sorted(maps.Keys(l.movers)) {
		l.rows.check(false, "trip %s: the row says version %d, which has no event", id, l.movers[id].Version)
	}
	for _, id := range slices.Sorted(maps.Keys(l.last)) {
		l.rows.check(false, "trip %s: has events up to %d, and no row", id, l.last[id].Version)
	}
	for _, id := range slices.Sorted(maps.Keys(l.charges)) {
		l.unpaid.check(false, "trip %s: does not exist, charged %v", id, l.charges[id].Amount)
	}
	for _, id := range slices.Sorted(maps.Keys(l.refunds)) {
		l.returned.check(false, "trip %s: does not exist, refunded %v", id, l.refunds[id].Amount)
	}
	for _, id := range slices.Sorted(maps.Keys(l.talks)) {
		l.private.check(false, "trip %s: does not exist, has %d messages", id, l.talks[id].last)
	}
	l.strayCalls()
}

func (l *ledger) outbox(n int, oldest, now time.Time) {
	if n > 0 && now.Sub(oldest) <= l.grace {
		l.relayed.Pending = n
		return
	}
	l.relayed.Checked = 1
	if n > 0 {
		l.relayed.broken("%d notices wait, the oldest since %s", n, stamp(oldest))
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
