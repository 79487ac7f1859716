package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// Candidates is one open trip and the drivers who could take it, nearest by air
// first. No driver in Nearby has declined the trip.
type Candidates struct {
	Trip   trips.Trip
	Nearby []sharedstate.NearbyDriver
	Waited time.Duration // Since the request.
}

// Assignment assigns a driver to a trip.
type Assignment struct {
	Trip       trips.TripID
	Driver     sharedstate.NearbyDriver
	PickupTime time.Duration // Time to the pickup; 0 when it is unknown.
}

// Matcher chooses drivers for a window of trips: at most one pair per trip and
// per driver. A trip that it leaves out waits for the next window. It keeps
// nothing from one window to the next, and gives the same answer to the same
// window. MatchWindow returns when ctx ends at the latest. It may be called
// concurrently.
type Matcher interface {
	MatchWindow(ctx context.Context, window []Candidates) []Assignment
}

// ETA returns travel times, and their source ("road" or "straight_line").
type ETA interface {
	// Times returns the times from each point of from to one point.
	Times(ctx context.Context, from []location.Point, to location.Point) ([]time.Duration, string, error)
	// Matrix returns a row for each point of from, with the times to each point
	// of to.
	Matrix(ctx context.Context, from, to []location.Point) ([][]time.Duration, string, error)
}

// Policy is a way to decide which driver takes which trip.
type Policy struct {
	Name    string
	Matcher Matcher
	// Window is how long requests are gathered before all of them are matched
	// at once. 0 means that each is served when it comes. A request after a
	// quiet time is a window of its own and does not wait.
	Window time.Duration
}

// The names of the policies, for flags.
const (
	GreedyPolicy  = "greedy"
	BatchedPolicy = "batched"
)

// DefaultWindow is how long the batched policy gathers requests.
const DefaultWindow = 2 * time.Second

// NewPolicy builds a policy that asks eta for travel times. Pace is the
// number of simulated seconds per second of the clock. A faster city gets a
// shorter window. It returns an error for an unknown name.
func NewPolicy(name string, eta ETA, pace float64) (Policy, error) {
	switch name {
	case GreedyPolicy:
		return Policy{Name: name, Matcher: GreedyMatcher{ETA: eta}}, nil
	case BatchedPolicy:
		pace = max(pace, 1)
		return Policy{Name: name, Matcher: MinCostMatcher{ETA: eta, Pace: pace},
			Window: time.Duration(float64(DefaultWindow) / pace)}, nil
	}
	return Policy{}, fmt.Errorf("there is no policy %q: use %s or %s", name, GreedyPolicy, BatchedPolicy)
}

// MinCandidates is how many drivers the policy wants to choose from before the
// search widens its circle. One by one, the nearest circle with any driver is
// good enough. A window needs several drivers per trip, because its trips share
// them.
func (p Policy) MinCandidates() int {
	if p.Window == 0 {
		return 1
	}
	return p.candidateCount()
}

// candidateCount is the default of Rules.Candidates.
func (p Policy) candidateCount() int {
	if p.Window == 0 {
		return 8
	}
	return 20
}

// CloseTime returns when a window closes whose first request came at first. It
// closes at once, unless another window closed less than Window ago.
func (p Policy) CloseTime(first, lastClosed time.Time) time.Time {
	if next := lastClosed.Add(p.Window); next.After(first) {
		return next
	}
	return first
}

const defaultETADeadline = 300 * time.Millisecond
