package audit

import (
	"maps"
	"slices"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// alertState is what an audit keeps of the calls for help it has read.
type alertState struct {
	byTrip     map[trips.TripID][]sos.Alert
	firstByKey map[alertKey]string // id of the first one under a command

	alertsByTripPeople, alertsKeptOnce, alertsRaised Invariant
}

// alertKey identifies a command: a person uses each client id once.
type alertKey struct {
	from   trips.Actor
	client string
}

func newAlertState() alertState {
	return alertState{byTrip: map[trips.TripID][]sos.Alert{}, firstByKey: map[alertKey]string{},
		alertsByTripPeople: Invariant{Name: "only the two people of a trip call for help on it"},
		alertsKeptOnce:     Invariant{Name: "no call for help is kept twice"},
		alertsRaised:       Invariant{Name: "each call for help came before the operators"}}
}

// addAlert takes one call for help. A call that was acknowledged counts as
// raised.
func (l *auditState) addAlert(a sos.Alert) error {
	k := alertKey{a.From, a.ClientID}
	first, again := l.firstByKey[k]
	l.alertsKeptOnce.countCheck(!again, "trip %s: call %s of %v is call %s again: both are their %s", a.Trip, a.ID, a.From, first, a.ClientID)
	l.firstByKey[k] = a.ID

	if a.NotifiedAt.IsZero() && a.AckedAt.IsZero() && l.now.Sub(a.At) <= l.grace {
		l.alertsRaised.Pending++
	} else {
		l.alertsRaised.countCheck(!a.NotifiedAt.IsZero() || !a.AckedAt.IsZero(), "trip %s: call %s of %v, made %s, was never raised",
			a.Trip, a.ID, a.From, formatTime(a.At))
	}

	l.byTrip[a.Trip] = append(l.byTrip[a.Trip], a)
	return nil
}

// checkAlerts checks that a trip's calls for help came from its own people.
func (l *auditState) checkAlerts(t trips.Trip) {
	for _, a := range l.byTrip[t.ID] {
		l.alertsByTripPeople.countCheck(a.From.Role != trips.RoleSystem && t.Concerns(a.From), "trip %s: %v calls for help, call %s",
			t.ID, a.From, a.ID)
	}
	delete(l.byTrip, t.ID)
}

// reportStrayAlerts reports the calls for help on trips that do not exist.
func (l *auditState) reportStrayAlerts() {
	for _, id := range slices.Sorted(maps.Keys(l.byTrip)) {
		l.alertsByTripPeople.countCheck(false, "trip %s: does not exist, has %d calls for help", id, len(l.byTrip[id]))
	}
}
