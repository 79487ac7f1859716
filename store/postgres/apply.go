package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/trips"
)

// tries bounds how often a write is sent. The waits between them, with full jitter, come to 1.3 s at most.
const (
	tries     = 8
	firstRest = 10 * time.Millisecond
)

// Apply commits a move; see trips.Store. Whatever kept a move from being made, its command is read back before
// anything else is concluded, and only when nothing speaks against the move it is sent again. That is safe even if the
// first sending still works at the server: the guards let one of them through. An error that is none of those of the
// contract leaves open what happened; the same key tells.
func (s *Store) Apply(ctx context.Context, m trips.Move) (trips.Event, error) {
	r, err := newRow(m)
	if err != nil {
		return trips.Event{}, err
	}
	made, err := s.together(ctx, r)
	for try := 0; ; try++ {
		if made {
			return r.event, nil
		}
		if try == tries || final(ctx, err) {
			return trips.Event{}, unsettled(ctx, r, err)
		}
		if !rest(ctx, try) {
			continue
		}
		ev, verdict, lost := s.judge(ctx, r)
		if verdict != errGoOn {
			return ev, verdict
		}
		if err = lost; err == nil {
			made, err = s.alone(ctx, r)
		}
	}
}

// unsettled is the error of a move about which nothing more could be learnt.
func unsettled(ctx context.Context, r *row, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil {
		err = trips.ErrConflict // others were faster each time
	}
	return fmt.Errorf("trip %s, %s: %w", r.id, r.event.Kind, err)
}

// final says that sending again cannot help.
func final(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, errClosed) {
		return true
	}
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Code {
	case "23505", // another transaction has what this one wanted: judge says what
		"55P03": // waited too long for a lock
		return false
	}
	switch refusal.Code[:2] {
	case "08", "40", "53", "57", "58": // connection, serialization, resources, operator, system
		return false
	}
	return true
}

// rest waits before the next try: not at all at first, then longer. False when ctx ended.
func rest(ctx context.Context, try int) bool {
	if try == 0 {
		return ctx.Err() == nil
	}
	return sleep.For(ctx, rand.N(firstRest<<(try-1)))
}

// errGoOn is judge's verdict that nothing speaks against the move.
var errGoOn = errors.New("go on")

// judge reads what became of a move that was not made, or perhaps was. It returns the event of a command that was
// recorded, or the contract's error, or errGoOn; with errGoOn, lost says that the server could not be asked.
func (s *Store) judge(ctx context.Context, r *row) (ev trips.Event, verdict, lost error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	t := &r.event.Trip
	var (
		asked             *string
		version           *uint32
		payload           []byte
		driving, boarding bool
	)
	err := s.pool.QueryRow(ctx, judgeSQL, r.key.Actor.Role, r.key.Actor.ID, r.key.ID, t.ID, t.Driver, t.Rider).
		Scan(&asked, &payload, &version, &driving, &boarding)
	if err != nil {
		return ev, errGoOn, fmt.Errorf("read back what happened: %w", err)
	}
	switch {
	case asked != nil:
		ev, err := recorded(r.key, *asked, payload)
		return ev, err, nil
	case r.opens() && version != nil, !r.opens() && version != nil && *version != t.Version-1:
		return ev, fmt.Errorf("trip %s is at version %d: %w", t.ID, *version, trips.ErrConflict), nil
	case !r.opens() && version == nil:
		return ev, fmt.Errorf("trip %s: %w", t.ID, trips.ErrNotFound), nil
	case r.opens() && boarding:
		return ev, fmt.Errorf("rider %s: %w", t.Rider, trips.ErrRiderBusy), nil
	case r.binds() && driving:
		return ev, fmt.Errorf("driver %s: %w", t.Driver, trips.ErrTaken), nil
	}
	return ev, errGoOn, nil
}

// judgeSQL reads in one snapshot all that can keep a move from being made.
const judgeSQL = `
SELECT c.print, e.payload, t.version,
  EXISTS (SELECT FROM trips b WHERE b.driver = $5 AND b.id <> $4
          AND b.state IN ('requested', 'reserved', 'arrived', 'on_trip')),
  EXISTS (SELECT FROM trips b WHERE b.rider = $6 AND b.id <> $4
          AND b.state IN ('requested', 'reserved', 'arrived', 'on_trip'))
FROM (SELECT) one
LEFT JOIN commands c ON c.actor_role = $1 AND c.actor_id = $2 AND c.id = $3
LEFT JOIN trip_events e ON e.trip_id = c.trip_id AND e.seq = c.seq
LEFT JOIN trips t ON t.id = $4`

// recorded is what a command led to, unless its id was used for something else.
func recorded(k trips.Key, asked string, payload []byte) (trips.Event, error) {
	if payload == nil {
		return trips.Event{}, fmt.Errorf("command %q of %s: %w", k.ID, k.Actor, trips.ErrVoid)
	}
	if asked != k.Print {
		return trips.Event{}, fmt.Errorf("command %q of %s: %w", k.ID, k.Actor, trips.ErrKeyReused)
	}
	return decode(payload)
}

func decode(payload []byte) (ev trips.Event, err error) {
	if err := json.Unmarshal(payload, &ev); err != nil {
		return ev, fmt.Errorf("stored event: %w", err)
	}
	return ev, nil
}

// again sends a write that may be repeated, until the server has answered.
func (s *Store) again(ctx context.Context, write func(context.Context) error) error {
	for try := 1; ; try++ {
		err := s.once(ctx, write)
		if err == nil || errors.Is(err, pgx.ErrNoRows) || try == tries || final(ctx, err) || !rest(ctx, try) {
			return err
		}
	}
}

func (s *Store) once(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return write(ctx)
}
