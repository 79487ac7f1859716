package distance

import (
	"fmt"
	"slices"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// longWay is the shortest round trip at which waiting for a core does not
// matter: ten times the noise of a busy machine.
const longWay = 10 * time.Millisecond

// leastShare is how much of window / round trip must be reached there.
const leastShare = 0.5

func (r rtt) judgeClaims(f rttFigures) []finding.Claim {
	most, least := 0.0, 1.0
	for _, s := range slices.Concat(f.redis, f.sql) {
		most = max(most, s.Share)
		if s.RoundTrip >= longWay {
			least = min(least, s.Share)
		}
	}

	waits := f.ride.roundTrips()
	return []finding.Claim{
		{Text: "never above window / RTT", Law: "rate <= window / RTT", Source: "Little 1961", Exact: true,
			Want: "<= 1", Got: fmt.Sprintf("%.3f of it", most), Holds: most > 0 && most <= 1},
		{Text: "from 10 ms on at least half of it", Law: "distance is the wait", Source: "Dean 2009",
			Want: fmt.Sprintf(">= %.1f", leastShare), Got: fmt.Sprintf("%.2f", least), Holds: least >= leastShare},
		{Text: "a ride waits for 6 round trips", Law: "time >= n x RTT", Source: "Cheshire 1996", Exact: true,
			Want: fmt.Sprint(rideRoundTrips), Got: fmt.Sprintf("%g", waits), Holds: waits == rideRoundTrips && f.ride.Far >= rideRoundTrips*cityAway},
	}
}

func (r rtt) buildResult(f rttFigures, parts []finding.Part) finding.Result {
	figures := map[string]any{"redis": f.redis, "sql": f.sql, "rides": f.ride.Rides, "city_away_ms": toMilliseconds(cityAway),
		"ride_near_ms": toMilliseconds(f.ride.Near), "ride_far_ms": toMilliseconds(f.ride.Far)}
	if f.ride.Database > 0 {
		figures["ride_far_database_ms"] = toMilliseconds(f.ride.Database)
	}
	return finding.Result{Seen: r.seenOption(f), Table: r.buildTable(f), Chart: r.buildChart(f), Claims: r.judgeClaims(f), Notice: r.wordNotices(f), Parts: parts, Figures: figures}
}

// speedAt returns the speed with a window at a distance.
func (f rttFigures) speedAt(roundTrip time.Duration, window int) speed {
	i := slices.IndexFunc(f.redis, func(s speed) bool { return s.RoundTrip == roundTrip && s.Window == window })
	if i < 0 {
		return speed{}
	}
	return f.redis[i]
}

// seenOption returns which option came true, at the distance of the situation.
func (r rtt) seenOption(f rttFigures) int {
	alone, together := f.speedAt(cityAway, 1).PerSecond, f.speedAt(cityAway, r.windows[2]).PerSecond
	switch {
	case alone > 1000:
		return 0
	case alone > 0 && together > float64(r.windows[2])/4*alone:
		return 1
	case alone > 0 && together < 2*alone:
		return 2
	}
	return -1
}

func (r rtt) buildTable(f rttFigures) finding.Table {
	t := finding.Table{Columns: []string{"round trip"}}

	heading := "Redis, %d under way"
	if len(f.sql) > 0 {
		heading = "Redis, %d" // more would not fit beside it
	}
	for _, w := range r.windows {
		t.Columns = append(t.Columns, fmt.Sprintf(heading, w))
	}
	if len(f.sql) > 0 {
		t.Columns = append(t.Columns, "SQL, 1", fmt.Sprintf("SQL, %d", sqlWindow))
	}

	for i, roundTrip := range r.roundTrips {
		row := []string{fmt.Sprintf("%.0f ms", toMilliseconds(roundTrip))}
		for _, w := range r.windows {
			row = append(row, f.speedAt(roundTrip, w).formatSpeed())
		}
		if len(f.sql) > 0 {
			row = append(row, f.sql[2*i].formatSpeed(), f.sql[2*i+1].formatSpeed())
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// formatSpeed is the rate, with its share of the law where there is one.
func (s speed) formatSpeed() string {
	if s.RoundTrip == 0 {
		return fmt.Sprintf("%.0f/s", s.PerSecond)
	}
	return fmt.Sprintf("%.0f/s (%.2f)", s.PerSecond, s.Share)
}

func (r rtt) buildChart(f rttFigures) plot.Chart {
	c := r.emptyChart()
	measured := c.Panels[0].Curves[len(r.windows):] // after the laws
	for i, w := range r.windows {
		for _, roundTrip := range r.roundTrips[1:] {
			measured[i].Points = append(measured[i].Points, plot.Point{X: toMilliseconds(roundTrip), Y: f.speedAt(roundTrip, w).PerSecond})
		}
	}
	return c
}

func (r rtt) wordNotices(f rttFigures) []string {
	alone, wide := f.speedAt(cityAway, 1), f.speedAt(cityAway, r.windows[2])
	out := []string{
		fmt.Sprintf("40 ms away: %.0f a second one by one, %.0f with %d under way (in brackets: share of the law).",
			alone.PerSecond, wide.PerSecond, wide.Window),
		fmt.Sprintf("A ride with phones 40 ms away waited %g x 40 = %.0f ms and took %.0f; beside the node, %.0f.",
			f.ride.roundTrips(), f.ride.roundTrips()*toMilliseconds(cityAway), toMilliseconds(f.ride.Far), toMilliseconds(f.ride.Near)),
	}

	if f.ride.Database > 0 {
		return append(out, fmt.Sprintf("With the node's Postgres 40 ms away a ride took %.0f ms: it waited for it %d times at most.",
			toMilliseconds(f.ride.Database), roundTripsWithin(f.ride.Database)))
	}
	return append(out, fmt.Sprintf("The node's Redis was 40 ms away in both; a ride waited for it %d times at most: news go out later.",
		roundTripsWithin(f.ride.Near)))
}
