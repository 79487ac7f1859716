package check

import (
	"maps"
	"slices"
	"time"

	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// sosCheck compares what phones and operators did and were told about calls for
// help with the database.
type sosCheck struct {
	store   *store
	history *clientHistory

	noticeIsTrue, noticeOnce, knowsEnd, ackedByOperator *invariant
}

func newSOSCheck(db *store, h *clientHistory) *sosCheck {
	return &sosCheck{store: db, history: h,
		noticeIsTrue:    newInvariant("a phone hears that an operator saw a call only if it is its own and one did"),
		noticeOnce:      newInvariant("a connection tells once that an operator saw a call"),
		knowsEnd:        newInvariant("who called for help and was there in the end knows that an operator saw it"),
		ackedByOperator: newInvariant("calls for help are acknowledged by operators, and stay so")}
}

func (r *sosCheck) invariants() []*invariant {
	return []*invariant{r.noticeIsTrue, r.noticeOnce, r.knowsEnd, r.ackedByOperator}
}

// sosNotice tells a phone that an operator saw its call.
type sosNotice struct {
	client string
	trip   trips.TripID
	line   int
	hello  int // line of the connection's hello
}

func (r *sosCheck) checkNotices() {
	r.checkAcknowledgements()

	for _, name := range slices.Sorted(maps.Keys(r.history.phones)) {
		p := r.history.phones[name]
		first := map[string]int{}
		for _, w := range p.sosNotices {
			a, kept := r.store.alerts[commandKey{p.who, w.client}]
			r.noticeIsTrue.check(kept && a.Trip == w.trip && !a.AckedAt.IsZero(),
				"%s, line %d: trip %s: told that an operator saw %s; the database has trip %q, acknowledged: %v",
				p.name, w.line, w.trip, w.client, a.Trip, !a.AckedAt.IsZero())
			hello, told := first[w.client]
			r.noticeOnce.check(!told || hello != w.hello, "%s, line %d: trip %s: told again on one connection that an operator saw %s",
				p.name, w.line, w.trip, w.client)
			first[w.client] = w.hello
		}
	}
}

// checkAcknowledgements compares operators' acknowledgements with the database,
// and checks that phones that were connected at the end know of them. The time
// of an acknowledgement is by the operator's clock.
func (r *sosCheck) checkAcknowledgements() {
	asked, at, operators := map[string]bool{}, map[string]float64{}, false
	for _, c := range r.history.sent {
		if c.kind != journal.Acknowledge {
			continue
		}
		operators, asked[c.alert] = true, true
		if c.answer.What != journal.OK {
			continue
		}
		a, kept := r.store.alertByID(c.alert)
		r.ackedByOperator.check(kept && !a.AckedAt.IsZero(), "%v: the call %s was acknowledged with %s; the database has it: %v, acknowledged: %v",
			c.who, c.alert, c.id, kept, !a.AckedAt.IsZero())
		at[c.alert] = c.answer.AtMs
	}

	for _, a := range r.store.sortedAlerts() {
		if operators && !a.AckedAt.IsZero() {
			r.ackedByOperator.check(asked[a.ID], "trip %s: the call %s of %v is acknowledged, by no operator", a.Trip, a.ID, a.From)
		}
		if at[a.ID] > 0 {
			r.checkCallers(a, at[a.ID])
		}
	}
}

// checkCallers checks the caller's phones that followed the trip to the end.
func (r *sosCheck) checkCallers(a sos.Alert, atMs float64) {
	for _, p := range r.history.phones {
		if p.who != a.From || p.newest != a.Trip || !p.connectedAtEnd || atMs > p.lostMs-float64(r.history.grace/time.Millisecond) {
			continue
		}
		told := slices.ContainsFunc(p.sosNotices, func(w sosNotice) bool { return w.client == a.ClientID })
		r.knowsEnd.check(told, "%s: trip %s: an operator saw %s, and the phone was never told", p.name, a.Trip, a.ClientID)
	}
}
