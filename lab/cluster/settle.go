package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/trips"
)

const (
	settleWithin = 90 * time.Second
	lookEvery    = 200 * time.Millisecond
)

// settle ends the demand, waits until nothing is under way any more, and audits
// the database. What is left after settleWithin counts as stuck.
func (m *measurement) settle(ctx context.Context) error {
	m.cfg.Progress(fmt.Sprintf("%d nodes: the last rides end", m.size.Nodes))
	riders, err := m.stage.stopCrowd("riders")
	if err != nil {
		return err
	}
	queue, err := events.Open(ctx, m.stage.redis.url, events.WithLog(m.cfg.Log))
	if err != nil {
		return err
	}
	defer queue.Close()

	// The drivers end the rides whose riders have gone.
	for late := time.Now().Add(settleWithin); ; {
		if m.size.Stuck, err = m.countUnfinished(ctx, queue); err != nil {
			return err
		}
		if m.size.Stuck == (Stuck{}) || time.Now().After(late) || !sleep.For(ctx, lookEvery) {
			break
		}
	}

	drivers, err := m.stage.stopCrowd("drivers")
	if err != nil {
		return err
	}
	m.size.BrokenPromises = riders.Violations + drivers.Violations
	m.size.Broken = append(riders.ViolationTexts, drivers.ViolationTexts...)
	return m.audit(ctx)
}

// countUnfinished counts what must come to an end by itself.
func (m *measurement) countUnfinished(ctx context.Context, queue *events.Redis) (s Stuck, err error) {
	err = m.stage.store.AuditTrips(ctx, func(t trips.Trip) error {
		if t.State.IsActive() {
			s.OpenTrips++
		}
		return nil
	})
	backlog, _, berr := m.stage.store.Backlog(ctx)
	jobs, qerr := queue.CountOutstanding(ctx, node.SettlementStream)
	s.Outbox, s.Jobs = backlog, int(jobs)
	return s, errors.Join(err, berr, qerr)
}

// audit checks all that the nodes kept, and counts the rides.
func (m *measurement) audit(ctx context.Context) error {
	r, err := audit.Run(ctx, m.stage.store, audit.Config{Grace: time.Nanosecond, NoEarlierBuild: true})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}

	m.size.Violations = r.Violations()
	for _, i := range r.Invariants {
		for _, row := range i.Rows {
			m.size.Broken = append(m.size.Broken, i.Name+": "+row)
		}
	}
	return m.stage.store.AuditTrips(ctx, func(t trips.Trip) error {
		m.size.Trips++
		if t.State == trips.Completed {
			m.size.Completed++
		}
		return nil
	})
}
