package simulators

import "fmt"

// Text formats a snapshot of drivers and riders for a person.
func (s Snapshot) Text() string {
	text := fmt.Sprintf("fixes sent %d; offers %d, accepted %d, declined %d\n"+
		"trips requested %d, reserved %d, completed %d, cancelled %d, expired %d\n"+
		"chat sent %d, delivered %d; receipts %d\n"+
		"connections lost %d, come back %d, resumed where they stopped %d; commands repeated %d\n"+
		"calls for help %d, seen by an operator %d\n"+
		"update latency p50 %.2f ms, p99 %.2f ms over %d updates; broken promises %d\n",
		s.FixesSent, s.OffersSeen, s.OffersAccepted, s.OffersDeclined,
		s.TripsRequested, s.TripsReserved, s.TripsCompleted, s.TripsCancelled, s.TripsExpired,
		s.ChatSent, s.ChatDelivered, s.Receipts, s.ConnectionsLost, s.Reconnects, s.Resumed, s.CommandsRepeated, s.HelpAsked, s.HelpSeen,
		s.Latency.P50, s.Latency.P99, s.Latency.Count, s.Violations)

	if s.FixesRefused > 0 {
		text += fmt.Sprintf("fixes refused %d\n", s.FixesRefused)
	}
	if s.Trace != nil {
		text += s.Trace.Text()
	}
	return text
}
