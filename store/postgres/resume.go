package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// resumeReader reads the state that a reconnecting client needs; see
// store.Store.
type resumeReader struct{ *database }

// ResumeStates answers many resume queries in one statement, and reads their
// receipts with another one if any trip was paid; see store.Store.
func (s *resumeReader) ResumeStates(ctx context.Context, queries []trips.ResumeQuery) (
	[]trips.ResumeState, map[trips.TripID]payments.Charge, error,
) {
	states, err := s.queryResumeStates(ctx, queries)
	if err != nil {
		return nil, nil, fmt.Errorf("resume states of %d people: %w", len(queries), err)
	}

	var paid []string
	for i := range states {
		if states[i].Paid {
			paid = append(paid, string(states[i].Trip.ID))
		}
	}

	if len(paid) == 0 {
		return states, nil, nil
	}

	charges, err := queryAll(ctx, s.database, fmt.Sprintf("charges of %d trips", len(paid)), scanCharge,
		chargeColumns+`WHERE c.trip_id = ANY ($1)`, paid)
	receipts := make(map[trips.TripID]payments.Charge, len(charges))
	for _, c := range charges {
		receipts[c.Trip] = c
	}

	return states, receipts, err
}

func (s *resumeReader) queryResumeStates(ctx context.Context, queries []trips.ResumeQuery) ([]trips.ResumeState, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()

	roles, ids, named := make([]string, len(queries)), make([]string, len(queries)), make([]string, len(queries))
	for i, q := range queries {
		if trips.CheckText(q.Who.ID, string(q.Trip)) != nil {
			continue // it finds no trip, and must not fail the others
		}
		roles[i], ids[i], named[i] = string(q.Who.Role), q.Who.ID, string(q.Trip)
	}

	states := make([]trips.ResumeState, len(queries))
	err := s.read(ctx, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, resumeStatesSQL, roles, ids, named)
		if err != nil {
			return err
		}
		return scanResumeStates(rows, states)
	})
	return states, err
}

func scanResumeStates(rows pgx.Rows, states []trips.ResumeState) error {
	var n int64
	var payload []byte
	var state trips.ResumeState
	_, err := pgx.ForEachRow(rows, []any{&n, &payload, &state.LastChatSeq, &state.SOSAcked, &state.Paid}, func() error {
		ev, err := decodeEvent(payload)
		state.Trip = ev.Trip
		states[n-1] = state
		return err
	})
	return err
}

// resumeStatesSQL looks each query up by index. Scalar subqueries keep the
// planner, which does not know how many queries there are, from reading whole
// tables for a join.
const resumeStatesSQL = `
SELECT a.n, (SELECT e.payload FROM trip_events e WHERE e.trip_id = t.id AND e.seq = t.version),
  coalesce((SELECT c.seq FROM chat c WHERE c.trip_id = t.id ORDER BY c.seq DESC LIMIT 1), 0),
  (SELECT h.id FROM alerts h WHERE h.trip_id = t.id AND h.from_role = a.role AND h.from_id = a.id
     AND h.acked_at IS NOT NULL LIMIT 1) IS NOT NULL,
  (SELECT p.trip_id FROM charges p WHERE p.trip_id = t.id AND a.role = 'rider' AND p.rider = a.id) IS NOT NULL
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a (role, id, trip, n)
CROSS JOIN LATERAL (
  (SELECT t.id, t.version FROM trips t WHERE a.role = 'rider' AND t.rider = a.id AND` + activeSQL + `LIMIT 1)
  UNION ALL
  (SELECT t.id, t.version FROM trips t WHERE a.role = 'driver' AND t.driver = a.id AND` + activeSQL + `LIMIT 1)
  UNION ALL
  (SELECT t.id, t.version FROM trips t WHERE t.id = a.trip LIMIT 1)
  LIMIT 1
) t`
