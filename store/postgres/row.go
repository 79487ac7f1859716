package postgres

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// moveRow is a move in the form that applySQL takes.
type moveRow struct {
	id      trips.TripID
	key     trips.IdempotencyKey
	event   trips.Event
	payload []byte
	hops    moveHops
}

func newMoveRow(m trips.Command) (*moveRow, error) {
	if err := m.CheckText(); err != nil {
		return nil, err
	}
	ev := storedEvent(m.Event)
	payload, err := json.Marshal(ev)
	if err != nil {
		return nil, fmt.Errorf("trip %s: %w", ev.Trip.ID, err)
	}
	return &moveRow{id: ev.Trip.ID, key: m.Key, event: ev, payload: payload}, nil
}

// storedEvent rounds all moments of an event as the server does.
func storedEvent(ev trips.Event) trips.Event {
	t := &ev.Trip
	for _, at := range []*time.Time{&ev.At, &t.RequestedAt, &t.ReservedAt, &t.ArrivedAt, &t.StartedAt, &t.EndedAt} {
		*at = storedTime(*at)
	}
	return ev
}

// opensTrip returns whether the move is a trip's first.
func (r *moveRow) opensTrip() bool { return r.event.Trip.Version == 1 }

// bindsDriver returns whether the move gives the trip a driver.
func (r *moveRow) bindsDriver() bool { return r.event.Trip.State == trips.Reserved }

// claim is something that only one move of a group may touch.
type claim struct {
	kind byte
	a, b string
}

func (r *moveRow) listClaims() []claim {
	claims := []claim{{'t', string(r.id), ""}, {'c', r.key.Actor.String(), r.key.ID}}
	switch {
	case r.opensTrip():
		claims = append(claims, claim{'r', string(r.event.Trip.Rider), ""})
	case r.bindsDriver():
		claims = append(claims, claim{'d', string(r.event.Trip.Driver), ""})
	}
	return claims
}

// toColumns turns rows into the parameters of applySQL, one array per column.
func toColumns(rows []*moveRow) []any {
	n := len(rows)
	id, state, rider, region := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	version, driver := make([]int64, n), make([]*string, n)
	requested, ended := make([]time.Time, n), make([]*time.Time, n)

	kind, payload := make([]string, n), make([]string, n)
	role, actor, command, asked := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, r := range rows {
		t := &r.event.Trip
		id[i], state[i], rider[i], region[i] = string(t.ID), string(t.State), string(t.Rider), string(t.Region)
		version[i], requested[i] = int64(t.Version), t.RequestedAt
		if t.Driver != "" {
			driver[i] = (*string)(&t.Driver)
		}
		if !t.EndedAt.IsZero() {
			ended[i] = &t.EndedAt
		}

		kind[i], payload[i] = string(r.event.Kind), string(r.payload)
		role[i], actor[i], command[i], asked[i] = string(r.key.Actor.Role), r.key.Actor.ID, r.key.ID, r.key.Fingerprint
	}

	return []any{id, version, state, rider, driver, region, requested, ended, kind, payload, role, actor, command, asked}
}

// applySQL makes moves of different trips and returns the trips that moved. It
// skips known commands and busy drivers, so that they do not fail the group. It
// cannot see what another transaction does at the same moment: then a unique
// index fails the whole group, and each move is tried alone.
const applySQL = `
WITH move AS (
  SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
                       $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[],
                       $11::text[], $12::text[], $13::text[], $14::text[])
    AS m (trip, version, state, rider, driver, region, requested_at, ended_at, kind, payload,
          role, actor, command, print)
), fresh AS (
  SELECT * FROM move WHERE (
    SELECT c.id FROM commands c WHERE c.actor_role = role AND c.actor_id = actor AND c.id = command) IS NULL
), opened AS (
  INSERT INTO trips (id, version, state, rider, driver, region, requested_at, ended_at)
  SELECT trip, version, state, rider, driver, region, requested_at, ended_at FROM fresh WHERE version = 1
  ON CONFLICT DO NOTHING
  RETURNING id
), moved AS (
  UPDATE trips t SET version = f.version, state = f.state, driver = f.driver, ended_at = f.ended_at
  FROM fresh f
  WHERE f.version > 1 AND t.id = f.trip AND t.version = f.version - 1
    AND (f.state <> 'reserved' OR (
      SELECT b.id FROM trips b
      WHERE b.driver = f.driver AND b.state IN ('requested', 'reserved', 'arrived', 'on_trip')) IS NULL)
  RETURNING f.*
), made AS (
  SELECT * FROM moved UNION ALL SELECT fresh.* FROM opened JOIN fresh ON fresh.trip = opened.id
), logged AS (
  INSERT INTO trip_events (trip_id, seq, kind, payload) SELECT trip, version, kind, payload::json FROM made
), remembered AS (
  INSERT INTO commands (actor_role, actor_id, id, print, trip_id, seq)
  SELECT role, actor, command, print, trip, version FROM made
), told AS (
  INSERT INTO outbox (topic, region, kind, trip_id, payload)
  SELECT 'trip', region, kind, trip, payload::json FROM made
)
SELECT trip FROM made`
