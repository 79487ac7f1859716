package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// Ask is one open trip and the drivers who could take it, nearest by air first.
// Nobody in Near refused the trip.
type Ask struct {
	Trip   trips.Trip
	Near   []sharedstate.Near
	Waited time.Duration // since the request
}

// Pair gives a trip to a driver.
type Pair struct {
	Trip   trips.TripID
	Driver sharedstate.Near
	// how long the driver takes to the pickup; 0 when unknown
	Pickup time.Duration
}

// Picker chooses drivers for a window of trips: at most one pair per trip and
// per driver, and a trip it leaves out waits for the next window. It keeps
// nothing from one window to the next, and answers alike when it is asked
// alike. Pick returns when ctx ends at the latest; several windows may be open
// at the same time.
type Picker interface {
	Pick(ctx context.Context, window []Ask) []Pair
}

// ETA says how long drivers take, and how it knows ("road" or "straight_line").
type ETA interface {
	// Times are those from each of the points to one.
	Times(ctx context.Context, from []location.Point, to location.Point) ([]time.Duration, string, error)
	// Matrix has a row for each point of from with the times to each point of
	// to.
	Matrix(ctx context.Context, from, to []location.Point) ([][]time.Duration, string, error)
}

// Policy is a way to decide who drives whom.
type Policy struct {
	Name   string
	Picker Picker
	// Window is how long requests are gathered before all of them are matched
	// at once; 0: each is served when it comes. A request that comes after a
	// quiet time is a window of its own and does not wait.
	Window time.Duration
}

// The policies' names, for flags.
const (
	GreedyPolicy  = "greedy"
	BatchedPolicy = "batched"
)

// DefaultWindow is how long the batched policy gathers requests.
const DefaultWindow = 2 * time.Second

// PolicyNamed builds a policy that asks eta for travel times. Pace is how many
// seconds pass on the roads in one of the clock's: 1, but more in a simulated
// city that runs faster, whose riders have no two seconds to spare.
func PolicyNamed(name string, eta ETA, pace float64) (Policy, error) {
	switch name {
	case GreedyPolicy:
		return Policy{Name: name, Picker: NearestByRoad{ETA: eta}}, nil
	case BatchedPolicy:
		pace = max(pace, 1)
		return Policy{Name: name, Picker: LeastWait{ETA: eta, Pace: pace},
			Window: time.Duration(float64(DefaultWindow) / pace)}, nil
	}
	return Policy{}, fmt.Errorf("there is no policy %q: use %s or %s", name, GreedyPolicy, BatchedPolicy)
}

// Enough is from how many drivers the policy wants to choose before it looks
// further away: one by one, the nearest circle with anybody in it is good
// enough; a window that shares its drivers needs some to share.
func (p Policy) Enough() int {
	if p.Window == 0 {
		return 1
	}
	return p.candidateCount()
}

func (p Policy) candidateCount() int {
	if p.Window == 0 {
		return 8
	}
	return 20
}

// Closes says when a window closes whose first request came at a time: at once,
// unless another window has just closed.
func (p Policy) Closes(first, lastClosed time.Time) time.Time {
	if next := lastClosed.Add(p.Window); next.After(first) {
		return next
	}
	return first
}

const defaultETADeadline = 300 * time.Millisecond
