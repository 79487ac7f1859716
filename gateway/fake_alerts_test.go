package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

var _ sos.Store = (*memory)(nil)

func (m *memory) AddAlert(ctx context.Context, a sos.Alert) (sos.Alert, error) {
	if err := m.beginCall(ctx); err != nil {
		return sos.Alert{}, err
	}
	kept, err := m.keepAlertLocked(a)
	m.mu.Unlock()
	m.notifyCommitted()
	return kept, err
}

func (m *memory) keepAlertLocked(a sos.Alert) (sos.Alert, error) {
	last, err := m.lastLocked(a.Trip)
	if err != nil {
		return sos.Alert{}, err
	}

	for _, was := range m.alerts {
		if was.From == a.From && was.ClientID == a.ClientID && (was.Trip != a.Trip || was.Text != a.Text) {
			return sos.Alert{}, fmt.Errorf("alert %s: %w", a.ClientID, trips.ErrKeyReused)
		} else if was.From == a.From && was.ClientID == a.ClientID {
			return was, nil
		}
	}

	m.alerts = append(m.alerts, a)
	m.commitLocked(sos.TopicAlert, sos.KindSOS, last.Trip.Region, a.Trip, a.At, a)
	return a, nil
}

func (m *memory) MarkNotified(context.Context, trips.TripID, time.Time) ([]sos.Alert, error) {
	panic("no gateway raises alerts")
}

func (m *memory) AcknowledgeAlert(ctx context.Context, id string, at time.Time) (sos.Alert, error) {
	if err := m.beginCall(ctx); err != nil {
		return sos.Alert{}, err
	}
	a, err := m.ackAlertLocked(id, at)
	m.mu.Unlock()
	m.notifyCommitted()
	return a, err
}

func (m *memory) ackAlertLocked(id string, at time.Time) (sos.Alert, error) {
	i := slices.IndexFunc(m.alerts, func(a sos.Alert) bool { return a.ID == id })
	if i < 0 {
		return sos.Alert{}, sos.ErrNotFound
	}

	if m.alerts[i].AckedAt.IsZero() {
		m.alerts[i].AckedAt = at
		m.commitLocked(sos.TopicAlert, "", "", m.alerts[i].Trip, at, m.alerts[i])
	}
	return m.alerts[i], nil
}

func (m *memory) OpenAlerts(ctx context.Context, limit int) ([]sos.Alert, error) {
	open, err := m.alertsThat(ctx, func(a sos.Alert) bool { return a.AckedAt.IsZero() })
	slices.Reverse(open)
	return open[:min(limit, len(open))], err
}

func (m *memory) AlertsOf(ctx context.Context, who trips.Actor, id trips.TripID) ([]sos.Alert, error) {
	return m.alertsThat(ctx, func(a sos.Alert) bool { return a.From == who && a.Trip == id })
}

func (m *memory) alertsThat(ctx context.Context, match func(sos.Alert) bool) (out []sos.Alert, err error) {
	if err := m.beginCall(ctx); err != nil {
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
