package faulty

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ridehail/ridehail/alerts"
	"github.com/ridehail/ridehail/trips"
)

var _ alerts.Store = (*Store)(nil)

// KeepAlert keeps a call for help; see alerts.Store.
func (s *Store) KeepAlert(ctx context.Context, a alerts.Alert) (alerts.Alert, error) {
	a.At, a.Car.At = kept(a.At), kept(a.Car.At)
	return call(ctx, s, "keep alert", a.ClientID, func() (alerts.Alert, error) {
		for _, was := range s.alerts {
			if was.From != a.From || was.ClientID != a.ClientID {
				continue
			}
			if was.Trip != a.Trip || was.Text != a.Text {
				return alerts.Alert{}, trips.ErrKeyReused
			}
			return was, nil
		}
		t, err := found(s.trips, a.Trip)
		if err != nil {
			return alerts.Alert{}, err
		}
		s.alerts = append(s.alerts, a)
		return a, s.tell(alerts.Topic, t.Region, alerts.KindSOS, t.ID, a)
	})
}

// RaiseAlerts marks a trip's alerts as told to the operators; see alerts.Store.
func (s *Store) RaiseAlerts(ctx context.Context, id trips.TripID, at time.Time) ([]alerts.Alert, error) {
	return call(ctx, s, "raise alerts", string(id), func() (raised []alerts.Alert, err error) {
		for i := range s.alerts {
			if a := &s.alerts[i]; a.Trip == id && a.RaisedAt.IsZero() {
				a.RaisedAt = kept(at)
				raised = append(raised, *a)
			}
		}
		return inOrder(raised), nil
	})
}

// AckAlert acknowledges an alert; see alerts.Store.
func (s *Store) AckAlert(ctx context.Context, id string, at time.Time) (alerts.Alert, error) {
	return call(ctx, s, "ack alert", id, func() (alerts.Alert, error) {
		i := slices.IndexFunc(s.alerts, func(a alerts.Alert) bool { return a.ID == id })
		if i < 0 {
			return alerts.Alert{}, alerts.ErrNotFound
		}
		a := &s.alerts[i]
		if !a.AckedAt.IsZero() {
			return *a, nil
		}
		a.AckedAt = kept(at)
		return *a, s.tell(alerts.Topic, s.trips[a.Trip].Region, "", a.Trip, *a)
	})
}

// OpenAlerts returns alerts that nobody acknowledged; see alerts.Store.
func (s *Store) OpenAlerts(ctx context.Context, limit int) ([]alerts.Alert, error) {
	return call(ctx, s, "open alerts", "", func() ([]alerts.Alert, error) {
		open := s.alertsThat(func(a alerts.Alert) bool { return a.AckedAt.IsZero() })
		slices.Reverse(open)
		return open[:min(max(0, limit), len(open))], nil
	})
}

// AlertsOf returns a person's alerts on a trip; see alerts.Store.
func (s *Store) AlertsOf(ctx context.Context, who trips.Actor, id trips.TripID) ([]alerts.Alert, error) {
	return call(ctx, s, "alerts of", string(id), func() ([]alerts.Alert, error) {
		return s.alertsThat(func(a alerts.Alert) bool { return a.Trip == id && a.From == who }), nil
	})
}

func (s *Store) alertsThat(match func(alerts.Alert) bool) (out []alerts.Alert) {
	for _, a := range s.alerts {
		if match(a) {
			out = append(out, a)
		}
	}
	return inOrder(out)
}

func inOrder(list []alerts.Alert) []alerts.Alert {
	slices.SortFunc(list, func(a, b alerts.Alert) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return list
}

// AuditAlerts yields every call for help in the order of their commits.
func (s *Store) AuditAlerts(_ context.Context, yield func(alerts.Alert) error) error {
	s.mu.Lock()
	all := slices.Clone(s.alerts)
	s.mu.Unlock()
	return each(all, yield)
}
