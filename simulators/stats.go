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

// Stats counts what simulators saw and did. Several runs may share one Stats.
// Its methods may be called from any goroutine.
type Stats struct {
	drivers, riders                                                     atomic.Int64 // connected
	fixesSent, fixesRefused, offers, accepted, declined                 atomic.Int64
	requested, continued, reserved, completed, cancelled, expired, lost atomic.Int64
	chatSent, chatDelivered, receipts, refused, turnedAway              atomic.Int64
	helpAsked, helpSeen, helpAcknowledged                               atomic.Int64
	tooFar, cheats                                                      atomic.Int64 // steps
	connectionsLost, reconnects, resumed, repeated, violations          atomic.Int64
	positions                                                           latencies
	pickups                                                             histogram // ms of the city

	mu sync.Mutex // guards below

	// violationTexts holds at most maxViolationTexts.
	violationTexts []string
	clockRoundTrip float64 // ms, of the quickest exchange of pings; 0 before it
	clockOffset    float64 // the node's clock minus ours in that exchange, ms
	trace          *trace.Report
}

// NewStats returns empty statistics.
func NewStats() *Stats {
	s := new(Stats)
	s.positions.initHistograms()
	s.pickups.h = quantile.NewHistogram(pickupLimit, 3)
	return s
}

// maxViolationTexts limits how many violations are described.
const maxViolationTexts = 20

// Snapshot is Stats at one moment.
type Snapshot struct {
	DriversConnected int64 `json:"drivers_connected"`
	RidersConnected  int64 `json:"riders_connected"`

	FixesSent      int64 `json:"fixes_sent"`    // written to a socket
	FixesRefused   int64 `json:"fixes_refused"` // as the node said
	OffersSeen     int64 `json:"offers_seen"`
	OffersAccepted int64 `json:"offers_accepted"` // acked by the node
	OffersDeclined int64 `json:"offers_declined"`

	// As riders saw it, Requested + Continued = Completed + Cancelled + Expired
	// + Lost + those that are active.
	TripsRequested int64 `json:"trips_requested"`
	TripsContinued int64 `json:"trips_continued"` // from an earlier run
	TripsReserved  int64 `json:"trips_reserved"`
	TripsCompleted int64 `json:"trips_completed"`
	TripsCancelled int64 `json:"trips_cancelled"`
	TripsExpired   int64 `json:"trips_expired"`
	TripsLost      int64 `json:"trips_lost"` // their end was not seen

	ChatSent      int64 `json:"chat_sent"`      // acked
	ChatDelivered int64 `json:"chat_delivered"` // to the other user
	Receipts      int64 `json:"receipts"`
	Refused       int64 `json:"refused"` // commands, except answers to offers
	// TooFar counts steps that a node refused because of where the car was.
	TooFar int64 `json:"too_far"`
	// Cheats counts steps that drivers tried from afar on purpose.
	Cheats int64 `json:"cheats,omitempty"`
	// TurnedAway counts trips wanted while no rider was free.
	TurnedAway int64 `json:"turned_away"`

	// HelpAsked counts calls for help that nodes acked.
	HelpAsked int64 `json:"help_asked"`
	// HelpSeen counts those whose phone heard that an operator saw it.
	HelpSeen         int64 `json:"help_seen"`
	HelpAcknowledged int64 `json:"helped"` // by simulated operators

	// ConnectionsLost counts those that ended before their phone left.
	ConnectionsLost int64 `json:"connections_lost"`
	// Reconnects counts connections after a phone's first.
	Reconnects int64 `json:"reconnects"`
	Resumed    int64 `json:"resumed"` // reconnects with every missed frame sent
	// CommandsRepeated counts commands written once more under their id.
	CommandsRepeated int64 `json:"commands_repeated"`

	// Violations counts frames that the protocol forbids.
	Violations     int64    `json:"violations"`
	ViolationTexts []string `json:"broken,omitempty"` // the first of them

	// Latency is in milliseconds, from the fix by the driver's clock to the
	// frame by the rider's clock. It is not corrected: it is right when both
	// simulators run on one host, and ClockOffsetMs helps to judge it
	// otherwise.
	Latency   quantile.Counted `json:"latency_ms"`
	RecentP50 float64          `json:"recent_p50_ms"` // of the last 5 s
	RecentP99 float64          `json:"recent_p99_ms"`
	// ClockOffsetMs is the node's clock minus this host's.
	ClockOffsetMs float64 `json:"clock_offset_ms"`

	// PickupWait is from request to arrival, in seconds of the city.
	PickupWait quantile.Counted `json:"pickup_wait_s"`

	// Trace is what the file of a replay held; nil without one.
	Trace *trace.Report `json:"trace,omitempty"`
}

// Snapshot returns a copy of the statistics. It may be called at any time.
func (s *Stats) Snapshot() Snapshot {
	out := Snapshot{
		DriversConnected: s.drivers.Load(), RidersConnected: s.riders.Load(),
		FixesSent: s.fixesSent.Load(), FixesRefused: s.fixesRefused.Load(), OffersSeen: s.offers.Load(),
		OffersAccepted: s.accepted.Load(), OffersDeclined: s.declined.Load(),
		TripsRequested: s.requested.Load(), TripsContinued: s.continued.Load(), TripsReserved: s.reserved.Load(),
		TripsCompleted: s.completed.Load(), TripsCancelled: s.cancelled.Load(), TripsExpired: s.expired.Load(),
		TripsLost: s.lost.Load(),
		ChatSent:  s.chatSent.Load(), ChatDelivered: s.chatDelivered.Load(), Receipts: s.receipts.Load(),
		Refused: s.refused.Load(), TooFar: s.tooFar.Load(), Cheats: s.cheats.Load(), TurnedAway: s.turnedAway.Load(),
		HelpAsked: s.helpAsked.Load(), HelpSeen: s.helpSeen.Load(), HelpAcknowledged: s.helpAcknowledged.Load(),
		ConnectionsLost: s.connectionsLost.Load(), Reconnects: s.reconnects.Load(), Resumed: s.resumed.Load(),
		CommandsRepeated: s.repeated.Load(), Violations: s.violations.Load(),
		PickupWait: s.pickups.readQuantiles(1e3),
	}

	out.Latency, out.RecentP50, out.RecentP99 = s.positions.readQuantiles(time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	out.ViolationTexts, out.ClockOffsetMs, out.Trace = append([]string(nil), s.violationTexts...), s.clockOffset, s.trace
	return out
}

// SetTraceReport keeps what the file of a replay held. r must not change
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

// addViolation counts a frame that the protocol forbids, and describes the
// first few.
func (s *Stats) addViolation(format string, args ...any) {
	s.violations.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.violationTexts) < maxViolationTexts {
		s.violationTexts = append(s.violationTexts, fmt.Sprintf(format, args...))
	}
}

// recordLatency records the age of a position on arrival, in milliseconds.
func (s *Stats) recordLatency(stripe int, at time.Time, ms float64) {
	s.positions.recordLatency(stripe, at, ms)
}

// recordPickup records a wait in seconds of the city.
func (s *Stats) recordPickup(seconds float64) { s.pickups.recordValue(seconds * 1e3) }

// compareClocks keeps the offset of the quickest exchange, which is the most
// exact.
func (s *Stats) compareClocks(offset, rtt float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rtt > 0 && (s.clockRoundTrip == 0 || rtt < s.clockRoundTrip) {
		s.clockRoundTrip, s.clockOffset = rtt, offset
	}
}
