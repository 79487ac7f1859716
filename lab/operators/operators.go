// Package operators simulates the people who run a city. They acknowledge calls
// for help through the admin API and refund fares, as people do at the page
// /ops and with `ridehail refund`.
package operators

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
)

// Config says what the operators do.
type Config struct {
	Admin []string // URLs of admin APIs; one that does not answer is skipped
	// Seed decides which fares are refunded, and how long each call takes.
	Seed    uint64
	Journal *journal.Journal
	Log     *slog.Logger

	// RefundShare is the share of paid trips. If it is 0, the fields below are
	// not used.
	RefundShare    float64
	Database       string
	Provider       string // URL of the payment provider
	ProviderSecret string
}

// Run works until ctx ends, and returns what was done. It returns an error
// only if something else than ctx ended the work.
func Run(ctx context.Context, cfg Config) (simulators.Snapshot, error) {
	stats := simulators.NewStats()
	group, working := errgroup.WithContext(ctx)
	group.Go(func() error {
		return simulators.RunOperator(working, simulators.OperatorConfig{AdminURLs: cfg.Admin, Seed: cfg.Seed,
			Stats: stats, Journal: cfg.Journal, Log: cfg.Log})
	})
	if cfg.RefundShare > 0 {
		group.Go(func() error { return refundShare(working, cfg) })
	}
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return simulators.Snapshot{}, err
	}
	return stats.Snapshot(), nil
}

// refundShare refunds a share of the paid trips, each once, until ctx ends. A
// refund that fails is tried again a second later.
func refundShare(ctx context.Context, cfg Config) error {
	db, closeStore, err := store.OpenExisting(ctx, cfg.Database)
	if err != nil {
		return err
	}
	defer func() { _ = closeStore() }()

	settler := payments.NewSettler(db, cfg.Provider, cfg.ProviderSecret, time.Now)
	refunded := map[trips.TripID]bool{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}

		for _, id := range listRefundable(ctx, db, cfg, refunded) {
			r, err := settler.RefundTrip(ctx, id, "given back in a simulation")
			if refunded[id] = err == nil; err != nil {
				cfg.Log.Debug("a fare was not given back yet", "trip", id, "state", r.State, "err", err)
			}
		}
	}
}

// listRefundable returns paid trips that were chosen for a refund and did not
// get it yet. If the database cannot be read to the end, it returns those it
// found; the next call reads the rest.
func listRefundable(ctx context.Context, db store.Store, cfg Config, refunded map[trips.TripID]bool) (ids []trips.TripID) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = db.AuditCharges(ctx, func(charge payments.Charge) error {
		if !refunded[charge.Trip] && isChosen(cfg, charge.Trip) {
			ids = append(ids, charge.Trip)
		}
		return nil
	})
	return ids
}

// isChosen depends on seed and trip id alone, so that a trip's answer never
// changes.
func isChosen(cfg Config, id trips.TripID) bool {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, cfg.Seed, id)
	return float64(h.Sum64()%1000) < cfg.RefundShare*1000
}
