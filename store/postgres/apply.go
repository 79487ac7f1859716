package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ridehail/ridehail/trips"
)

// tripStore keeps trips, their events and the commands that made them; see
// trips.Store.
type tripStore struct {
	*database
	commits *groupCommitter
}

// Apply commits a move; see trips.Store.
//
// If the write fails, Apply reads the command back first. It sends the move
// again only if that read shows neither a result nor a conflict. That is safe
// even while the first sending still works at the server: the guards let one of
// them through. An error that trips.Store does not name leaves open what
// happened; Apply with the same key, or RecordedEvent, tells.
func (s *tripStore) Apply(ctx context.Context, m trips.Command) (trips.Event, error) {
	r, err := newMoveRow(m)
	if err != nil {
		return trips.Event{}, err
	}

	made, err := s.commits.commitInGroup(ctx, r)
	for try := 0; !made; try++ {
		if try == maxTries || isFinal(ctx, err, try) {
			return trips.Event{}, unresolvedError(ctx, r, err)
		}
		if !s.sleepBefore(ctx, r, try) {
			continue
		}

		var found moveOutcome
		if found, err = s.readOutcome(ctx, r); err != nil {
			continue // the server could not be asked
		}
		if found.isKnown {
			return found.event, found.refusal
		}

		made, err = s.commits.commitAlone(ctx, r)
	}

	return r.event, nil
}

// unresolvedError is the error of a move whose outcome could not be learnt.
func unresolvedError(ctx context.Context, r *moveRow, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil {
		err = trips.ErrConflict // others were faster each time
	}
	return fmt.Errorf("trip %s, %s: %w", r.id, r.event.Kind, err)
}

// moveOutcome is what became of a move. It is known when the command was
// recorded, with its event or as abandoned, or when a guard refuses the move.
type moveOutcome struct {
	isKnown bool
	event   trips.Event
	refusal error // one of the errors of trips.Store
}

// readOutcome reads what became of a move that was perhaps not made. Its error
// means that the server did not answer.
func (s *tripStore) readOutcome(ctx context.Context, r *moveRow) (out moveOutcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if !r.hops.since.IsZero() {
		began := s.tracer.Now()
		defer func() { s.recordReadBack(r, out, err, began) }()
	}

	t := &r.event.Trip
	var (
		asked   *string
		payload []byte
		found   guardedState
	)

	err = s.read(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, readOutcomeSQL, r.key.Actor.Role, r.key.Actor.ID, r.key.ID, t.ID, t.Driver, t.Rider).
			Scan(&asked, &payload, &found.version, &found.driverBusy, &found.riderBusy)
	})
	if err != nil {
		return moveOutcome{}, fmt.Errorf("read back what happened: %w", err)
	}

	if asked != nil {
		ev, err := recordedEvent(r.key, *asked, payload)
		return moveOutcome{true, ev, err}, nil
	}

	refusal := found.findRefusal(r)
	return moveOutcome{isKnown: refusal != nil, refusal: refusal}, nil
}

// guardedState is what the guards look at, in one snapshot.
type guardedState struct {
	version               *uint32 // of the trip; nil: there is none
	driverBusy, riderBusy bool    // with another active trip
}

// findRefusal returns the error of trips.Store that keeps the move from being
// made, or nil.
func (g guardedState) findRefusal(r *moveRow) error {
	t := &r.event.Trip

	switch {
	case g.version == nil && !r.opensTrip():
		return fmt.Errorf("trip %s: %w", t.ID, trips.ErrNotFound)
	case g.version != nil && *g.version != t.Version-1:
		return fmt.Errorf("trip %s is at version %d: %w", t.ID, *g.version, trips.ErrConflict)
	case r.opensTrip() && g.riderBusy:
		return fmt.Errorf("rider %s: %w", t.Rider, trips.ErrRiderBusy)
	case r.bindsDriver() && g.driverBusy:
		return fmt.Errorf("driver %s: %w", t.Driver, trips.ErrTaken)
	}
	return nil
}

// readOutcomeSQL reads in one snapshot all that can keep a move from being
// made.
const readOutcomeSQL = `
SELECT c.print, e.payload, t.version,
  EXISTS (SELECT FROM trips b WHERE b.driver = $5 AND b.id <> $4
          AND b.state IN ('requested', 'reserved', 'arrived', 'on_trip')),
  EXISTS (SELECT FROM trips b WHERE b.rider = $6 AND b.id <> $4
          AND b.state IN ('requested', 'reserved', 'arrived', 'on_trip'))
FROM (SELECT) one
LEFT JOIN commands c ON c.actor_role = $1 AND c.actor_id = $2 AND c.id = $3
LEFT JOIN trip_events e ON e.trip_id = c.trip_id AND e.seq = c.seq
LEFT JOIN trips t ON t.id = $4`

// recordedEvent returns what a command led to. Its errors are
// trips.ErrAbandoned and trips.ErrKeyReused.
func recordedEvent(k trips.IdempotencyKey, asked string, payload []byte) (trips.Event, error) {
	if payload == nil {
		return trips.Event{}, fmt.Errorf("command %q of %s: %w", k.ID, k.Actor, trips.ErrAbandoned)
	}
	if asked != k.Fingerprint {
		return trips.Event{}, fmt.Errorf("command %q of %s: %w", k.ID, k.Actor, trips.ErrKeyReused)
	}
	return decodeEvent(payload)
}

func decodeEvent(payload []byte) (ev trips.Event, err error) {
	if err := json.Unmarshal(payload, &ev); err != nil {
		return ev, fmt.Errorf("stored event: %w", err)
	}
	return ev, nil
}
