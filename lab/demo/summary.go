package demo

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

// Summary is what happened in a demo from its start to its end. Trips, charges
// and violations are read from the database, updates from the node; the
// simulators counted the rest. Latency is from a driver's clock at a fix to a
// rider's clock at the frame. Broken has the first violations.
type Summary struct {
	Drivers    int               `json:"drivers"`
	Riders     int               `json:"riders"`
	Updates    UpdateSummary     `json:"updates"`
	Trips      TripSummary       `json:"trips"`
	Settled    int               `json:"settled"`
	Chat       ChatSummary       `json:"chat"`
	Help       HelpSummary       `json:"help"`
	Latency    quantile.Counted  `json:"latency_ms"`
	PickupWait PickupWaitSummary `json:"pickup_wait_s"` // of the city's time
	TooFar     int64             `json:"steps_too_far"` // refused to drivers, who are all honest
	Violations int               `json:"violations"`
	Broken     []string          `json:"broken,omitempty"`

	took time.Duration
}

// UpdateSummary counts positions.
type UpdateSummary struct {
	Sent     int64  `json:"sent"`
	Accepted uint64 `json:"accepted"`
	Refused  uint64 `json:"refused"`
}

// TripSummary counts trips by the states they came into. Open ones are under
// way at the end; a second start continues them.
type TripSummary struct {
	Requested int `json:"requested"`
	Reserved  int `json:"reserved"`
	Completed int `json:"completed"`
	Cancelled int `json:"cancelled"`
	Expired   int `json:"expired"`
	Open      int `json:"open"`
}

// ChatSummary counts chat messages.
type ChatSummary struct {
	Sent      int64 `json:"sent"`
	Delivered int64 `json:"delivered"`
}

// HelpSummary counts stored calls for help, those that operators acknowledged,
// including those of an earlier run, and acknowledgements that reached a phone.
type HelpSummary struct {
	Asked        int64 `json:"asked"`
	Acknowledged int64 `json:"acknowledged"`
	Told         int64 `json:"told"`
}

// PickupWaitSummary holds quantiles of the time from a request to the car's
// arrival, in seconds of the city.
type PickupWaitSummary struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
}

// sumUp counts this run and checks every promise.
func (d *demo) sumUp(ctx context.Context, n *node.Node) (Summary, error) {
	s := d.countSimulated(n)
	if err := d.countTrips(ctx, n.Store(), &s); err != nil {
		return s, err
	}

	if err := n.Drivers().CheckInvariants(); err != nil {
		s.Violations++
		s.Broken = append(s.Broken, err.Error())
	}

	report, err := audit.Run(ctx, n.Store(), audit.Config{Grace: settleTimeout})
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

// countSimulated begins a summary with what the simulators and the node saw.
func (d *demo) countSimulated(n *node.Node) Summary {
	sim, state := d.stats.Snapshot(), n.Drivers().Counts()
	s := Summary{Drivers: d.cfg.Drivers, Riders: d.cfg.Riders,
		Updates:    UpdateSummary{Sent: sim.FixesSent, Accepted: state.Accepted},
		Chat:       ChatSummary{sim.ChatSent, sim.ChatDelivered},
		Help:       HelpSummary{sim.HelpAsked, sim.HelpAcknowledged, sim.HelpSeen},
		Latency:    sim.Latency,
		PickupWait: PickupWaitSummary{sim.PickupWait.P50, sim.PickupWait.P90},
		TooFar:     sim.TooFar,
		Violations: int(sim.Violations), Broken: sim.ViolationTexts,
	}

	for _, refused := range state.Rejected {
		s.Updates.Refused += refused
	}

	return s
}

// countTrips reads this run's events and charges, and which trips are under
// way.
func (d *demo) countTrips(ctx context.Context, db store.Store, s *Summary) error {
	open := map[trips.TripID]bool{}
	err := db.AuditEvents(ctx, func(_ uint32, ev trips.Event) error {
		if open[ev.Trip.ID] = ev.Trip.State.IsActive(); !open[ev.Trip.ID] {
			delete(open, ev.Trip.ID)
		}
		if !ev.At.Before(d.started) {
			s.Trips.countState(ev.Trip.State)
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

func (t *TripSummary) countState(state trips.State) {
	switch state {
	case trips.Requested:
		t.Requested++
	case trips.Reserved:
		t.Reserved++
	case trips.Completed:
		t.Completed++
	case trips.Cancelled:
		t.Cancelled++
	case trips.Expired:
		t.Expired++
	}
}

// Text formats the summary for a person.
func (s Summary) Text() string {
	return fmt.Sprintf("\n  %s\n  trips      %d requested, %d completed, %d cancelled, %d expired, %d under way; %d paid\n"+
		"  updates    %d sent, %d accepted, %d refused\n  latency    p50 %.2f ms, p99 %.2f ms, max %.2f ms over %d updates\n"+
		"  pickup     p50 %.0f s, p90 %.0f s of the city's time\n  chat       %d sent, %d delivered\n  help       %d calls, %d acknowledged\n  violations %d\n\n",
		"in "+s.took.Round(time.Second).String(), s.Trips.Requested, s.Trips.Completed, s.Trips.Cancelled,
		s.Trips.Expired, s.Trips.Open, s.Settled, s.Updates.Sent, s.Updates.Accepted, s.Updates.Refused,
		s.Latency.P50, s.Latency.P99, s.Latency.Max, s.Latency.Count, s.PickupWait.P50, s.PickupWait.P90,
		s.Chat.Sent, s.Chat.Delivered, s.Help.Asked, s.Help.Acknowledged, s.Violations)
}
