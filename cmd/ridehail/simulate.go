package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// simulatorFlags are those that drivers and riders share.
type simulatorFlags struct {
	Server  string        `help:"The node. Several with commas between: a phone that loses one tries the next." default:"http://127.0.0.1:8080"`
	City    string        `help:"The node's city: its seed or file." default:"1" placeholder:"SEED|FILE"`
	Speed   float64       `help:"Seconds of the city in a second; start the node with the same." default:"1"`
	Seed    uint64        `help:"The same seed makes the same people and wishes." default:"1"`
	Flaky   bool          `help:"Phones lose their connection now and then, and resume."`
	SOS     float64       `name:"sos" help:"Share of trips on which each of the two calls for help; they need an operator."`
	Codec   string        `help:"Subprotocol: proto or json." enum:"proto,json" default:"proto"`
	For     time.Duration `help:"Stop after this long. Default: never."`
	JSON    bool          `help:"Print one JSON object in the end."`
	Journal string        `help:"Keep what every phone saw and did, as JSON lines." placeholder:"FILE" type:"path"`
}

func (f *simulatorFlags) codec() wire.Codec {
	if f.Codec == "json" {
		return wire.JSON
	}
	return wire.Proto
}

// simulation runs people of a city until the context ends.
type simulation func(context.Context, *routing.City, *simulators.Stats, *journal.Journal) error

// simulate runs f with the city, for as long as wanted, and prints what it saw.
func (f *simulatorFlags) simulate(ctx context.Context, p *process, run simulation) (err error) {
	city, err := routing.Open(f.City)
	if err != nil {
		return fmt.Errorf("%w: city: %w", errUsage, err)
	}
	first, _, _ := strings.Cut(f.Server, ",")
	if err := answers(ctx, first); err != nil {
		return err
	}
	var kept *journal.Journal
	if f.Journal != "" {
		if kept, err = journal.Create(f.Journal); err != nil {
			return fmt.Errorf("%w: --journal: %w", errUsage, err)
		}
		defer func() { err = errors.Join(err, kept.Close()) }()
	}
	cancel := func() {}
	if f.For > 0 {
		ctx, cancel = context.WithTimeout(ctx, f.For)
	}
	defer cancel()
	stats := simulators.NewStats()
	err = run(ctx, city, stats, kept)
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return unreachable(err)
	}
	s := stats.Snapshot()
	if err := p.print(f.JSON, s, simulatorText(s)); err != nil {
		return err
	}
	if s.Violations > 0 {
		return fmt.Errorf("%w: the node broke %d promises, such as: %s", errCheckFailed, s.Violations, s.Named[0])
	}
	return nil
}

// answers checks that there is a node at all: a simulator's phones would try again forever.
func answers(ctx context.Context, server string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("%w: --server: %w", errUsage, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return unreachable(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s answers %s; is it a ridehail node?", errUnreachable, server, res.Status)
	}
	return nil
}

func simulatorText(s simulators.Snapshot) string {
	return fmt.Sprintf("fixes sent %d; offers %d, accepted %d, declined %d\n"+
		"trips requested %d, reserved %d, completed %d, cancelled %d, expired %d\n"+
		"chat sent %d, delivered %d; receipts %d; reconnects %d, resumed %d\n"+
		"calls for help %d, seen by an operator %d\n"+
		"update latency p50 %.2f ms, p99 %.2f ms over %d updates; broken promises %d\n",
		s.FixesSent, s.OffersSeen, s.OffersAccepted, s.OffersDeclined,
		s.TripsRequested, s.TripsReserved, s.TripsCompleted, s.TripsCancelled, s.TripsExpired,
		s.ChatSent, s.ChatDelivered, s.Receipts, s.Reconnects, s.Resumed, s.HelpAsked, s.HelpSeen,
		s.Latency.P50, s.Latency.P99, s.Latency.Count, s.Violations) + replayText(s.Trace)
}

type driversCmd struct {
	simulatorFlags
	Count   int     `help:"How many drivers." default:"200"`
	Rate    float64 `help:"Positions a second of each driver." default:"1"`
	Decline float64 `help:"Share of offers that are declined." default:"0.05"`
	Prefix  string  `help:"Of the drivers' ids." default:"driver"`
	Replay  string  `help:"Drive what is recorded in this CSV or GPX file instead, under the ids in it." placeholder:"FILE" type:"path"`

	ReplayOffers string `help:"What recorded cars do, who cannot follow a rider's wishes: decline every offer, or take none." enum:"decline,none" default:"decline"`
}

func (driversCmd) Help() string {
	return "Needs a node that gives development tokens. Example: ridehail serve --dev-tokens --speed 5 & ridehail drivers --count 500 --speed 5\n\n" +
		"A recording for --replay is a table with the columns id, time, lng and lat (heading and speed if known), or GPX tracks; " +
		"times are RFC 3339, Unix seconds or milliseconds. It ends after its last fix."
}

func (c *driversCmd) Run(ctx context.Context, p *process) error {
	if c.Replay != "" {
		return c.replay(ctx, p)
	}
	decline := c.Decline
	if decline == 0 {
		decline = -1 // none at all
	}
	return c.simulate(ctx, p, func(ctx context.Context, city *routing.City, stats *simulators.Stats, kept *journal.Journal) error {
		return simulators.RunDrivers(ctx, simulators.DriverConfig{Server: c.Server, City: city, Count: c.Count, Speed: c.Speed,
			Seed: c.Seed, Flaky: c.Flaky, SOS: c.SOS, Rate: c.Rate, Prefix: c.Prefix, Decline: decline, Codec: c.codec(), Stats: stats,
			Journal: kept, Log: p.log})
	})
}

type ridersCmd struct {
	simulatorFlags
	Count     int     `help:"How many people." default:"60"`
	PerMinute float64 `help:"How many of them want a ride in a minute of the city's time. Default: a twentieth."`
	Prefix    string  `help:"Of the riders' ids." default:"rider"`
}

func (ridersCmd) Help() string {
	return "Needs a node that gives development tokens. Example, beside drivers: ridehail riders --count 100 --speed 5"
}

func (c *ridersCmd) Run(ctx context.Context, p *process) error {
	return c.simulate(ctx, p, func(ctx context.Context, city *routing.City, stats *simulators.Stats, kept *journal.Journal) error {
		return simulators.RunRiders(ctx, simulators.RiderConfig{Server: c.Server, City: city, Count: c.Count, PerMinute: c.PerMinute,
			Speed: c.Speed, Seed: c.Seed, Flaky: c.Flaky, SOS: c.SOS, Prefix: c.Prefix, Codec: c.codec(), Stats: stats, Journal: kept,
			Log: p.log})
	})
}
