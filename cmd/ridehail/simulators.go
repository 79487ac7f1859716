package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// simulatorFlags are the flags that drivers and riders share.
type simulatorFlags struct {
	Server  string        `help:"URL of the node, or several with commas between: a phone that loses one tries the next." default:"http://127.0.0.1:8080"`
	Spread  bool          `help:"Each phone begins at a node drawn by the seed, instead of at the first; for several nodes."`
	City    string        `help:"The node's city: its seed or file." default:"1" placeholder:"SEED|FILE"`
	Speed   *float64      `help:"Seconds of city time per second. Default: the node's; another one is refused." placeholder:"X" range:"0.01..1000"`
	Seed    uint64        `help:"The same seed makes the same people, who want the same rides." default:"1"`
	Flaky   bool          `help:"Phones sometimes lose their connection, and resume."`
	SOS     float64       `name:"sos" help:"Share of trips on which the driver, and the rider, calls for help; they need an operator." range:"0..1"`
	Codec   string        `help:"Subprotocol: proto or json." enum:"proto,json" default:"proto"`
	For     time.Duration `help:"Stop after this long. Default: never." range:"0s.."`
	JSON    bool          `help:"Print one JSON object at the end."`
	Journal string        `help:"Write what every phone saw and did to this file, as JSON lines." placeholder:"FILE" type:"path"`
}

// speed returns the speed that was asked for, or 0 for the node's.
func (f *simulatorFlags) speed() (float64, error) {
	if f.Speed == nil {
		return 0, nil
	}
	if !(*f.Speed > 0) || math.IsInf(*f.Speed, 0) {
		return 0, fmt.Errorf("%w: --speed %g: give a number above 0, or leave it out for the node's", errUsage, *f.Speed)
	}
	return *f.Speed, nil
}

// parseCodec returns the codec of a subprotocol's name, proto or json.
func parseCodec(name string) wire.Codec {
	if name == "json" {
		return wire.JSON
	}
	return wire.Proto
}

// runPeople runs people of a city until the context ends. A speed of 0 is the
// node's.
type runPeople func(ctx context.Context, city *routing.City, speed float64, stats *simulators.Stats, kept *journal.Journal) error

// runSimulator calls run with the city, the statistics and the journal, stops
// it when its time is over, and prints what it saw.
func (f *simulatorFlags) runSimulator(ctx context.Context, p *process, run runPeople) (err error) {
	speed, err := f.speed()
	if err != nil {
		return err
	}

	city, err := routing.Open(f.City)
	if err != nil {
		return fmt.Errorf("%w: city: %w", errUsage, err)
	}

	first, _, _ := strings.Cut(f.Server, ",")
	if err := checkServer(ctx, first); err != nil {
		return err
	}

	kept, err := createJournal(f.Journal)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()

	if f.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.For)
		defer cancel()
	}

	stats := simulators.NewStats()
	err = run(ctx, city, speed, stats, kept)
	if errors.Is(err, simulators.ErrMismatch) {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return markUnreachable(err)
	}

	s := stats.Snapshot()
	if err := p.printResult(f.JSON, s, s.Text()); err != nil {
		return err
	}
	if s.Violations > 0 {
		return fmt.Errorf("%w: the node broke %d promises, such as: %s", errCheckFailed, s.Violations, s.ViolationTexts[0])
	}
	return nil
}

// checkServer fails if no node answers at a URL. Without this check the phones
// of a simulator would try again forever.
func checkServer(ctx context.Context, server string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("%w: --server: %w", errUsage, err)
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return markUnreachable(err)
	}

	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s answers %s; is it a ridehail node?", errUnreachable, server, res.Status)
	}

	return nil
}
