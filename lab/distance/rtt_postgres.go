package distance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/line"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/store/postgres"
	"github.com/ridehail/ridehail/trips"
)

// sqlWindow is how many statements are outstanding at most: each needs a
// connection of its own.
const sqlWindow = 10

// askPostgres measures the app's store at each distance, all at once: it only
// waits.
func (r rtt) askPostgres(ctx context.Context, run *finding.Run, database string) ([]speed, error) {
	if err := store.Migrate(ctx, database); err != nil {
		return nil, err
	}

	var all []speed
	for _, trip := range r.trips {
		for _, window := range []int{1, sqlWindow} {
			all = append(all, newSpeed("Postgres", window, trip, 0))
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4) // a server allows some 100 connections
	for i := range all {
		s := &all[i]
		g.Go(func() error {
			perSecond, err := readTripsAt(ctx, database, s.Trip, s.Window, run.Seed)
			*s = newSpeed(s.Server, s.Window, s.Trip, perSecond)
			return err
		})
	}
	return all, g.Wait()
}

// readTripsAt returns how many reads of a trip a second the store makes through
// a line, with window of them outstanding, each on a connection of its own.
func readTripsAt(ctx context.Context, database string, trip time.Duration, window int, seed uint64) (perSecond float64, err error) {
	u, err := url.Parse(database)
	if err != nil {
		return 0, err
	}
	l, err := line.Open(u.Host, line.OfRoundTrip(trip), seed)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	far, err := lineTo(l, database)
	if err != nil {
		return 0, err
	}

	rates := make([]float64, window)
	g, ctx := errgroup.WithContext(ctx)
	for i := range rates {
		g.Go(func() (err error) {
			rates[i], err = readTrips(ctx, far, turnsAt(trip))
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
// second.
func readTrips(ctx context.Context, database string, turns int) (perSecond float64, err error) {
	s, err := postgres.Open(ctx, database, postgres.Options{MaxConns: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	defer s.Close()

	var began, end time.Time
	for turn := range turns {
		if _, err := s.Trip(ctx, "none"); !errors.Is(err, trips.ErrNotFound) {
			return 0, fmt.Errorf("read a trip: %w", err)
		}
		if end = time.Now(); turn == warmTurns-1 {
			began = end
		}
	}
	return float64(turns-warmTurns) / end.Sub(began).Seconds(), nil
}
