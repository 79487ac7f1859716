package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// Standings says how things stand for each of many people, in their order, and returns the charges of their paid trips.
// It takes one statement, and another one if anything was paid.
func (s *Store) Standings(ctx context.Context, of []trips.Asker) ([]trips.Standing, map[trips.TripID]payments.Charge, error) {
	out, err := s.standings(ctx, of)
	if err != nil {
		return nil, nil, fmt.Errorf("how things stand for %d phones: %w", len(of), err)
	}
	var paid []string
	for i := range out {
		if out[i].Paid {
			paid = append(paid, string(out[i].Trip.ID))
		}
	}
	if len(paid) == 0 {
		return out, nil, nil
	}
	charges, err := s.charges(ctx, fmt.Sprintf("charges of %d trips", len(paid)), chargeColumns+`WHERE c.trip_id = ANY ($1)`, paid)
	receipts := make(map[trips.TripID]payments.Charge, len(charges))
	for _, c := range charges {
		receipts[c.Trip] = c
	}
	return out, receipts, err
}

func (s *Store) standings(ctx context.Context, of []trips.Asker) ([]trips.Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	roles, ids, named := make([]string, len(of)), make([]string, len(of)), make([]string, len(of))
	for i, a := range of {
		roles[i], ids[i], named[i] = string(a.Who.Role), a.Who.ID, string(a.Trip)
	}
	rows, err := s.pool.Query(ctx, standingsSQL, roles, ids, named)
	if err != nil {
		return nil, err
	}
	out := make([]trips.Standing, len(of))
	var n int64
	var payload []byte
	var st trips.Standing
	_, err = pgx.ForEachRow(rows, []any{&n, &payload, &st.Said, &st.Helped, &st.Paid}, func() error {
		ev, err := decode(payload)
		st.Trip = ev.Trip
		out[n-1] = st
		return err
	})
	return out, err
}

// standingsSQL looks each one up by index. Scalar subqueries keep the planner, which does not know how many ask, from
// reading whole tables for a join.
const standingsSQL = `
SELECT a.n, (SELECT e.payload FROM trip_events e WHERE e.trip_id = t.id AND e.seq = t.version),
  coalesce((SELECT c.seq FROM chat c WHERE c.trip_id = t.id ORDER BY c.seq DESC LIMIT 1), 0),
  (SELECT h.id FROM alerts h WHERE h.trip_id = t.id AND h.from_role = a.role AND h.from_id = a.id
     AND h.acked_at IS NOT NULL LIMIT 1) IS NOT NULL,
  (SELECT p.trip_id FROM charges p WHERE p.trip_id = t.id AND a.role = 'rider' AND p.rider = a.id) IS NOT NULL
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a (role, id, trip, n)
CROSS JOIN LATERAL (
  (SELECT t.id, t.version FROM trips t WHERE a.role = 'rider' AND t.rider = a.id AND` + active + `LIMIT 1)
  UNION ALL
  (SELECT t.id, t.version FROM trips t WHERE a.role = 'driver' AND t.driver = a.id AND` + active + `LIMIT 1)
  UNION ALL
  (SELECT t.id, t.version FROM trips t WHERE t.id = a.trip LIMIT 1)
  LIMIT 1
) t`
