package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
)

// operatorsCmd is for cities that are simulated whole: real operators have the page at /ops and ridehail refund.
type operatorsCmd struct {
	Admin          []string      `help:"Admin doors of the nodes; one that does not answer is passed over." default:"http://127.0.0.1:9090" placeholder:"URL"`
	Refund         float64       `help:"Share of paid trips whose fare is given back; needs --database and --provider."`
	Database       string        `help:"postgres://USER@HOST/NAME, or a SQLite file." placeholder:"URL"`
	Provider       string        `help:"The payment provider." placeholder:"URL"`
	ProviderSecret string        `help:"Our key at the payment provider." env:"RIDEHAIL_PROVIDER_SECRET" default:"sk_test" placeholder:"TEXT"`
	Seed           uint64        `help:"Of what is given back, and how long each call is thought about." default:"1"`
	For            time.Duration `help:"Stop after this long. Default: never."`
	JSON           bool          `help:"Print one JSON object in the end."`
	Journal        string        `help:"Keep what was done, as JSON lines." placeholder:"FILE" type:"path"`
}

func (operatorsCmd) Help() string {
	return "Acknowledges calls for help and gives fares back, as operators would. Example, beside riders --sos 0.1: ridehail operators"
}

func (c *operatorsCmd) Run(ctx context.Context, p *process) (err error) {
	var kept *journal.Journal
	if c.Journal != "" {
		if kept, err = journal.Create(c.Journal); err != nil {
			return fmt.Errorf("%w: --journal: %w", errUsage, err)
		}
		defer func() { err = errors.Join(err, kept.Close()) }()
	}
	if c.Refund > 0 && (c.Database == "" || c.Provider == "") {
		return fmt.Errorf("%w: --refund needs --database and --provider", errUsage)
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	stats := simulators.NewStats()
	team, both := errgroup.WithContext(ctx)
	team.Go(func() error {
		return simulators.RunOperator(both, simulators.OperatorConfig{Doors: c.Admin, Seed: c.Seed, Stats: stats, Journal: kept, Log: p.log})
	})
	if c.Refund > 0 {
		team.Go(func() error { return c.refunds(both, p) })
	}
	if err := team.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	s := stats.Snapshot()
	return p.print(c.JSON, s, fmt.Sprintf("calls for help acknowledged %d, gone before %d\n", s.Helped, s.Refused))
}

// refunds gives back a share of what is paid, each trip's fare once, until ctx ends.
func (c *operatorsCmd) refunds(ctx context.Context, p *process) error {
	db, closeIt, err := store.Open(ctx, c.Database)
	if err != nil {
		return err
	}
	defer func() { _ = closeIt() }()
	settler, done := newSettler(db, c.Provider, c.ProviderSecret), map[trips.TripID]bool{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, id := range c.due(ctx, db, done) {
			r, err := settler.Refund(ctx, id, "given back in a simulation")
			if done[id] = err == nil; err != nil {
				p.log.Debug("a fare was not given back yet", "trip", id, "state", r.State, "err", err)
			}
		}
	}
}

// due lists paid trips whose fare is to be given back and was not; fewer when the database cannot be read now.
func (c *operatorsCmd) due(ctx context.Context, db store.Store, done map[trips.TripID]bool) (ids []trips.TripID) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = db.AuditCharges(ctx, func(charge payments.Charge) error { // the next look reads the rest
		if !done[charge.Trip] && c.chosen(charge.Trip) {
			ids = append(ids, charge.Trip)
		}
		return nil
	})
	return ids
}

// chosen draws by the trip's id, so that a trip looked at twice has one fate.
func (c *operatorsCmd) chosen(id trips.TripID) bool {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, c.Seed, id)
	return float64(h.Sum64()%1000) < c.Refund*1000
}
