package faulty

import (
	"context"
	"strconv"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// resumeReader reads the state that a reconnecting client needs; see
// store.Store.
type resumeReader struct{ *state }

// ResumeStates answers many resume queries in one call; see store.Store.
func (s *resumeReader) ResumeStates(ctx context.Context, queries []trips.ResumeQuery) (
	states []trips.ResumeState, receipts map[trips.TripID]payments.Charge, err error,
) {
	receipts = map[trips.TripID]payments.Charge{}
	states, err = runCall(ctx, s.state, "resume states", strconv.Itoa(len(queries)), func() ([]trips.ResumeState, error) {
		states := make([]trips.ResumeState, len(queries))
		for i, q := range queries {
			states[i] = s.resumeStateLocked(q)
			if states[i].Paid {
				receipts[states[i].Trip.ID] = s.charges[states[i].Trip.ID]
			}
		}
		return states, nil
	})
	return states, receipts, err
}

func (s *resumeReader) resumeStateLocked(q trips.ResumeQuery) trips.ResumeState {
	id, isActive := s.active[q.Who]
	if !isActive {
		id = q.Trip
	}

	state := trips.ResumeState{Trip: s.trips[id], LastChatSeq: uint32(len(s.messages[id]))}

	for _, a := range s.alerts {
		state.SOSAcked = state.SOSAcked || a.Trip == id && a.From == q.Who && !a.AckedAt.IsZero()
	}
	c, charged := s.charges[id]
	state.Paid = charged && trips.Rider(c.Rider) == q.Who
	return state
}
