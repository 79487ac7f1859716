package audit

import (
	"maps"
	"slices"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// auditState is what an audit keeps of the rows it has read. Its add methods
// each take one row; none is safe for several goroutines.
type auditState struct {
	now   time.Time
	grace time.Duration

	chats   map[trips.TripID]*chatState
	charges map[trips.TripID]payments.Charge
	refunds map[trips.TripID]payments.Refund
	last    map[trips.TripID]trips.Trip // after the last event
	driving map[trips.DriverID]trips.TripID
	riding  map[trips.RiderID]trips.TripID
	trips   int
	alertState

	noEarlierBuild bool
	unplaced       int // steps without the car's place
	endedEarly     int // rides

	rowsAhead map[trips.TripID]trips.Trip // of the events read before them

	driverBusyOnce, riderBusyOnce                                Invariant
	eventsNumbered, eventsLegal, rowsMatch, outboxRelayed        Invariant
	completedCharged, chargedOnce, chargedAsQuoted, refundedOnce Invariant
	chatNumbered, chatPrivate                                    Invariant
	stepsInPlace                                                 Invariant
}

// chatState is what an audit keeps of the chat of one trip.
type chatState struct {
	lastSeq  uint32
	speakers []trips.Actor
}

func newAuditState(now time.Time, grace time.Duration) *auditState {
	return &auditState{
		now: now, grace: grace,
		chats:      map[trips.TripID]*chatState{},
		charges:    map[trips.TripID]payments.Charge{},
		refunds:    map[trips.TripID]payments.Refund{},
		last:       map[trips.TripID]trips.Trip{},
		driving:    map[trips.DriverID]trips.TripID{},
		riding:     map[trips.RiderID]trips.TripID{},
		rowsAhead:  map[trips.TripID]trips.Trip{},
		alertState: newAlertState(),

		driverBusyOnce:   Invariant{Name: "a driver has one active trip at most, at every moment"},
		riderBusyOnce:    Invariant{Name: "a rider has one active trip at most, at every moment"},
		eventsNumbered:   Invariant{Name: "events of a trip are numbered 1, 2, 3, ..."},
		eventsLegal:      Invariant{Name: "each event is the legal next move of its trip"},
		stepsInPlace:     Invariant{Name: "a car is where its driver arrives, starts and completes"},
		rowsMatch:        Invariant{Name: "each trip stands where its last event left it"},
		completedCharged: Invariant{Name: "each completed trip is charged"},
		chargedOnce:      Invariant{Name: "no trip is charged twice, or without being completed"},
		chargedAsQuoted:  Invariant{Name: "each charge is the quoted fare, under the trip's reference"},
		refundedOnce:     Invariant{Name: "only what was charged is given back, once, and no more than that"},
		chatNumbered:     Invariant{Name: "chat messages of a trip are numbered 1, 2, 3, ..."},
		chatPrivate:      Invariant{Name: "only the two people of a trip talk in its chat"},
		outboxRelayed:    Invariant{Name: "nothing is stuck in the outbox"},
	}
}

func (l *auditState) buildReport() Report {
	return Report{At: l.now.UTC(), Grace: l.grace.String(), Trips: l.trips, Events: l.eventsNumbered.Checked,
		Unplaced: l.unplaced, EndedEarly: l.endedEarly,
		Invariants: []Invariant{l.driverBusyOnce, l.riderBusyOnce, l.eventsNumbered, l.eventsLegal, l.stepsInPlace, l.rowsMatch, l.completedCharged, l.chargedOnce, l.chargedAsQuoted,
			l.refundedOnce, l.chatNumbered, l.chatPrivate, l.alertsByTripPeople, l.alertsKeptOnce, l.alertsRaised, l.outboxRelayed}}
}

func (l *auditState) addMessage(m chat.Message) error {
	k := l.chats[m.Trip]
	if k == nil {
		k = &chatState{}
		l.chats[m.Trip] = k
	}
	l.chatNumbered.countCheck(m.Seq == k.lastSeq+1, "trip %s: message %d follows message %d", m.Trip, m.Seq, k.lastSeq)
	k.lastSeq = m.Seq
	if !slices.Contains(k.speakers, m.From) {
		k.speakers = append(k.speakers, m.From)
	}
	return nil
}

func (l *auditState) addRefund(r payments.Refund) error {
	if first, twice := l.refunds[r.Trip]; twice {
		l.refundedOnce.addViolation("trip %s: refunded as %q and again as %q", r.Trip, first.Reference, r.Reference)
		return nil
	}
	l.refunds[r.Trip] = r
	return nil
}

func (l *auditState) addCharge(c payments.Charge) error {
	if first, twice := l.charges[c.Trip]; twice {
		l.chargedOnce.addViolation("trip %s: charged by %s and again by %s", c.Trip, first.ProviderID, c.ProviderID)
		return nil
	}
	l.charges[c.Trip] = c
	return nil
}

func (l *auditState) addEvent(seq uint32, ev trips.Event) error {
	t, before := ev.Trip, l.last[ev.Trip.ID]
	l.eventsNumbered.countCheck(seq == before.Version+1 && seq == t.Version,
		"trip %s: event %d, which leaves version %d, follows event %d", t.ID, seq, t.Version, before.Version)
	err := replayEvent(before, ev)
	l.eventsLegal.countCheck(err == nil, "trip %s: event %d: %v", t.ID, seq, err)
	l.checkPlace(seq, ev)
	if t.Driver != "" {
		trackBusy(&l.driverBusyOnce, l.driving, "driver", t.Driver, t, seq)
	}
	trackBusy(&l.riderBusyOnce, l.riding, "rider", t.Rider, t, seq)
	l.last[t.ID] = t
	return nil
}

// checkPlace checks that a step was made where the car may make it, or that the
// end of the ride is marked as early. Steps of earlier builds say no place.
func (l *auditState) checkPlace(seq uint32, ev trips.Event) {
	switch ev.Kind {
	case trips.KindArrived, trips.KindOnTrip, trips.KindCompleted:
	default:
		return
	}

	if ev.Early {
		l.endedEarly++
	}
	if ev.HasCar() {
		err := trips.CheckPlace(ev.Trip, trips.Step{Kind: ev.Kind, Early: ev.Early, Car: &ev.Car})
		l.stepsInPlace.countCheck(err == nil, "event %d: %v", seq, err)
		return
	}

	l.unplaced++
	if l.noEarlierBuild {
		l.stepsInPlace.countCheck(false, "trip %s: event %d, %s, does not say where the car was", ev.Trip.ID, seq, ev.Kind)
	}
}

// trackBusy follows, event by event, which trip a person is bound by.
func trackBusy[ID ~string](i *Invariant, busy map[ID]trips.TripID, who string, id ID, t trips.Trip, seq uint32) {
	other, bound := busy[id]
	bound = bound && other != t.ID
	i.countCheck(!bound || !t.State.IsActive(), "%s %s: event %d of trip %s binds who is bound by trip %s",
		who, id, seq, t.ID, other)
	if bound {
		return
	}

	if t.State.IsActive() {
		busy[id] = t.ID
	} else {
		delete(busy, id)
	}
}

// addTrip compares a trip's row with its events, charge, refund, chat and calls
// for help, and then forgets them.
func (l *auditState) addTrip(row trips.Trip) error {
	l.trips++
	last, known := l.last[row.ID]
	if row.Version > last.Version {
		l.rowsAhead[row.ID] = row
	} else {
		l.compareRow(row, last)
	}

	if !known {
		last = row
	}
	l.checkCharge(last)
	l.checkRefund(row.ID)
	l.checkSpeakers(last)
	l.checkAlerts(last)
	delete(l.last, row.ID)
	delete(l.charges, row.ID)
	delete(l.refunds, row.ID)
	delete(l.chats, row.ID)
	return nil
}

// compareRow checks a row against the trip that its last event left.
func (l *auditState) compareRow(row, left trips.Trip) {
	l.rowsMatch.countCheck(guardedFields(row) == guardedFields(left),
		"trip %s: the row says %s, version %d, of driver %q; its last event %s, version %d, of driver %q",
		row.ID, row.State, row.Version, row.Driver, left.State, left.Version, left.Driver)
}

// matchRereadEvent takes one event of the second reading. It settles a row that
// was ahead because the trip moved during the audit.
func (l *auditState) matchRereadEvent(seq uint32, ev trips.Event) error {
	if row, ok := l.rowsAhead[ev.Trip.ID]; ok && row.Version == seq {
		delete(l.rowsAhead, ev.Trip.ID)
		l.compareRow(row, ev.Trip)
	}
	return nil
}

func (l *auditState) checkCharge(t trips.Trip) {
	c, charged := l.charges[t.ID]
	if !charged {
		switch {
		case t.State != trips.Completed:
		case l.now.Sub(t.EndedAt) <= l.grace:
			l.completedCharged.Pending++
		default:
			l.completedCharged.countCheck(false, "trip %s of rider %s: completed %s, not charged", t.ID, t.Rider, formatTime(t.EndedAt))
		}
		return
	}

	l.chargedOnce.countCheck(t.State == trips.Completed, "trip %s is %s, charged %v as %s", t.ID, t.State, c.Amount, c.ProviderID)
	if t.State == trips.Completed {
		l.completedCharged.Checked++
	}
	if t.Quote == (trips.Quote{}) {
		// Without events its fare is unknown, which is a violation of its own.
		return
	}

	l.chargedAsQuoted.countCheck(c.Amount == t.Quote.Fare && c.Reference == payments.ChargeReference(t.ID) && c.Rider == t.Rider,
		"trip %s of rider %s at %v: charged %v to rider %s as %q",
		t.ID, t.Rider, t.Quote.Fare, c.Amount, c.Rider, c.Reference)
}

func (l *auditState) checkRefund(id trips.TripID) {
	r, given := l.refunds[id]
	if !given {
		return
	}

	c, charged := l.charges[id]
	switch {
	case !charged:
		l.refundedOnce.countCheck(false, "trip %s: never charged, refund of %v is %s", id, r.Amount, r.State)
	case r.Amount.Currency != c.Amount.Currency || r.Amount.Minor <= 0 || r.Amount.Minor > c.Amount.Minor:
		l.refundedOnce.countCheck(false, "trip %s: charged %v, refund of %v is %s", id, c.Amount, r.Amount, r.State)
	case r.Reference == payments.RefundReference(id) && r.State == payments.RefundRequested:
		l.refundedOnce.Pending++ // a provider may take days
	default:
		l.refundedOnce.countCheck(r.Reference == payments.RefundReference(id), "trip %s: refunded as %q", id, r.Reference)
	}
}

func (l *auditState) checkSpeakers(t trips.Trip) {
	k := l.chats[t.ID]
	if k == nil {
		return
	}
	for _, who := range k.speakers {
		l.chatPrivate.countCheck(who.Role != trips.RoleSystem && t.Concerns(who), "trip %s: %v speaks", t.ID, who)
	}
}

// reportOrphans reports what belongs to no trip, once all trips were read.
func (l *auditState) reportOrphans() {
	for _, id := range slices.Sorted(maps.Keys(l.rowsAhead)) {
		l.rowsMatch.countCheck(false, "trip %s: the row says version %d, which has no event", id, l.rowsAhead[id].Version)
	}
	for _, id := range slices.Sorted(maps.Keys(l.last)) {
		l.rowsMatch.countCheck(false, "trip %s: has events up to %d, and no row", id, l.last[id].Version)
	}
	for _, id := range slices.Sorted(maps.Keys(l.charges)) {
		l.chargedOnce.countCheck(false, "trip %s: does not exist, charged %v", id, l.charges[id].Amount)
	}
	for _, id := range slices.Sorted(maps.Keys(l.refunds)) {
		l.refundedOnce.countCheck(false, "trip %s: does not exist, refunded %v", id, l.refunds[id].Amount)
	}
	for _, id := range slices.Sorted(maps.Keys(l.chats)) {
		l.chatPrivate.countCheck(false, "trip %s: does not exist, has %d messages", id, l.chats[id].lastSeq)
	}
	l.reportStrayAlerts()
}

func (l *auditState) checkOutbox(n int, oldest, now time.Time) {
	if n > 0 && now.Sub(oldest) <= l.grace {
		l.outboxRelayed.Pending = n
		return
	}
	l.outboxRelayed.Checked = 1
	if n > 0 {
		l.outboxRelayed.addViolation("%d outbox messages wait, the oldest since %s", n, formatTime(oldest))
	}
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
