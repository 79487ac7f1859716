package gateway

import (
	"slices"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// maxSOSCalls bounds what one connection remembers; a user calls for help far
// less often. When it is full all are forgotten, and an acknowledgement may be
// sent twice.
const maxSOSCalls = 256

// sosCall is one of the user's calls for help, as far as a connection has seen.
type sosCall struct {
	trip  trips.TripID
	acked bool // the phone was told that an operator has acknowledged it
}

// sosCalls are a user's calls for help by the alert's id, as far as this
// connection knows of them. It has no lock of its own.
type sosCalls map[string]sosCall

// addCall remembers a call. One that is known keeps its acknowledgement.
func (c *sosCalls) addCall(a sos.Alert) {
	if !(*c)[a.ID].acked {
		c.putCall(a, false)
	}
}

// markAcked records that the acknowledgement is sent; false if it was sent
// before.
func (c *sosCalls) markAcked(a sos.Alert) bool {
	if (*c)[a.ID].acked {
		return false
	}
	c.putCall(a, true)
	return true
}

func (c *sosCalls) putCall(a sos.Alert, acked bool) {
	if *c == nil || len(*c) >= maxSOSCalls {
		*c = sosCalls{}
	}
	(*c)[a.ID] = sosCall{a.Trip, acked}
}

// unackedTrips returns the trips with a call that was not acknowledged.
func (c sosCalls) unackedTrips() (out []trips.TripID) {
	for _, call := range c {
		if !call.acked && !slices.Contains(out, call.trip) {
			out = append(out, call.trip)
		}
	}
	return out
}
