package storm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"github.com/ridehail/ridehail/lab/finding"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/process"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators/loadgen"
)

// StormConfig configures the storm.
type StormConfig struct {
	Phones int // 50 or more
	Seed   uint64
	// Jitter has one element for each storm: whether phones wait a random time
	// before they reconnect.
	Jitter []bool
	// Steady is how long ordinary work is measured before each storm: 1 s or
	// more.
	Steady  time.Duration
	Program string // the ridehail program to run as the node [this one]
	// Database and Redis are URLs of stores. Empty ones are started.
	Database, Redis string
	Log             *slog.Logger
}

// StormFigures are the experiment's figures.
type StormFigures struct {
	Phones int   `json:"phones"`
	Storms []Cut `json:"storms"`
}

// Cut is the result of one cut. Statements and Away are in steps of a second,
// of which the first begins with the cut. Riding is the number of riders on a
// trip before it, Back that of phones that got a welcome after it, and the
// quantiles of Back are in seconds from the cut. Refused tries were told when
// to come back. Times and TimesCPU are ratios of the peak to the steady mean.
// Memory is resident, before and at most after the cut. Away counts at the end
// of each step.
type Cut struct {
	Jitter     bool      `json:"jitter"`
	Riding     int       `json:"riding"`
	Back       int       `json:"back"`
	P50        float64   `json:"back_p50_s"`
	P99        float64   `json:"back_p99_s"`
	Max        float64   `json:"back_max_s"`
	Refused    int64     `json:"refused_with_hint"`
	Failed     int64     `json:"failed_otherwise"`
	Steady     float64   `json:"steady_statements_per_s"`
	SteadyPeak float64   `json:"steady_peak_statements_per_s"`
	Peak       float64   `json:"peak_statements_per_s"`
	Times      float64   `json:"times_steady"`
	SteadyCPU  float64   `json:"steady_postgres_cpus"`
	PeakCPU    float64   `json:"peak_postgres_cpus"`
	TimesCPU   float64   `json:"times_steady_cpus"`
	MemoryMB   float64   `json:"node_memory_mb"`
	PeakMB     float64   `json:"node_peak_mb"`
	Statements []float64 `json:"statements_per_s"`
	Away       []int     `json:"phones_away"`
}

const (
	phonesPerTrip = 10              // one phone in ten is a rider on a trip
	stormRide     = 2 * time.Minute // short, so that the load is soon steady
	stormFixes    = 2 * time.Second // between two positions
	// stormSettle is between the last welcome and measuring.
	stormSettle = 10 * time.Second
	stormWithin = 40 * time.Second // phones that take longer count as lost
	stormCalm   = 5                // steps measured after the last one is back
)

// RunStorm asks what it costs when all phones lose their connections at the
// same instant. It starts a node, and the stores that have no URL, and returns
// after all of them have ended.
func RunStorm(ctx context.Context, cfg StormConfig) (found finding.OldFinding, err error) {
	if cfg.Phones < 50 || len(cfg.Jitter) == 0 || cfg.Steady < time.Second {
		return finding.OldFinding{}, errors.New("a storm takes 50 phones or more, and a second or more of ordinary work before")
	}
	city, err := routing.Open("1")
	if err != nil {
		return finding.OldFinding{}, err
	}

	m := new(postgresMeter)
	defer m.close()

	bed, err := process.OpenTestbed(ctx, process.TestbedConfig{Program: cfg.Program, Database: cfg.Database, Redis: cfg.Redis,
		Interpose: m.interpose, NodeArgs: []string{"--speed", "1000"}})
	defer func() { err = errors.Join(err, bed.Close()) }()

	if err != nil {
		return finding.OldFinding{}, err
	}
	m.postgres = bed.PostgresPID()
	figures := StormFigures{Phones: cfg.Phones}
	for _, jitter := range cfg.Jitter {
		s, err := measureStorm(ctx, cfg, city, bed, m, jitter)
		if err != nil {
			return finding.OldFinding{}, err
		}
		figures.Storms = append(figures.Storms, s)
	}
	return finding.OldFinding{
		Experiment: "storm",
		Question:   "What does it cost when all phones lose their connections at the same instant?",
		Model:      stormModel(cfg),
		Figures:    figures,
		Says:       stormSentence(figures),
		Table:      stormTable(figures),
		Chart:      stormChart(figures),
	}, nil
}

// measureStorm connects the phones, measures their ordinary work, and cuts all
// connections.
func measureStorm(ctx context.Context, cfg StormConfig, city *routing.City, bed *process.Testbed, m *postgresMeter, jitter bool) (out Cut, err error) {
	rides := cfg.Phones / phonesPerTrip
	drivers := 2 * cfg.Phones / 5
	phones := loadgen.New(loadgen.Config{Server: bed.Server, City: city, Drivers: drivers, Riders: cfg.Phones - drivers,
		Rides: rides, Ride: stormRide, Fixes: stormFixes, Jitter: jitter, Seed: cfg.Seed})
	defer phones.Close()

	cfg.Log.Info("phones connect", "phones", cfg.Phones, "jitter", jitter)
	if err := phones.ConnectAll(ctx); err != nil {
		return out, err
	}

	for end := time.Now().Add(stormWithin); phones.CountRiding() < rides/2 && time.Now().Before(end); {
		if !sleep.For(ctx, lookEvery) {
			return out, ctx.Err()
		}
	}

	if !sleep.For(ctx, stormSettle) {
		return out, ctx.Err()
	}
	cfg.Log.Info("measuring ordinary work", "riding", phones.CountRiding(), "for", cfg.Steady)
	m.restart()
	if !sleep.For(ctx, cfg.Steady) {
		return out, ctx.Err()
	}
	calm := m.steps()
	out = Cut{Jitter: jitter, Riding: phones.CountRiding(), MemoryMB: readNodeMemory(ctx, bed.Admin)}
	out.Steady, out.SteadyPeak, out.SteadyCPU, _ = summarizeLoad(calm)

	cfg.Log.Info("the storm")
	m.restart()
	phones.CutConnections()
	if err := out.measureReturn(ctx, cfg.Phones, phones.ReturnTimes, bed, m); err != nil {
		return out, err
	}
	out.Refused, out.Failed = phones.Refusals()
	return out, nil
}

// measureReturn measures until stormCalm steps after all phones are back, or
// after stormWithin.
func (s *Cut) measureReturn(ctx context.Context, all int, back func() []time.Duration, bed *process.Testbed, m *postgresMeter) error {
	for left, second := stormCalm, 1; left > 0; second++ {
		if !sleep.For(ctx, time.Until(m.startedAt().Add(time.Duration(second)*time.Second))) {
			return ctx.Err()
		}
		away := all - len(back())
		s.Away = append(s.Away, away)
		s.PeakMB = max(s.PeakMB, readNodeMemory(ctx, bed.Admin))
		if away == 0 || time.Duration(second)*time.Second > stormWithin {
			left--
		}
	}

	steps := m.steps()
	_, s.Peak, _, s.PeakCPU = summarizeLoad(steps)
	for _, step := range steps {
		s.Statements = append(s.Statements, step.statements)
	}

	times := quantile.Sort(back())
	if s.Back = len(times); s.Back > 0 {
		at := func(share float64) float64 { return roundTo(times.At(share).Seconds(), 2) }
		s.P50, s.P99, s.Max = at(.5), at(.99), at(1)
	}
	s.Times, s.TimesCPU = divideLoads(s.Peak, s.Steady), divideLoads(s.PeakCPU, s.SteadyCPU)
	return nil
}

// divideLoads returns 0 for a load of 0.
func divideLoads(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return roundTo(a/b, 2)
}

const lookEvery = 250 * time.Millisecond

// readNodeMemory returns the node's resident memory in MB, or 0 if it cannot be
// read.
func readNodeMemory(ctx context.Context, admin string) float64 {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/metrics", nil)
	if err != nil {
		return 0
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "process_resident_memory_bytes "); ok {
			bytes, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return 0
			}
			return roundTo(bytes/1e6, 1)
		}
	}

	return 0
}

func stormModel(cfg StormConfig) []finding.OldParameter {
	return []finding.OldParameter{
		{"phones", fmt.Sprintf("%d: two drivers for three riders", cfg.Phones), "assumption"},
		{"on a trip", fmt.Sprintf("up to %d riders, each with a driver; %v a ride", cfg.Phones/phonesPerTrip, stormRide), "assumption"},
		{"positions", fmt.Sprintf("every %v of each driver", stormFixes), "assumption"},
		{"load", "statements that the node sends to Postgres, by the second; steady is the mean of ordinary work",
			"counted on the line between the two"},
		{"storm", "every phone closes its socket at the same instant, and comes back", "assumption"},
	}
}
