package simulators

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/simulators/trace"
)

// Stats is what simulators saw and did. One Stats may serve several runs at
// once.
type Stats struct {
	drivers, riders                                                     atomic.Int64
	fixesSent, offers, accepted, declined                               atomic.Int64
	requested, continued, reserved, completed, cancelled, expired, lost atomic.Int64
	chatSent, chatDelivered, receipts, refused, turnedAway              atomic.Int64
	helpAsked, helpSeen, helpAcknowledged                               atomic.Int64
	reconnects, resumed, violations                                     atomic.Int64
	positions                                                           latencies
	pickups                                                             histogram

	mu             sync.Mutex // guards below
	violationTexts []string
	// of the quickest comparison of clocks, ms; 0 before the first
	clockRoundTrip float64
	clockOffset    float64 // the node's clock minus ours in that comparison, ms
	trace          *trace.Report
}

// NewStats returns empty statistics.
func NewStats() *Stats {
	s := new(Stats)
	s.positions.initHistograms()
	s.pickups.h = quantile.NewHistogram(pickupLimit, 3)
	return s
}

// maxViolationTexts bounds how many violations are described.
const maxViolationTexts = 20

// Snapshot is Stats at one moment.
type Snapshot struct {
	DriversConnected int64 `json:"drivers_connected"`
	RidersConnected  int64 `json:"riders_connected"`

	FixesSent      int64 `json:"fixes_sent"` // written to a socket
	OffersSeen     int64 `json:"offers_seen"`
	OffersAccepted int64 `json:"offers_accepted"` // and the node agreed
	OffersDeclined int64 `json:"offers_declined"`

	// Requested + Continued = Completed + Cancelled + Expired + Lost + those
	// under way, as riders saw it.
	TripsRequested int64 `json:"trips_requested"`
	TripsContinued int64 `json:"trips_continued"` // begun in an earlier run
	TripsReserved  int64 `json:"trips_reserved"`
	TripsCompleted int64 `json:"trips_completed"`
	TripsCancelled int64 `json:"trips_cancelled"`
	TripsExpired   int64 `json:"trips_expired"`
	// ended, or were given up, while nobody saw how
	TripsLost int64 `json:"trips_lost"`

	ChatSent int64 `json:"chat_sent"` // acked
	// each message counted once, by the one it was meant for
	ChatDelivered int64 `json:"chat_delivered"`
	Receipts      int64 `json:"receipts"`
	// commands refused, other than an answer to an offer
	Refused int64 `json:"refused"`
	// rides wanted while no simulated rider was free
	TurnedAway int64 `json:"turned_away"`

	HelpAsked int64 `json:"help_asked"` // calls for help that nodes acked
	// of these, how many phones heard that an operator saw them
	HelpSeen int64 `json:"help_seen"`
	// calls that simulated operators acknowledged
	HelpAcknowledged int64 `json:"helped"`

	Reconnects int64 `json:"reconnects"` // connections after a phone's first
	// of these, with everything missed made up for
	Resumed int64 `json:"resumed"`

	// frames the node should not have sent
	Violations     int64    `json:"violations"`
	ViolationTexts []string `json:"broken,omitempty"` // the first of them

	// Latency of updates is, in milliseconds, from a driver's clock at the fix
	// to a rider's clock at the frame, uncorrected: right when both simulators
	// run on one host. ClockOffsetMs, the node's clock minus this host's as the
	// quickest exchange of pings saw it, tells what to think of it otherwise.
	// RecentP99 covers the last five seconds.
	Latency       quantile.Counted `json:"latency_ms"`
	RecentP99     float64          `json:"recent_p99_ms"`
	ClockOffsetMs float64          `json:"clock_offset_ms"`

	// PickupWait is from request to arrival in seconds of the city.
	PickupWait quantile.Counted `json:"pickup_wait_s"`

	// of a replay: what its file held
	Trace *trace.Report `json:"trace,omitempty"`
}

// Snapshot reads everything. It may be called at any time.
func (s *Stats) Snapshot() Snapshot {
	out := Snapshot{
		DriversConnected: s.drivers.Load(), RidersConnected: s.riders.Load(),
		FixesSent: s.fixesSent.Load(), OffersSeen: s.offers.Load(),
		OffersAccepted: s.accepted.Load(), OffersDeclined: s.declined.Load(),
		TripsRequested: s.requested.Load(), TripsContinued: s.continued.Load(), TripsReserved: s.reserved.Load(),
		TripsCompleted: s.completed.Load(), TripsCancelled: s.cancelled.Load(), TripsExpired: s.expired.Load(),
		TripsLost: s.lost.Load(),
		ChatSent:  s.chatSent.Load(), ChatDelivered: s.chatDelivered.Load(), Receipts: s.receipts.Load(),
		Refused: s.refused.Load(), TurnedAway: s.turnedAway.Load(),
		HelpAsked: s.helpAsked.Load(), HelpSeen: s.helpSeen.Load(), HelpAcknowledged: s.helpAcknowledged.Load(),
		Reconnects: s.reconnects.Load(), Resumed: s.resumed.Load(), Violations: s.violations.Load(),
		PickupWait: s.pickups.readQuantiles(1e3),
	}

	out.Latency, out.RecentP99 = s.positions.readQuantiles(time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	out.ViolationTexts, out.ClockOffsetMs, out.Trace = append([]string(nil), s.violationTexts...), s.clockOffset, s.trace
	return out
}

// SetTraceReport notes what the file of a replay held. The report must not change
// afterwards.
func (s *Stats) SetTraceReport(r trace.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = &r
}

func (s *Stats) connectedCounter(role string) *atomic.Int64 {
	if role == client.RoleDriver {
		return &s.drivers
	}
	return &s.riders
}

// addViolation counts a promise the node broke.
func (s *Stats) addViolation(format string, args ...any) {
	s.violations.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.violationTexts) < maxViolationTexts {
		s.violationTexts = append(s.violationTexts, fmt.Sprintf(format, args...))
	}
}

// recordLatency records a position's age on arrival.
func (s *Stats) recordLatency(stripe int, at time.Time, ms float64) {
	s.positions.recordLatency(stripe, at, ms)
}

// recordPickup records a wait in seconds of the city.
func (s *Stats) recordPickup(seconds float64) { s.pickups.recordValue(seconds * 1e3) }

// compareClocks keeps the offset of the quickest exchange, which says the most.
func (s *Stats) compareClocks(offset, rtt float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rtt > 0 && (s.clockRoundTrip == 0 || rtt < s.clockRoundTrip) {
		s.clockRoundTrip, s.clockOffset = rtt, offset
	}
}
