package distance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/scratch"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/store/postgres"
	"github.com/ridehail/ridehail/trips"
)

// sqlWindow is how many statements are outstanding at most: each needs a
// connection of its own.
const sqlWindow = 10

// measurePostgres measures a database of its own on a real Postgres: first the
// app's store at each distance, then rides.
func (r rtt) measurePostgres(ctx context.Context, run *finding.Run, found *rttFigures) (part finding.Part, err error) {
	database, err := scratch.Create(ctx, run.Database)
	if err != nil {
		return part, err
	}
	defer func() { err = errors.Join(err, database.Close()) }()

	if found.sql, err = r.askPostgres(ctx, run, database.URL); err != nil {
		return part, fmt.Errorf("postgres: %w", err)
	}
	if found.ride.Database, err = r.rideFarFromDatabase(ctx, run, database.URL); err != nil {
		return part, fmt.Errorf("a node far from its database: %w", err)
	}
	return database.Part, nil
}

// askPostgres measures the app's store at each distance, several at once: it
// only waits.
func (r rtt) askPostgres(ctx context.Context, run *finding.Run, database string) ([]speed, error) {
	if err := store.Migrate(ctx, database); err != nil {
		return nil, err
	}

	var all []speed
	for _, roundTrip := range r.roundTrips {
		for _, window := range []int{1, sqlWindow} {
			all = append(all, newSpeed("Postgres", window, roundTrip, 0))
		}
	}

	measure := func(ctx context.Context, s *speed) error {
		perSecond, err := readTripsAt(ctx, database, s.RoundTrip, s.Window, run.Seed)
		if err == nil && perSecond > s.PerSecond {
			*s = newSpeed(s.Server, s.Window, s.RoundTrip, perSecond)
		}
		return err
	}

	g, together := errgroup.WithContext(ctx)
	g.SetLimit(4) // a server allows some 100 connections
	for i := range all {
		g.Go(func() error { return measure(together, &all[i]) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return all, r.askAgain(ctx, all, measure)
}

// readTripsAt returns how many reads of a trip a second the store makes through
// a line, with window of them outstanding, each on a connection of its own.
func readTripsAt(ctx context.Context, database string, roundTrip time.Duration, window int, seed uint64) (perSecond float64, err error) {
	l, far, err := openLineTo(database, roundTrip, seed)
	if err != nil {
		return 0, err
	}
	defer l.Close()

	rates := make([]float64, window)
	g, ctx := errgroup.WithContext(ctx)
	for i := range rates {
		g.Go(func() (err error) {
			rates[i], err = readTrips(ctx, far, turnsAt(roundTrip))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}

	for _, rate := range rates {
		perSecond += rate
	}
	return perSecond, nil
}

// warmTurns are the reads that open the connection and prepare the statement.
const warmTurns = 2

// readTrips reads a trip some times on one connection and returns the reads a
// second of the best stretch.
func readTrips(ctx context.Context, database string, turns int) (perSecond float64, err error) {
	s, err := postgres.Open(ctx, database, postgres.Options{MaxConns: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	defer s.Close()

	var ends []time.Time
	for range turns {
		if _, err := s.Trip(ctx, "none"); !errors.Is(err, trips.ErrNotFound) {
			return 0, fmt.Errorf("read a trip: %w", err)
		}
		ends = append(ends, time.Now())
	}
	return bestRate(ends[warmTurns-1:], 1), nil
}
