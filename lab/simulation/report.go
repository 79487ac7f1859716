package simulation

import (
	"context"
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
)

// Report compares policies for the same city, over one seed or more. A seed's
// people are the same under every policy.
type Report struct {
	City     string      `json:"city"`
	Drivers  int         `json:"drivers"`
	PerHour  float64     `json:"riders_per_hour"`
	Hours    float64     `json:"hours"`
	Begin    int         `json:"begin_hour"`
	Surge    bool        `json:"surge"`
	Policies []PolicySum `json:"policies"`
}

// Variant is a way to dispatch the city.
type Variant struct {
	Policy string
	Owners int
}

// Variants returns each policy with each number of owners.
func Variants(policies []string, owners []int) (all []Variant) {
	for _, p := range policies {
		for _, n := range owners {
			all = append(all, Variant{p, n})
		}
	}
	return all
}

// String names the variant in the table.
func (v Variant) String() string {
	if v.Owners <= 1 {
		return v.Policy
	}
	return fmt.Sprintf("%s, %d owners", v.Policy, v.Owners)
}

// PolicySum is the outcome of one policy with one number of owners: a run for each seed, and the figures
// over all runs.
type PolicySum struct {
	Policy  string            `json:"policy"`
	Owners  int               `json:"owners"`
	Figures map[string]Spread `json:"figures"`
	// These are relative to the first variant, seed by seed.
	Against map[string]Spread `json:"against_first,omitempty"`
	Runs    []Result          `json:"runs"`
}

// Spread is a figure over several seeds.
type Spread struct {
	Mean float64 `json:"mean"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
}

// ConsecutiveSeeds returns count seeds, from the first on.
func ConsecutiveSeeds(first uint64, count int) []uint64 {
	seeds := make([]uint64, count)
	for i := range seeds {
		seeds[i] = first + uint64(i)
	}
	return seeds
}

// Compare runs every variant on every seed, at most atOnce at a time. It calls
// onRun after each run with its duration, from several goroutines. The Report
// does not depend on time or order: the same arguments give the same bytes.
func Compare(ctx context.Context, cfg Config, variants []Variant, seeds []uint64, atOnce int, onRun func(Result, time.Duration)) (Report, error) {
	out := Report{City: cfg.cityName(), Drivers: cfg.Drivers, PerHour: cfg.RidersPerHour, Hours: cfg.Hours, Begin: cfg.Begin, Surge: cfg.Surge}
	runs := make([][]Result, len(variants))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, atOnce))

	for i := range variants {
		runs[i] = make([]Result, len(seeds))
		for j := range seeds {
			one := cfg
			one.Policy, one.Owners, one.Seed = variants[i].Policy, variants[i].Owners, seeds[j]

			g.Go(func() error {
				begin := time.Now()
				r, err := Run(ctx, one)
				if err == nil {
					runs[i][j] = r
					onRun(r, time.Since(begin))
				}
				return err
			})
		}
	}

	if err := g.Wait(); err != nil {
		return Report{}, err
	}

	for i, v := range variants {
		out.Policies = append(out.Policies, sumUpPolicy(v, runs[i], runs[0]))
	}

	return out, nil
}

// sumUpPolicy computes the figures of a variant's runs, and compares them with
// the first variant's runs unless they are the same.
func sumUpPolicy(v Variant, runs, first []Result) PolicySum {
	p := PolicySum{Policy: v.Policy, Owners: v.Owners, Figures: map[string]Spread{}, Runs: runs}
	for _, f := range figures {
		p.Figures[f.key] = computeSpread(len(runs), func(j int) float64 { return f.of(runs[j]) })
	}
	if len(runs) == 0 || &runs[0] == &first[0] {
		return p
	}

	p.Against = map[string]Spread{}
	for _, f := range figures {
		if f.compared {
			p.Against[f.key] = computeSpread(len(runs), func(j int) float64 { return relativeChange(f.of(runs[j]), f.of(first[j])) })
		}
	}

	return p
}

func (c Config) cityName() string {
	if c.City == nil {
		return ""
	}
	return c.City.Name()
}

func computeSpread(n int, at func(int) float64) Spread {
	s := Spread{Min: math.Inf(1), Max: math.Inf(-1)}
	for i := range n {
		v := at(i)
		s.Mean, s.Min, s.Max = s.Mean+v/float64(n), min(s.Min, v), max(s.Max, v)
	}
	return s
}

// relativeChange returns a/b - 1, or 0 when b is 0.
func relativeChange(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a/b - 1
}

// figure is a line of the table.
type figure struct {
	key, words string
	digits     int
	compared   bool
	of         func(Result) float64
}

func countFigure(of func(Result) int) func(Result) float64 {
	return func(r Result) float64 { return float64(of(r)) }
}

var figures = []figure{
	{"wishes", "looked at a price", 0, false, countFigure(func(r Result) int { return r.Wishes })},
	{"priced_out", "walked away from it", 0, false, countFigure(func(r Result) int { return r.PricedOut })},
	{"requests", "requests", 0, true, countFigure(func(r Result) int { return r.Requests })},
	{"completed", "completed", 0, true, countFigure(func(r Result) int { return r.Completed })},
	{"expired", "expired", 0, false, countFigure(func(r Result) int { return r.Expired })},
	{"cancelled", "cancelled by riders", 0, false, countFigure(func(r Result) int { return r.Cancelled })},
	{"open", "under way at the end", 0, false, countFigure(func(r Result) int { return r.Open })},
	{"wait_p50_s", "pickup wait p50, s", 0, true, func(r Result) float64 { return r.WaitS.P50 }},
	{"wait_p90_s", "pickup wait p90, s", 0, true, func(r Result) float64 { return r.WaitS.P90 }},
	{"wait_max_s", "pickup wait max, s", 0, false, func(r Result) float64 { return r.WaitS.Max }},
	{"reserve_p50_s", "until a driver accepted p50, s", 1, false, func(r Result) float64 { return r.ReserveS.P50 }},
	{"offers", "offers", 0, false, countFigure(func(r Result) int { return r.Offers })},
	{"declined", "declined", 0, false, countFigure(func(r Result) int { return r.Declined })},
	{"refused_offers", "refused: held by another owner", 0, false, countFigure(func(r Result) int { return r.Refused })},
	{"offers_max_by_min", "offers, busiest owner by idlest", 2, false, func(r Result) float64 { return r.OfferShare }},
	{"empty_km", "empty km", 0, true, func(r Result) float64 { return r.EmptyKm }},
	{"loaded_km", "km with a rider", 0, true, func(r Result) float64 { return r.LoadedKm }},
	{"utilisation", "share of duty with a rider", 3, true, func(r Result) float64 { return r.Utilisation }},
	{"revenue", "revenue", 0, true, func(r Result) float64 { return float64(r.Revenue) / 100 }},
	{"surge_mean", "price shown, mean", 2, false, func(r Result) float64 { return r.Surge }},
	{"surge_max", "price shown, max", 1, false, func(r Result) float64 { return r.SurgeMax }},
	{"window_mean", "trips in a window, mean", 1, false, func(r Result) float64 { return r.WindowMean }},
	{"window_max", "trips in a window, max", 0, false, countFigure(func(r Result) int { return r.WindowMax })},
	{"by_air_wrong", "nearest by air not first by road", 3, false, func(r Result) float64 { return r.ByAir.Wrong }},
	{"by_air_mean_s", "seconds that would cost, mean of these", 0, false, func(r Result) float64 { return r.ByAir.MeanS }},
	{"by_air_p90_s", "seconds that would cost, p90 of these", 0, false, func(r Result) float64 { return r.ByAir.P90S }},
}

// Text formats the report for a person, the policies side by side.
func (r Report) Text() string {
	var b strings.Builder
	prices := "prices follow demand"
	if !r.Surge {
		prices = "plain prices"
	}

	fmt.Fprintf(&b, "%s: %d drivers, %g riders per hour on the mean of a day, %g h from %d:00, %s, %s\n\n",
		r.City, r.Drivers, r.PerHour, r.Hours, r.Begin, prices, r.formatSeeds())
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, p := range r.Policies {
		fmt.Fprintf(w, "\t%s", p.variant())
	}
	fmt.Fprintln(w)

	for _, f := range figures {
		fmt.Fprint(w, f.words)
		for _, p := range r.Policies {
			fmt.Fprintf(w, "\t%s", p.Figures[f.key].formatMean(f.digits))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // into memory

	for i, p := range r.Policies {
		if i == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s against %s, seed by seed: completed %s, pickup wait p50 %s, p90 %s, revenue %s\n", p.variant(), r.Policies[0].variant(),
			p.Against["completed"].formatPercent(), p.Against["wait_p50_s"].formatPercent(), p.Against["wait_p90_s"].formatPercent(), p.Against["revenue"].formatPercent())
	}

	return b.String()
}

func (p PolicySum) variant() Variant { return Variant{p.Policy, p.Owners} }

func (r Report) formatSeeds() string {
	if len(r.Policies) == 0 || len(r.Policies[0].Runs) == 0 {
		return "no seed"
	}
	runs := r.Policies[0].Runs
	if len(runs) == 1 {
		return fmt.Sprintf("seed %d", runs[0].Seed)
	}
	return fmt.Sprintf("seeds %d to %d: mean (least to most)", runs[0].Seed, runs[len(runs)-1].Seed)
}

func (s Spread) formatMean(digits int) string {
	mean := fmt.Sprintf("%.*f", digits, s.Mean)
	if s.Min == s.Max {
		return mean
	}
	return fmt.Sprintf("%s (%.*f to %.*f)", mean, digits, s.Min, digits, s.Max)
}

func (s Spread) formatPercent() string {
	mean := fmt.Sprintf("%+.1f %%", 100*s.Mean)
	if s.Min == s.Max {
		return mean
	}
	return fmt.Sprintf("%s (%+.1f to %+.1f)", mean, 100*s.Min, 100*s.Max)
}
