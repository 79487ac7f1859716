package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// auditSource streams everything that is stored; see audit.Source.
type auditSource struct{ *database }

// AuditTrips yields every trip, with what its row says where the row and the
// event could differ.
func (s *auditSource) AuditTrips(ctx context.Context, yield func(trips.Trip) error) error {
	return s.read.queryEach(ctx, `SELECT t.id, t.version, t.state, t.rider, coalesce(t.driver, ''), t.region, t.requested_at,
		t.ended_at, e.payload FROM trips t LEFT JOIN trip_events e ON e.trip_id = t.id AND e.seq = t.version`, nil,
		func(rows *sql.Rows) error {
			var row trips.Trip
			var requested int64

			var ended sql.NullInt64
			var payload []byte
			if err := rows.Scan(&row.ID, &row.Version, &row.State, &row.Rider, &row.Driver, &row.Region, &requested, &ended,
				&payload); err != nil {
				return err
			}
			t := trips.Trip{}

			if payload != nil {
				ev, err := decodeEvent(payload)
				if err != nil {
					return err
				}
				t = ev.Trip
			}

			t.ID, t.Version, t.State, t.Region = row.ID, row.Version, row.State, row.Region
			t.Rider, t.Driver = row.Rider, row.Driver
			t.RequestedAt, t.EndedAt = time.UnixMicro(requested).UTC(), time.Time{}
			if ended.Valid {
				t.EndedAt = time.UnixMicro(ended.Int64).UTC()
			}

			return yield(t)
		})
}

// AuditEvents yields the whole log in the order of commits, with the number
// each event is kept under.
func (s *auditSource) AuditEvents(ctx context.Context, yield func(seq uint32, ev trips.Event) error) error {
	return s.read.queryEach(ctx, `SELECT seq, payload FROM trip_events ORDER BY n`, nil, func(rows *sql.Rows) error {
		var seq uint32
		var payload sql.RawBytes
		if err := rows.Scan(&seq, &payload); err != nil {
			return err
		}

		ev, err := decodeEvent(payload)
		if err != nil {
			return err
		}
		return yield(seq, ev)
	})
}

// AuditChat yields every message, by trip and number.
func (s *auditSource) AuditChat(ctx context.Context, yield func(chat.Message) error) error {
	return yieldMessages(ctx, s.read, `ORDER BY trip_id, seq`, nil, yield)
}

// AuditCharges yields every charge, by trip.
func (s *auditSource) AuditCharges(ctx context.Context, yield func(payments.Charge) error) error {
	return yieldCharges(ctx, s.read, `ORDER BY c.trip_id`, nil, yield)
}

// AuditRefunds yields every refund, by trip.
func (s *auditSource) AuditRefunds(ctx context.Context, yield func(payments.Refund) error) error {
	return yieldRefunds(ctx, s.read, `ORDER BY trip_id`, nil, yield)
}

// AuditAlerts yields every call for help, by time.
func (s *auditSource) AuditAlerts(ctx context.Context, yield func(sos.Alert) error) error {
	return yieldAlerts(ctx, s.read, `ORDER BY at, id`, nil, yield)
}
