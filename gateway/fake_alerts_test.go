package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ridehail/ridehail/alerts"
	"github.com/ridehail/ridehail/trips"
)

var _ alerts.Store = (*memory)(nil)

func (m *memory) KeepAlert(ctx context.Context, a alerts.Alert) (alerts.Alert, error) {
	if err := m.begin(ctx); err != nil {
		return alerts.Alert{}, err
	}
	kept, err := m.keepAlertLocked(a)
	m.mu.Unlock()
	m.tell()
	return kept, err
}

func (m *memory) keepAlertLocked(a alerts.Alert) (alerts.Alert, error) {
	last, err := m.lastLocked(a.Trip)
	if err != nil {
		return alerts.Alert{}, err
	}
	for _, was := range m.alerts {
		if was.From == a.From && was.ClientID == a.ClientID && (was.Trip != a.Trip || was.Text != a.Text) {
			return alerts.Alert{}, fmt.Errorf("alert %s: %w", a.ClientID, trips.ErrKeyReused)
		} else if was.From == a.From && was.ClientID == a.ClientID {
			return was, nil
		}
	}
	m.alerts = append(m.alerts, a)
	m.commitLocked(alerts.Topic, alerts.KindSOS, last.Trip.Region, a.Trip, a.At, a)
	return a, nil
}

func (m *memory) RaiseAlerts(context.Context, trips.TripID, time.Time) ([]alerts.Alert, error) {
	panic("no gateway raises alerts")
}

func (m *memory) AckAlert(ctx context.Context, id string, at time.Time) (alerts.Alert, error) {
	if err := m.begin(ctx); err != nil {
		return alerts.Alert{}, err
	}
	a, err := m.ackAlertLocked(id, at)
	m.mu.Unlock()
	m.tell()
	return a, err
}

func (m *memory) ackAlertLocked(id string, at time.Time) (alerts.Alert, error) {
	i := slices.IndexFunc(m.alerts, func(a alerts.Alert) bool { return a.ID == id })
	if i < 0 {
		return alerts.Alert{}, alerts.ErrNotFound
	}
	if m.alerts[i].AckedAt.IsZero() {
		m.alerts[i].AckedAt = at
		m.commitLocked(alerts.Topic, "", "", m.alerts[i].Trip, at, m.alerts[i])
	}
	return m.alerts[i], nil
}

func (m *memory) OpenAlerts(ctx context.Context, limit int) ([]alerts.Alert, error) {
	open, err := m.alertsThat(ctx, func(a alerts.Alert) bool { return a.AckedAt.IsZero() })
	slices.Reverse(open)
	return open[:min(limit, len(open))], err
}

func (m *memory) AlertsOf(ctx context.Context, who trips.Actor, id trips.TripID) ([]alerts.Alert, error) {
	return m.alertsThat(ctx, func(a alerts.Alert) bool { return a.From == who && a.Trip == id })
}

func (m *memory) alertsThat(ctx context.Context, match func(alerts.Alert) bool) (out []alerts.Alert, err error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for _, a := range m.alerts {
		if match(a) {
			out = append(out, a)
		}
	}
	return out, nil
}
