package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ridehail/ridehail/simulators/intruder"
)

// intruderCmd is a tool of chaos, and a test of any node.
type intruderCmd struct {
	Server  string `help:"URLs of the nodes, with commas between." default:"http://127.0.0.1:8080"`
	Targets string `help:"Trips to attack, as JSON lines with trip, rider and driver. The file is read again before each attempt." required:"" placeholder:"FILE" type:"path"`
	Journal string `help:"Write each attempt and its outcome to this file, as JSON lines." placeholder:"FILE" type:"path"`
	Seed    uint64 `help:"Decides the order of attempts." default:"1"`
	Rounds  int    `help:"How many times to make all attempts. Default: until interrupted." range:"0.."`
	JSON    bool   `help:"Print one JSON object at the end."`
}

func (intruderCmd) Help() string {
	return "Exit code 1 when anything got through. Needs a node that gives development tokens. " +
		"Example: ridehail intruder --targets trips.jsonl --rounds 1"
}

func (c *intruderCmd) Run(ctx context.Context, p *process) (err error) {
	cfg := intruder.Config{Servers: strings.Split(c.Server, ","), Seed: c.Seed, Rounds: c.Rounds, Log: p.log,
		Targets: func() []intruder.Target { return intruder.ReadTargets(c.Targets) }}
	if c.Journal != "" {
		f, err := os.Create(c.Journal)
		if err != nil {
			return fmt.Errorf("%w: --journal: %w", errUsage, err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		cfg.Journal = f
	}

	r, err := intruder.Run(ctx, cfg)
	if err != nil {
		return err
	}

	text := fmt.Sprintf("tried %d, refused %d, without an answer %d; accepted %d, told %d bytes of others\n",
		r.Tried, r.Refused, r.Unanswered, r.Accepted, r.Foreign)
	if err := p.printResult(c.JSON, r, text); err != nil {
		return err
	}
	if len(r.Rows) > 0 {
		return fmt.Errorf("%w: the intruder got through, such as: %s", errCheckFailed, r.Rows[0])
	}

	return nil
}
