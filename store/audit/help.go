package audit

import (
	"maps"
	"slices"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// calls is what an audit remembers of calls for help.
type calls struct {
	of   map[trips.TripID][]sos.Alert
	seen map[callKey]string // id of the first one under a command

	theirs, once, raised Invariant
}

type callKey struct {
	from   trips.Actor
	client string
}

func newCalls() calls {
	return calls{of: map[trips.TripID][]sos.Alert{}, seen: map[callKey]string{},
		theirs: Invariant{Name: "only the two people of a trip call for help on it"},
		once:   Invariant{Name: "no call for help is kept twice"},
		raised: Invariant{Name: "each call for help came before the operators"}}
}

// alert takes one call. One that was acknowledged has been seen, whether or not anyone noted that it was raised.
func (l *ledger) alert(a sos.Alert) error {
	k := callKey{a.From, a.ClientID}
	first, again := l.seen[k]
	l.once.check(!again, "trip %s: call %s of %v is call %s again: both are their %s", a.Trip, a.ID, a.From, first, a.ClientID)
	l.seen[k] = a.ID
	if a.RaisedAt.IsZero() && a.AckedAt.IsZero() && l.now.Sub(a.At) <= l.grace {
		l.raised.Pending++
	} else {
		l.raised.check(!a.RaisedAt.IsZero() || !a.AckedAt.IsZero(), "trip %s: call %s of %v, made %s, was never raised",
			a.Trip, a.ID, a.From, stamp(a.At))
	}
	l.of[a.Trip] = append(l.of[a.Trip], a)
	return nil
}

func (l *ledger) judgeCalls(t trips.Trip) {
	for _, a := range l.of[t.ID] {
		l.theirs.check(a.From.Role != trips.RoleSystem && t.Concerns(a.From), "trip %s: %v calls for help, call %s",
			t.ID, a.From, a.ID)
	}
	delete(l.of, t.ID)
}

// strayCalls names the calls on trips that are not there.
func (l *ledger) strayCalls() {
	for _, id := range slices.Sorted(maps.Keys(l.of)) {
		l.theirs.check(false, "trip %s: does not exist, has %d calls for help", id, len(l.of[id]))
	}
}
