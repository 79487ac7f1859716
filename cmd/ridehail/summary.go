package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/trips"
)

// summary is what a demo did, from its start to its end. Trips, charges and violations are read from the database,
// updates from the node, the rest is what the simulators saw.
type summary struct {
	Drivers    int              `json:"drivers"`
	Riders     int              `json:"riders"`
	Updates    updatesDone      `json:"updates"`
	Trips      tripsDone        `json:"trips"`
	Settled    int              `json:"settled"`
	Chat       chatDone         `json:"chat"`
	Help       helpDone         `json:"help"`
	Latency    quantile.Counted `json:"latency_ms"`
	PickupWait pickupWaitOf     `json:"pickup_wait_s"` // of the city's time
	Violations int              `json:"violations"`
	Broken     []string         `json:"broken,omitempty"` // the first of them
}

type updatesDone struct {
	Sent     int64  `json:"sent"`
	Accepted uint64 `json:"accepted"`
	Refused  uint64 `json:"refused"`
}

type tripsDone struct {
	Requested int `json:"requested"`
	Reserved  int `json:"reserved"`
	Completed int `json:"completed"`
	Cancelled int `json:"cancelled"`
	Expired   int `json:"expired"`
	Open      int `json:"open"` // under way in the end; a second start goes on with them
}

type chatDone struct {
	Sent      int64 `json:"sent"`
	Delivered int64 `json:"delivered"`
}

// helpDone counts calls for help.
type helpDone struct {
	Asked        int64 `json:"asked"`        // and kept
	Acknowledged int64 `json:"acknowledged"` // by an operator, also those of an earlier run
	Told         int64 `json:"told"`         // of these, to the phone that called
}

type pickupWaitOf struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
}

// sumUp counts this run and checks every promise.
func (d *demo) sumUp(ctx context.Context, n *node.Node) (s summary, err error) {
	sim, state := d.stats.Snapshot(), n.Drivers().Counts()
	s = summary{Drivers: d.cmd.Drivers, Riders: d.cmd.Riders,
		Updates:    updatesDone{Sent: sim.FixesSent, Accepted: state.Believed},
		Chat:       chatDone{sim.ChatSent, sim.ChatDelivered},
		Help:       helpDone{sim.HelpAsked, sim.Helped, sim.HelpSeen},
		Latency:    sim.Latency,
		PickupWait: pickupWaitOf{sim.PickupWait.P50, sim.PickupWait.P90},
	}
	for _, refused := range state.Refused {
		s.Updates.Refused += refused
	}
	if err := d.countTrips(ctx, n.Store(), &s); err != nil {
		return s, err
	}
	s.Violations, s.Broken = int(sim.Violations), sim.Named
	if err := n.Drivers().Check(); err != nil {
		s.Violations++
		s.Broken = append(s.Broken, err.Error())
	}
	report, err := audit.Run(ctx, n.Store(), audit.Config{Grace: quiesceFor})
	if err != nil {
		return s, fmt.Errorf("audit: %w", err)
	}
	s.Violations += report.Violations()
	for _, inv := range report.Invariants {
		for _, row := range inv.Rows {
			s.Broken = append(s.Broken, inv.Name+": "+row)
		}
	}
	return s, nil
}

// countTrips reads this run's events and charges, and what is under way.
func (d *demo) countTrips(ctx context.Context, db store.Store, s *summary) error {
	open := map[trips.TripID]bool{}
	err := db.AuditEvents(ctx, func(_ uint32, ev trips.Event) error {
		if open[ev.Trip.ID] = ev.Trip.State.Active(); !open[ev.Trip.ID] {
			delete(open, ev.Trip.ID)
		}
		if ev.At.Before(d.started) {
			return nil
		}
		switch ev.Trip.State {
		case trips.Requested:
			s.Trips.Requested++
		case trips.Reserved:
			s.Trips.Reserved++
		case trips.Completed:
			s.Trips.Completed++
		case trips.Cancelled:
			s.Trips.Cancelled++
		case trips.Expired:
			s.Trips.Expired++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("counting trips: %w", err)
	}
	s.Trips.Open = len(open)
	return db.AuditCharges(ctx, func(c payments.Charge) error {
		if !c.At.Before(d.started) {
			s.Settled++
		}
		return nil
	})
}

// print shows the summary, and fails when a promise was broken.
func (d *demo) print(s summary) error {
	text := fmt.Sprintf("\n  %s\n  trips      %d requested, %d completed, %d cancelled, %d expired, %d under way; %d paid\n"+
		"  updates    %d sent, %d accepted, %d refused\n  latency    p50 %.2f ms, p99 %.2f ms, max %.2f ms over %d updates\n"+
		"  pickup     p50 %.0f s, p90 %.0f s of the city's time\n  chat       %d sent, %d delivered\n  help       %d calls, %d acknowledged\n  violations %d\n\n",
		"in "+time.Since(d.started).Round(time.Second).String(), s.Trips.Requested, s.Trips.Completed, s.Trips.Cancelled,
		s.Trips.Expired, s.Trips.Open, s.Settled, s.Updates.Sent, s.Updates.Accepted, s.Updates.Refused,
		s.Latency.P50, s.Latency.P99, s.Latency.Max, s.Latency.Count, s.PickupWait.P50, s.PickupWait.P90,
		s.Chat.Sent, s.Chat.Delivered, s.Help.Asked, s.Help.Acknowledged, s.Violations)
	if err := d.p.print(d.cmd.JSON, s, text); err != nil {
		return err
	}
	if s.Violations > 0 {
		return fmt.Errorf("%w: %d violations, such as: %s", errCheckFailed, s.Violations, s.Broken[0])
	}
	return nil
}
