package memory

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/finding/findingtest"
)

// usual returns timings as they were seen on two cores.
func usual() []timing {
	cost := func(name string, b band, here, away time.Duration) timing {
		return timing{rung: rung{name: name, band: b}, cost: []time.Duration{here, 2 * here}, away: away}
	}
	return []timing{
		cost(snapRung, inMemory, 5, 0), cost(mutexRung, inMemory, 19, 0), cost(appRung, inMemory, 44, 0),
		cost(ownerRung, byChannel, 450, 0),
		cost(unixRung, byKernel, 4500, 0), cost(tcpRung, byKernel, 6400, 1_100_000), cost(httpRung, byKernel, 75_000, 1_250_000),
		cost(commitRung, byDisk, 600_000, 0),
	}
}

func TestEachClaimOfTheLadderCanFail(t *testing.T) {
	values := newRun(t, Ladder(), nil).Values
	if got := failing(judgeLadder(values, usual())); len(got) > 0 {
		t.Errorf("claims %v do not hold of usual figures", got)
	}

	for name, broken := range map[string]struct {
		rung       string
		here, away time.Duration
		fails      int
	}{
		"the app's state behind a channel":  {appRung, 450, 0, 0},
		"a socket without the kernel":       {unixRung, 1000, 0, 1},
		"a commit that waits for no disk":   {commitRung, 25_000, 0, 2},
		"an answer of three round trips":    {httpRung, 75_000, 3_200_000, 3},
		"a line that is shorter than it is": {tcpRung, 6400, 900_000, 3},
	} {
		timings := usual()
		at := slices.IndexFunc(timings, func(t timing) bool { return t.name == broken.rung })
		timings[at].cost[0], timings[at].away = broken.here, broken.away
		if got := failing(judgeLadder(values, timings)); !slices.Equal(got, []int{broken.fails}) {
			t.Errorf("%s: claims %v do not hold, want %d", name, got, broken.fails)
		}
	}
}

func usualNames() (out []string) {
	for _, usual := range usualRungs {
		out = append(out, usual.name)
	}
	return out
}

func TestTheLadderRunsAndCanBeShown(t *testing.T) {
	slowtest.Require(t)
	f := checkShown(t, Ladder(), newRun(t, Ladder(), map[string]string{"rounds": "10"}))
	var names []string
	for _, row := range f.Detail.Rows {
		names = append(names, row[0])
	}
	if !slices.Equal(names, usualNames()) {
		t.Errorf("the rungs are %q, want %q", names, usualNames())
	}

	frame := ladderFrame(newRun(t, Ladder(), nil).Values)
	for i, bar := range f.Chart.Panels[0].Bars {
		if bar.Height <= 0 || bar.Name != frame.Panels[0].Bars[i].Name {
			t.Errorf("bar %d is %+v", i, bar)
		}
	}
}

func TestTheLadderStopsWithItsContext(t *testing.T) {
	slowtest.Require(t)
	checkStops(t, Ladder(), newRun(t, Ladder(), nil))
}

// The real servers are those that ci/with-services starts.
func TestTheLadderClimbsRealServers(t *testing.T) {
	slowtest.Require(t)
	run := newRun(t, Ladder(), map[string]string{"rounds": "10"})
	run.Redis = findingtest.RequireServer(t, findingtest.Redis)
	run.Database = findingtest.RequireServer(t, findingtest.Postgres)

	f := checkShown(t, Ladder(), run)
	var names []string
	for _, row := range f.Detail.Rows {
		names = append(names, row[0])
	}
	for _, shown := range []string{realRedisRung, postgresRung} {
		if !slices.ContainsFunc(f.Table.Rows, func(row []string) bool { return row[0] == shown }) {
			t.Errorf("the table has no %s", shown)
		}
	}
	if want := slices.Insert(usualNames(), len(usualRungs)-1, realRedisRung, postgresRung); !slices.Equal(names, want) {
		t.Errorf("the rungs are %q, want %q", names, want)
	}
}

func TestTheLadderSaysWhichServerIsNotThere(t *testing.T) {
	for _, run := range []func(*finding.Run){
		func(r *finding.Run) { r.Redis = "redis://127.0.0.1:1" },
		func(r *finding.Run) { r.Database = "postgres://nobody@127.0.0.1:1/nothing" },
	} {
		r := newRun(t, Ladder(), map[string]string{"rounds": "10"})
		run(r)
		if _, err := Ladder().Run(t.Context(), r); !errors.Is(err, finding.ErrUnreachable) {
			t.Errorf("Redis %q, database %q: %v", r.Redis, r.Database, err)
		}
	}
}

func TestTheOptionFollowsTheSocketsCost(t *testing.T) {
	for times, want := range map[time.Duration]int{2: 0, 10: 0, 40: 1, 300: 2, 1000: 2, 9000: 3, 100_000: 3} {
		timings := usual()
		timings[1].cost[0], timings[5].cost[0] = 100, 100*times
		if got := ladderSeen(timings); got != want {
			t.Errorf("%d times: option %d, want %d", times, got, want)
		}
	}
}

func TestFiguresAreWrittenInPlainDigits(t *testing.T) {
	for got, want := range map[string]string{
		formatCost(7): "7 ns", formatCost(1730): "1.73 µs", formatCost(600 * time.Microsecond): "600 µs", formatCost(1_290_000): "1.29 ms",
		formatTimes(5, 19): "0.26", formatTimes(600_000, 19): "32,000", formatTimes(1000, 10): "100",
		formatBytes(24): "24 B", formatBytes(65_536): "64 KiB", formatBytes(1500): "1500 B",
		formatRate(890.4): "890", formatRate(10_712): "10,700", formatRate(2_253_000): "2.25 million",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
