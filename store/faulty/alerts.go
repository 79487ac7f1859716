package faulty

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// alertStore keeps calls for help; see sos.Store.
type alertStore struct{ *state }

// AddAlert keeps a call for help; see sos.Store.
func (s *alertStore) AddAlert(ctx context.Context, a sos.Alert) (sos.Alert, error) {
	a.At, a.Car.At = storedTime(a.At), storedTime(a.Car.At)
	return runCall(ctx, s.state, "keep alert", a.ClientID, func() (sos.Alert, error) {
		if err := a.CheckText(); err != nil {
			return sos.Alert{}, err
		}
		for _, was := range s.alerts {
			if was.From != a.From || was.ClientID != a.ClientID {
				continue
			}
			if was.Trip != a.Trip || was.Text != a.Text {
				return sos.Alert{}, trips.ErrKeyReused
			}
			return was, nil
		}

		t, err := lookUp(s.trips, a.Trip)
		if err != nil {
			return sos.Alert{}, err
		}

		s.alerts = append(s.alerts, a)
		return a, s.addOutboxLocked(sos.TopicAlert, t.Region, sos.KindSOS, t.ID, a)
	})
}

// MarkNotified marks a trip's alerts as shown to operators; see sos.Store.
func (s *alertStore) MarkNotified(ctx context.Context, id trips.TripID, at time.Time) ([]sos.Alert, error) {
	return runCall(ctx, s.state, "raise alerts", string(id), func() (raised []sos.Alert, err error) {
		for i := range s.alerts {
			if a := &s.alerts[i]; a.Trip == id && a.NotifiedAt.IsZero() {
				a.NotifiedAt = storedTime(at)
				raised = append(raised, *a)
			}
		}
		return sortAlerts(raised), nil
	})
}

// AcknowledgeAlert acknowledges an alert; see sos.Store.
func (s *alertStore) AcknowledgeAlert(ctx context.Context, id string, at time.Time) (sos.Alert, error) {
	return runCall(ctx, s.state, "ack alert", id, func() (sos.Alert, error) {
		i := slices.IndexFunc(s.alerts, func(a sos.Alert) bool { return a.ID == id })
		if i < 0 {
			return sos.Alert{}, sos.ErrNotFound
		}

		a := &s.alerts[i]
		if !a.AckedAt.IsZero() {
			return *a, nil
		}

		a.AckedAt = storedTime(at)
		return *a, s.addOutboxLocked(sos.TopicAlert, s.trips[a.Trip].Region, "", a.Trip, *a)
	})
}

// OpenAlerts returns the alerts without an acknowledgement; see sos.Store.
func (s *alertStore) OpenAlerts(ctx context.Context, limit int) ([]sos.Alert, error) {
	return runCall(ctx, s.state, "open alerts", "", func() ([]sos.Alert, error) {
		open := s.filterAlerts(func(a sos.Alert) bool { return a.AckedAt.IsZero() })
		slices.Reverse(open)
		return open[:min(max(0, limit), len(open))], nil
	})
}

// AlertsOf returns a person's alerts on a trip; see sos.Store.
func (s *alertStore) AlertsOf(ctx context.Context, who trips.Actor, id trips.TripID) ([]sos.Alert, error) {
	return runCall(ctx, s.state, "alerts of", string(id), func() ([]sos.Alert, error) {
		return s.filterAlerts(func(a sos.Alert) bool { return a.Trip == id && a.From == who }), nil
	})
}

func (s *alertStore) filterAlerts(match func(sos.Alert) bool) (out []sos.Alert) {
	for _, a := range s.alerts {
		if match(a) {
			out = append(out, a)
		}
	}
	return sortAlerts(out)
}

func sortAlerts(list []sos.Alert) []sos.Alert {
	slices.SortFunc(list, func(a, b sos.Alert) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return list
}
