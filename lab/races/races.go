// Package races holds the lab's experiments about what is shared: updates that
// get lost, drivers who are promised twice, and owners who sleep through the
// end of their lease.
package races

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/finding"
)

const updates = 400

// Races returns the experiment races.
func Races() finding.Experiment {
	return finding.Experiment{
		Name:      "races",
		Topic:     finding.Consistency,
		Asks:      []string{"R5", "P3"},
		Question:  "Where do updates get lost, and what repairs that?",
		Teaser:    "lost updates",
		Situation: "Workers count to 400 in memory: each reads, waits, writes what it read + 1. How many are kept?",
		Options:   []string{"all 400", "300 to 399", "100 to 299", "fewer than 100"},
		Takes:     3 * time.Second, TakesRedis: true, TakesDatabase: true,
		Knobs: []finding.Knob{
			{Name: "workers", Label: "Workers that count", Help: "How many count at the same time.", Default: 8, Low: 1, High: 64, Step: 1, Log: true},
			{Name: "window", Label: "Wait between reading and writing", Help: "How long a worker thinks, at least; 0: not at all.",
				Unit: "ms", Default: 0.1, Low: 0, High: 5, Step: 0.1},
			{Name: "as", Label: "Told as", Help: "Words the same runs as rides or as a shop's stock.", Choices: []string{"ride", "shop"}},
		},
		Real: "sharedstate, store and its unique index, Redis, SQL",
		Made: "workers, wait, broken ways",
		Code: []finding.Code{
			{File: "lab/broken/races.go", Func: "ReadThenWrite", Why: "mistake"},
			{File: "sharedstate/drivers.go", Func: "Drivers.Reserve", Why: "repair"},
		},
		Next:  "--window 0, and memory hides the bug: your test will not find it",
		Frame: func(finding.Values) plot.Chart { return raceChart(raceFigures{}) },
		Run:   runRaces,
	}
}

// raceFigures are what a run counted.
type raceFigures struct {
	Workers  int           `json:"workers"`
	WindowMs float64       `json:"window_ms"`
	Updates  int           `json:"updates"`
	Counters []counterSeen `json:"counters"`
	Bookings []bookingSeen `json:"bookings"`
}

// counterSeen is what one way to count kept.
type counterSeen struct {
	Place    string `json:"place"`
	How      string `json:"how"`
	Repaired bool   `json:"repaired"`
	Kept     int    `json:"kept"`
	// Linearizable says whether some order explains what the workers saw.
	Linearizable  bool   `json:"linearizable"`
	Contradiction []step `json:"shortest_contradiction,omitempty"`
}

// bookingSeen is what one way to book did.
type bookingSeen struct {
	How      string `json:"how"`
	Repaired bool   `json:"repaired"`
	Twice    int    `json:"drivers_promised_twice"`
}

func runRaces(ctx context.Context, run *finding.Run) (found finding.Result, err error) {
	f := raceFigures{Workers: run.Int("workers"), WindowMs: run.Number("window"), Updates: updates}
	think := func() {}
	if window := run.Milliseconds("window"); window > 0 {
		think = func() { sleep.For(ctx, window) }
	}

	r, err := openRedis(ctx, run.Redis)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	db, err := openDatabase(ctx, run.Database)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, db.close()) }()

	if err := f.countAll(ctx, run, r, db, think); err != nil {
		return found, err
	}
	if err := f.bookAll(ctx, run, db, think); err != nil {
		return found, err
	}

	w := wordsFor(run.Choice("as"))
	redisPart, sqlPart := r.where, db.scratch.Part
	redisPart.Count, sqlPart.Count = fmt.Sprintf("%d updates", 2*updates), fmt.Sprintf("%d updates, %d trips", 3*updates, requests)
	return finding.Result{Seen: f.optionSeen(), Table: raceTable(f, w), Chart: raceChart(f), Claims: judgeRaces(f), Notice: noticeRaces(f, w),
		Parts: []finding.Part{{Name: "sharedstate", Where: "this process", Count: fmt.Sprintf("%d bookings", 4*requests)}, redisPart, sqlPart}, Figures: f}, nil
}

// countAll is the first part: one number, counted up in every way.
func (f *raceFigures) countAll(ctx context.Context, run *finding.Run, r *redisServer, db *database, think func()) error {
	if err := r.createCounters(ctx); err != nil {
		return fmt.Errorf("%w: redis: %w", finding.ErrUnreachable, err)
	}
	if err := db.createCounters(ctx); err != nil {
		return err
	}

	memory, stop := inMemory(ctx)
	defer stop()
	for i, c := range append(append(memory, inRedis(ctx, r.client, r.prefix)...), inSQL(ctx, db.sql)...) {
		kept, history, err := countUp(ctx, c, f.Workers, updates, think)
		if err != nil {
			return err
		}

		steps := describeSteps(findContradiction(history))
		seen := counterSeen{Place: c.place, How: c.how, Repaired: c.repaired, Kept: kept, Linearizable: len(steps) == 0, Contradiction: steps}
		f.Counters = append(f.Counters, seen)

		panel, place := memoryPanel, i
		if i >= len(memory) {
			panel, place = serverPanel, i-len(memory)
		}
		run.Point(panel, float64(place), lostPercent(seen))
	}
	return nil
}

// bookAll is the second part: drivers for trips.
func (f *raceFigures) bookAll(ctx context.Context, run *finding.Run, db *database, think func()) error {
	open, err := openTrips(ctx, db, run.Seed, requests)
	if err != nil {
		return err
	}
	for i, b := range listBookers(ctx, db, run.Seed) {
		twice, err := bookAll(ctx, b, open, think)
		if err != nil {
			return err
		}
		f.Bookings = append(f.Bookings, bookingSeen{b.how, b.repaired, twice})
		run.Point(bookingPanel, float64(i), twicePercent(f.Bookings[i]))
	}

	// What the riders were told of the unique index must be what the store
	// kept.
	kept, err := db.TripsWithDriver(ctx)
	if err != nil {
		return err
	}
	last := &f.Bookings[len(f.Bookings)-1]
	last.Twice = max(last.Twice, countTwice(driversOf(kept)))
	return nil
}

// brokenCounter returns what the way without a repair did in a place.
func (f raceFigures) brokenCounter(place string) (seen counterSeen) {
	for _, c := range f.Counters {
		if c.Place == place && !c.Repaired {
			return c
		}
	}
	return seen
}

// optionSeen returns which option came true.
func (f raceFigures) optionSeen() int {
	switch kept := f.brokenCounter("memory").Kept; {
	case kept == f.Updates:
		return 0
	case kept >= 300:
		return 1
	case kept >= 100:
		return 2
	}
	return 3
}
