package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/trips"
)

// Moves that arrive while all committers are busy are committed together: the statement, the transaction and the flush
// to disk then cost once for all of them. A move that comes alone goes at once.
const (
	// committers is how many groups are under way at once. One is fastest on an idle machine, but gets a single
	// process's share of a busy one, and a group that waits for a lock would hold up all moves of the node.
	committers = 4
	groupLimit = 128 // moves per transaction
)

var errClosed = errors.New("postgres: the store is closed")

// waiting is a move whose caller waits for what became of it.
type waiting struct {
	*row
	made chan outcome // holds one, so that a caller who went away holds nobody up
}

type outcome struct {
	made bool
	err  error // of a move that was in no company: an error of a group says nothing about each of its moves
}

// together commits a move in a group with others. A move that was not made, without an error, was refused by a guard,
// or got in the way of another move of its group, or its group failed: ask what happened and try again alone.
func (s *Store) together(ctx context.Context, r *row) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	w := &waiting{row: r, made: make(chan outcome, 1)}
	select {
	case s.moves <- w:
	case <-ctx.Done():
		return false, ctx.Err()
	case <-s.quit:
		return false, errClosed
	}
	select {
	case o := <-w.made:
		return o.made, o.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// commitLoop is a committer: it takes what has gathered, commits it, and tells the callers.
func (s *Store) commitLoop() {
	for {
		select {
		case first := <-s.moves:
			s.commitGroup(s.gather(first))
		case <-s.quit:
			return
		}
	}
}

// gather adds to a move all others that wait.
func (s *Store) gather(first *waiting) []*waiting {
	group := []*waiting{first}
	for len(group) < groupLimit {
		select {
		case w := <-s.moves:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

func (s *Store) commitGroup(group []*waiting) {
	rows, fits := separate(group)
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	made, err := s.commit(ctx, rows)
	if len(group) > 1 {
		err = nil
	}
	for i, w := range group {
		w.made <- outcome{made: fits[i] && made[w.id], err: err}
	}
}

// separate picks the moves that cannot get in each other's way: one per trip, driver who accepts, rider who asks, and
// command.
func separate(group []*waiting) (rows []*row, fits []bool) {
	taken := make(map[claim]bool, 3*len(group))
	fits = make([]bool, len(group))
next:
	for i, w := range group {
		claims := w.claims()
		for _, c := range claims {
			if taken[c] {
				continue next
			}
		}
		for _, c := range claims {
			taken[c] = true
		}
		fits[i] = true
		rows = append(rows, w.row)
	}
	return rows, fits
}

// commit writes moves of different trips in one transaction and says which were made. On an error it is possible that
// all were made.
func (s *Store) commit(ctx context.Context, rows []*row) (map[trips.TripID]bool, error) {
	answer, err := s.pool.Query(ctx, applySQL, columns(rows)...)
	if err != nil {
		return nil, fmt.Errorf("commit %d moves: %w", len(rows), err)
	}
	ids, err := pgx.CollectRows(answer, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("commit %d moves: %w", len(rows), err)
	}
	made := make(map[trips.TripID]bool, len(ids))
	for _, id := range ids {
		made[trips.TripID(id)] = true
	}
	return made, nil
}

// alone commits one move by itself.
func (s *Store) alone(ctx context.Context, r *row) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	made, err := s.commit(ctx, []*row{r})
	return made[r.id], err
}

// microseconds is what a timestamp of the server can hold.
func microseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
