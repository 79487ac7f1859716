package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/xray"
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
	Losses
	Ledger     []xray.Account `json:"ledger"` // of the node; see docs/tracing.md
	Violations int            `json:"violations"`
	Broken     []string       `json:"broken,omitempty"`

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
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
}

// ConnectionSummary counts connections that ended before their phone left, and
// how many of these phones came back and got everything they had missed.
type ConnectionSummary struct {
	Lost    int64 `json:"lost"`
	Resumed int64 `json:"resumed"`
}

// CommandSummary counts commands that phones sent again under the same id.
type CommandSummary struct {
	Repeated int64 `json:"repeated"`
}

// ProviderSummary counts the answers that the payment provider lost after it
// had moved the money, and the charges that it got again under the same
// reference, for which it moved none.
type ProviderSummary struct {
	AnswersLost     int64 `json:"answers_lost"`
	ChargesRepeated int64 `json:"charges_repeated"`
}

// Losses is what got lost on the way, and what was done about it.
type Losses struct {
	Connections ConnectionSummary `json:"connections"`
	Commands    CommandSummary    `json:"commands"`
	Provider    ProviderSummary   `json:"provider"`
}

func (l Losses) text() string {
	return fmt.Sprintf("connections lost %d, resumed %d; commands sent again %d; answers lost by the payment provider %d, charges it got twice and took once %d",
		l.Connections.Lost, l.Connections.Resumed, l.Commands.Repeated, l.Provider.AnswersLost, l.Provider.ChargesRepeated)
}

// countLosses may be called at any time.
func (d *demo) countLosses(sim simulators.Snapshot) Losses {
	return Losses{ConnectionSummary{sim.ConnectionsLost, sim.Resumed}, CommandSummary{sim.CommandsRepeated},
		ProviderSummary{d.paid.AnswersLost.Load(), d.paid.ChargesRepeated.Load()}}
}

// sumUp counts this run and checks every promise.
func (d *demo) sumUp(ctx context.Context, n *node.Node) (Summary, error) {
	s := d.countSimulated(n)
	s.Ledger = n.Ledger(ctx)
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
		PickupWait: PickupWaitSummary{sim.PickupWait.Count, sim.PickupWait.P50, sim.PickupWait.P90},
		TooFar:     sim.TooFar,
		Losses:     d.countLosses(sim),
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
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}

	fmt.Fprintf(&b, "\n  in %s\n", s.took.Round(time.Second))
	row("trips", "%d requested, %d completed, %d cancelled, %d expired, %d under way; %d paid",
		s.Trips.Requested, s.Trips.Completed, s.Trips.Cancelled, s.Trips.Expired, s.Trips.Open, s.Settled)
	row("updates", "%d sent, %d accepted, %d refused", s.Updates.Sent, s.Updates.Accepted, s.Updates.Refused)
	if s.Latency.Count == 0 {
		row("latency", "no rider watched a car")
	} else {
		row("latency", "p50 %.2f ms, p99 %.2f ms, max %.2f ms over %d updates", s.Latency.P50, s.Latency.P99, s.Latency.Max, s.Latency.Count)
	}
	if s.PickupWait.Count == 0 {
		row("pickup", "no car has reached its rider")
	} else {
		row("pickup", "p50 %.0f s, p90 %.0f s of the city's time over %d cars that came", s.PickupWait.P50, s.PickupWait.P90, s.PickupWait.Count)
	}

	row("chat", "%d sent, %d delivered", s.Chat.Sent, s.Chat.Delivered)
	row("help", "%d calls, %d acknowledged", s.Help.Asked, s.Help.Acknowledged)
	row("losses", "%s", s.Losses.text())
	for _, a := range xray.SumByMechanism(s.Ledger) {
		row(a.Mechanism, "%s", a.Text())
	}
	row("violations", "%d", s.Violations)
	return b.String() + "\n"
}
