package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/trips"
)

// Moves that arrive while all committers are busy are committed in one group,
// with one statement, one transaction and one flush to disk. A move that comes
// alone is committed at once.
const (
	// maxCommitters is how many groups are committed at once, if the pool is
	// large enough. One is fastest on an idle machine. On a busy machine it gets
	// the share of a single process, and a group that waits for a lock would
	// hold up all moves of the node.
	maxCommitters = 4
	groupLimit    = 128 // moves per transaction
)

var errClosed = errors.New("postgres: the store is closed")

// groupCommitter commits moves in groups, in goroutines of its own.
type groupCommitter struct {
	*database
	moves   chan *pendingMove
	quit    chan struct{}
	once    sync.Once // for closing quit
	running sync.WaitGroup
}

func startGroupCommitter(db *database) *groupCommitter {
	g := &groupCommitter{database: db, moves: make(chan *pendingMove), quit: make(chan struct{})}
	// One connection is left for those who read.
	for range min(maxCommitters, max(1, db.pool.Config().MaxConns-1)) {
		g.running.Go(g.runCommitter)
	}
	return g
}

// close waits for the groups that are being committed. Moves after it fail.
func (g *groupCommitter) close() {
	g.once.Do(func() { close(g.quit) })
	g.running.Wait()
}

// pendingMove is a move whose caller waits for its outcome.
type pendingMove struct {
	*moveRow
	done chan outcome // holds one, so that a caller that left blocks no committer
}

type outcome struct {
	made bool
	err  error // only of a move alone in its group: it is a group's error
}

// commitInGroup commits a move in a group with others. It returns false without
// an error when a guard refused the move, when it conflicted with another move
// of its group, or when its group failed. The caller then reads the outcome and
// tries again alone.
func (g *groupCommitter) commitInGroup(ctx context.Context, r *moveRow) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}

	w := &pendingMove{moveRow: r, done: make(chan outcome, 1)}
	g.markWaiting(r)
	select {
	case g.moves <- w:
	case <-ctx.Done():
		return false, ctx.Err()
	case <-g.quit:
		return false, errClosed
	}

	select {
	case o := <-w.done:
		return o.made, o.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// runCommitter collects groups, commits them and answers the callers, until the
// store is closed.
func (g *groupCommitter) runCommitter() {
	for {
		select {
		case first := <-g.moves:
			g.commitGroup(g.collectGroup(first))
		case <-g.quit:
			return
		}
	}
}

// collectGroup adds to a move all others that wait, up to groupLimit.
func (g *groupCommitter) collectGroup(first *pendingMove) []*pendingMove {
	group := []*pendingMove{first}
	for len(group) < groupLimit {
		select {
		case w := <-g.moves:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

// commitGroup commits a group and answers each caller.
func (g *groupCommitter) commitGroup(group []*pendingMove) {
	rows, fits := selectCompatible(group)
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()

	watch := g.watchStatement(group)
	made, err := g.commitRows(ctx, rows)
	watch.noteEnd(group, fits, err)
	if len(group) > 1 {
		err = nil
	}

	for i, w := range group {
		w.done <- outcome{made: fits[i] && made[w.id], err: err}
	}
	watch.record(group, fits, made)
}

// selectCompatible picks moves that cannot conflict: one per trip, accepting
// driver, asking rider and command.
func selectCompatible(group []*pendingMove) (rows []*moveRow, fits []bool) {
	taken := make(map[claim]bool, 3*len(group))
	fits = make([]bool, len(group))
next:
	for i, w := range group {
		claims := w.listClaims()
		for _, c := range claims {
			if taken[c] {
				continue next
			}
		}

		for _, c := range claims {
			taken[c] = true
		}
		fits[i] = true
		rows = append(rows, w.moveRow)
	}

	return rows, fits
}

// commitRows writes moves of different trips in one transaction and returns
// which were made. After an error all or none were made.
func (g *groupCommitter) commitRows(ctx context.Context, rows []*moveRow) (map[trips.TripID]bool, error) {
	var ids []string
	answer, err := g.pool.Query(ctx, applySQL, toColumns(rows)...)
	if err == nil {
		ids, err = pgx.CollectRows(answer, pgx.RowTo[string])
	}
	if err != nil {
		g.sessions.noteLoss(err)
		return nil, fmt.Errorf("commit %d moves: %w", len(rows), err)
	}

	made := make(map[trips.TripID]bool, len(ids))
	for _, id := range ids {
		made[trips.TripID(id)] = true
	}

	return made, nil
}

// commitAlone commits one move by itself.
func (g *groupCommitter) commitAlone(ctx context.Context, r *moveRow) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	group := []*pendingMove{{moveRow: r}}
	watch := g.watchStatement(group)
	made, err := g.commitRows(ctx, []*moveRow{r})
	if watch.noteEnd(group, []bool{true}, err); !watch.began.IsZero() {
		watch.recordStatement([]*moveRow{r}, 1, made)
	}
	return made[r.id], err
}

// storedTime rounds a moment as the server does.
func storedTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
