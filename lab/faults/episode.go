package faults

import (
	"context"
	"fmt"
	"time"
)

// City is the running city whose figures the sentences tell. Its methods may be
// called from any goroutine.
type City interface {
	// Phones returns what phones have met so far.
	Phones() PhoneFigures
	// Positions counts those that the node has accepted.
	Positions() uint64
	// Completed counts the rides that ended at their destination.
	Completed() int64
	// Backlog counts the rows that wait in the outbox and returns when the
	// oldest was written.
	Backlog(context.Context) (rows int, oldest time.Time, err error)
	// Unpaid counts the rides completed before a time that have no charge.
	Unpaid(ctx context.Context, until time.Time) (int, error)
	// CheckWritable returns an error when nothing can be committed.
	CheckWritable(context.Context) error
}

// PhoneFigures are counts since the city began, and the time that half of the
// positions of the last seconds took from a driver's phone to a rider's.
type PhoneFigures struct {
	Connected       int64 // now
	Lost            int64 // connections
	Resumed         int64 // of these, with all that was missed
	RepeatedCommand int64
	P50Ms           float64 // 0: no rider watches a car
}

// figures are what one fault needs to know at a moment; the rest is zero.
type figures struct {
	at    time.Time
	until time.Time // rows and rides since do not count

	phones    PhoneFigures
	positions uint64
	completed int64
	refused   int64         // connections of the line
	waits     time.Duration // the oldest byte for a slow phone
	rows      int
	unpaid    int
	readErr   error
	writeErr  error
}

func (f *figures) addRows(ctx context.Context, city City) {
	rows, oldest, err := city.Backlog(ctx)
	if f.readErr = err; err == nil && oldest.Before(f.until) {
		f.rows = rows
	}
}

// episode is a fault from the moment that it was switched on.
type episode struct {
	began, healedAt time.Time
	before          figures
	now             figures
	atEnd           figures // just before it was mended
	isFelt          bool    // an effect was measured

	last      figures // a second ago or more
	isCounted bool    // for long enough to know the rate
	rate      float64 // positions a second
}

func (e *episode) addFigures(now figures) {
	e.now = now
	if took := now.at.Sub(e.last.at); took >= time.Second {
		e.rate = float64(now.positions-e.last.positions) / took.Seconds()
		e.last, e.isCounted = now, true
	}
}

// flow says what positions do meanwhile.
func (e episode) flow() string {
	if e.rate < 1 {
		return "no positions come either"
	}
	return fmt.Sprintf("positions here still flow (%.0f/s)", e.rate)
}

// healing is how long ago the fault was mended when the figures were read.
func (e episode) healing() string { return seconds(e.now.at.Sub(e.healedAt)) }

// lost and resumed count connections since the fault began.
func (e episode) lost() int64    { return e.now.phones.Lost - e.before.phones.Lost }
func (e episode) resumed() int64 { return e.now.phones.Resumed - e.before.phones.Resumed }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", max(0, d.Seconds())) }

// count names a number of things.
func count[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
