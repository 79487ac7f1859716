package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// resumeReader reads the state that a reconnecting client needs; see
// store.Store.
type resumeReader struct{ *database }

// ResumeStates answers many resume queries in one statement; see store.Store.
func (s *resumeReader) ResumeStates(ctx context.Context, queries []trips.ResumeQuery) (
	[]trips.ResumeState, map[trips.TripID]payments.Charge, error,
) {
	people := make([][3]string, len(queries))
	for i, q := range queries {
		people[i] = [3]string{string(q.Who.Role), q.Who.ID, string(q.Trip)}
	}

	list, err := json.Marshal(people)
	if err != nil {
		return nil, nil, fmt.Errorf("resume states of %d people: %w", len(queries), err)
	}

	states, receipts := make([]trips.ResumeState, len(queries)), map[trips.TripID]payments.Charge{}
	err = s.read.queryEach(ctx, resumeStatesSQL, []any{string(list)}, func(rows *sql.Rows) error {
		i, state, receipt, err := scanResumeState(rows)
		if err != nil {
			return err
		}
		states[i] = state
		if state.Paid {
			receipts[receipt.Trip] = receipt
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("resume states of %d people: %w", len(queries), err)
	}

	return states, receipts, nil
}

// scanResumeState returns the index of the query that the row answers. The
// receipt is zero unless the state is Paid.
func scanResumeState(rows *sql.Rows) (i int, state trips.ResumeState, receipt payments.Charge, err error) {
	var payload sql.RawBytes
	var chargedAt int64

	columns := append([]any{&i, &payload, &state.LastChatSeq, &state.SOSAcked, &state.Paid}, chargeFields(&receipt, &chargedAt)...)
	if err := rows.Scan(columns...); err != nil {
		return 0, state, receipt, err
	}

	ev, err := decodeEvent(payload)
	state.Trip = ev.Trip
	if state.Paid {
		receipt.At = time.UnixMicro(chargedAt).UTC()
	}
	return i, state, receipt, err
}

// resumeStatesSQL takes the queries as a JSON array of [role, id, trip] and
// looks each up by index. A query that finds no trip yields no row.
const resumeStatesSQL = `
SELECT q.key, e.payload,
	coalesce((SELECT max(m.seq) FROM chat m WHERE m.trip_id = t.id), 0),
	EXISTS (SELECT 1 FROM alerts a WHERE a.trip_id = t.id AND a.from_role = q.value ->> 0 AND a.from_id = q.value ->> 1
		AND a.acked_at IS NOT NULL),
	c.trip_id IS NOT NULL,
	coalesce(c.trip_id, ''), coalesce(c.rider, ''), coalesce(c.reference, ''), coalesce(c.minor, 0),
	coalesce(c.currency, ''), coalesce(c.provider_id, ''), coalesce(c.at, 0), coalesce(r.minor, 0), coalesce(r.currency, '')
FROM json_each(?) q
JOIN trips t ON t.id = coalesce(
	(SELECT id FROM trips WHERE q.value ->> 0 = 'rider' AND rider = q.value ->> 1 AND ` + activeSQL + `),
	(SELECT id FROM trips WHERE q.value ->> 0 = 'driver' AND driver = q.value ->> 1 AND ` + activeSQL + `),
	q.value ->> 2)
JOIN trip_events e ON e.trip_id = t.id AND e.seq = t.version
LEFT JOIN charges c ON c.trip_id = t.id AND q.value ->> 0 = 'rider' AND c.rider = q.value ->> 1
LEFT JOIN refunds r ON r.trip_id = c.trip_id AND r.state = 'done'`
