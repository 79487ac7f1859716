package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ridehail/ridehail/lab"
	"github.com/ridehail/ridehail/lab/demo"
	"github.com/ridehail/ridehail/node"
)

type demoCmd struct {
	nodeFlags
	Drivers int           `help:"How many drivers." default:"200" range:"0..1000000"`
	Riders  int           `help:"How many riders." default:"80" range:"0..1000000"`
	Speed   float64       `help:"Seconds of city time per second." default:"5" range:"0.01..1000"`
	Seed    uint64        `help:"The same seed makes the same people, who want the same rides." default:"1"`
	Flaky   bool          `help:"Phones sometimes lose their connection and resume; the payment provider loses answers."`
	SOS     float64       `name:"sos" help:"Share of trips on which the driver, and the rider, calls for help; an operator answers through the admin API." default:"0.01" range:"0..1"`
	For     time.Duration `help:"End after this long with a summary. Default: never." range:"0s.."`
	Listen  string        `help:"Address of the page and the public API." default:"${demo_listen}"`
	Admin   string        `help:"Address of the admin API: metrics, profiles, operators' page. Default: none."`
	Data    string        `help:"Folder for the database; a second start continues from it." default:"data" type:"path"`
	JSON    bool          `help:"Print the summary as one JSON object."`
}

func (demoCmd) Help() string {
	return "Needs nothing else. Example: ridehail demo --drivers 300 --for 60s --json\n\n" +
		"About two rides a second are recorded hop by hop, for the page /xray: all of them, unless more than 1440 riders at --speed 1 " +
		"(288 at 5) want rides. Its switches break the lines between the parts; at the end all are mended before payments settle."
}

func (c *demoCmd) Run(ctx context.Context, p *process) error {
	unlock, err := demo.ClaimFolder(c.Data)
	if err != nil {
		return err
	}
	defer unlock()

	live, screen, logger := !c.JSON && isTerminal(p.out), p.logs, p.log
	if live { // log lines would damage the picture
		f, err := os.OpenFile(filepath.Join(c.Data, "ridehail.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("the log: %w", err)
		}
		defer f.Close()
		screen, logger = p.out, newProcess(p.out, f, p.level).log
	}

	sum, err := demo.Run(ctx, demo.Config{
		Node: node.Config{Listen: c.Listen, Admin: c.Admin, Database: c.Database, DatabaseConns: c.databaseConns(),
			Redis: c.Redis, City: c.City,
			Routing: c.Routing, Policy: c.Policy, Secret: []byte(developmentSecret), Speed: c.Speed},
		Drivers: c.Drivers, Riders: c.Riders, Seed: c.Seed, Flaky: c.Flaky, SOS: c.SOS, For: c.For, Data: c.Data,
		Experiments: lab.All(), Screen: screen, Live: live, Log: logger})
	if err != nil {
		return err
	}
	if err := p.printResult(c.JSON, sum, sum.Text()); err != nil {
		return err
	}
	if sum.Violations > 0 {
		return fmt.Errorf("%w: %d violations, such as: %s", errCheckFailed, sum.Violations, sum.Broken[0])
	}

	return nil
}
