package races

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/trips"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// perform runs an experiment with some knobs turned.
func perform(t *testing.T, e finding.Experiment, given map[string]string, adjust ...func(*finding.Run)) finding.Finding {
	t.Helper()
	values, err := e.Check(given)
	if err != nil {
		t.Fatal(err)
	}
	run := &finding.Run{Values: values, Seed: 1}
	for _, f := range adjust {
		f(run)
	}
	found, err := e.Perform(t.Context(), run, finding.NoGuess)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// checkHolds checks that all claims hold and that the finding can be shown.
func checkHolds(t *testing.T, found finding.Finding, claims int) {
	t.Helper()
	if len(found.Claims) != claims || !found.HasHeld() {
		t.Errorf("claims: %+v", found.Claims)
	}
	for _, problem := range found.Problems() {
		t.Error(problem)
	}
}

// failing returns the places of the claims that do not hold.
func failing(claims []finding.Claim) (out []int) {
	for i, c := range claims {
		if !c.Holds {
			out = append(out, i)
		}
	}
	return out
}

// realRaces are the figures of one real run.
var realRaces = sync.OnceValues(func() (raceFigures, error) {
	values, err := Races().Check(nil)
	if err != nil {
		return raceFigures{}, err
	}
	found, err := Races().Run(context.Background(), &finding.Run{Values: values, Seed: 1})
	if err != nil {
		return raceFigures{}, err
	}
	return found.Figures.(raceFigures), nil
})

func TestUpdatesAreLostAndEveryRepairKeepsThem(t *testing.T) {
	var points int
	found := perform(t, Races(), map[string]string{"workers": "4"}, func(r *finding.Run) {
		r.OnPoint = func(string, plot.Point) { points++ }
	})
	checkHolds(t, found, 4)
	if points != 14 {
		t.Errorf("%d points were told while it ran, for 14 bars", points)
	}
}

func TestWithoutAWaitTheWayToAServerIsTheWindow(t *testing.T) {
	checkHolds(t, perform(t, Races(), map[string]string{"window": "0"}), 3)
}

func TestOneWorkerAloneLosesNothing(t *testing.T) {
	found := perform(t, Races(), map[string]string{"workers": "1", "window": "0"})
	checkHolds(t, found, 3)
	if found.Seen != "A" {
		t.Errorf("seen %s: %+v", found.Seen, found.Table)
	}
}

func TestAShopTellsTheSameRuns(t *testing.T) {
	found := perform(t, Races(), map[string]string{"as": "shop", "window": "0"})
	checkHolds(t, found, 3)
	if text := found.Text(false); !strings.Contains(text, "100 orders: look") || !strings.Contains(text, "sold twice") || strings.Contains(text, "driver promised") {
		t.Error(text)
	}
}

// Each broken way, put in the place of a repair, makes exactly the claim about
// repairs false, and each repair in the place of a broken way the other one.
func TestABrokenWayInTheRepairsPlaceIsSeen(t *testing.T) {
	f, err := realRaces()
	if err != nil {
		t.Fatal(err)
	}
	if got := failing(judgeRaces(f)); len(got) > 0 {
		t.Fatalf("claims %v of a run as it is", got)
	}

	const losses, repairs, booking, looking = 0, 1, 2, 3
	for i, c := range f.Counters {
		bad := f
		bad.Counters = slices.Clone(f.Counters)
		j := slices.IndexFunc(f.Counters, func(d counterSeen) bool { return d.Place == c.Place && d.Repaired != c.Repaired })
		bad.Counters[i] = f.Counters[j]
		bad.Counters[i].Repaired = c.Repaired
		want := losses
		if c.Repaired {
			want = repairs
		}
		if got := failing(judgeRaces(bad)); !slices.Equal(got, []int{want}) {
			t.Errorf("%s, %s, replaced by %s: claims %v fail", c.Place, c.How, f.Counters[j].How, got)
		}
	}

	for i, b := range f.Bookings {
		bad := f
		bad.Bookings = slices.Clone(f.Bookings)
		bad.Bookings[i].Twice = f.Bookings[3-i].Twice
		want := looking
		if b.Repaired {
			want = booking
		}
		if got := failing(judgeRaces(bad)); !slices.Equal(got, []int{want}) {
			t.Errorf("%s, replaced by %s: claims %v fail", b.How, f.Bookings[3-i].How, got)
		}
	}
}

// A loss that no history explains must not pass because the number is right.
func TestARightNumberInAnImpossibleOrderIsSeen(t *testing.T) {
	f, err := realRaces()
	if err != nil {
		t.Fatal(err)
	}
	f.Counters = slices.Clone(f.Counters)
	f.Counters[1].Linearizable = false
	if got := failing(judgeRaces(f)); !slices.Equal(got, []int{1}) {
		t.Errorf("claims %v fail", got)
	}
}

func TestTheShortestContradictionIsFound(t *testing.T) {
	op := func(made int64, call, back int64) porcupine.Operation {
		return porcupine.Operation{Input: addOne{}, Output: made, Call: call, Return: back}
	}
	for name, c := range map[string]struct {
		history, want []porcupine.Operation
	}{
		"one after the other":        {[]porcupine.Operation{op(1, 0, 1), op(2, 2, 3)}, nil},
		"at once, in either order":   {[]porcupine.Operation{op(2, 0, 9), op(1, 1, 8)}, nil},
		"both made the same":         {[]porcupine.Operation{op(1, 0, 5), op(2, 6, 7), op(2, 6, 9), op(3, 10, 11)}, []porcupine.Operation{op(2, 6, 7), op(2, 6, 9)}},
		"the later made a lower one": {[]porcupine.Operation{op(1, 0, 1), op(2, 8, 9), op(3, 2, 3)}, []porcupine.Operation{op(3, 2, 3), op(2, 8, 9)}},
		"nothing":                    {nil, nil},
	} {
		if got := findContradiction(c.history); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestADriverOfThreeRidersCountsOnce(t *testing.T) {
	if n := countTwice([]trips.DriverID{"a", "b", "a", "", "", "a", "c", "b"}); n != 2 {
		t.Errorf("%d drivers were promised twice", n)
	}
}

// The experiment is stopped at its first point, in the middle and near its end.
func TestAnInterruptLeavesNothingRunning(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, e := range []finding.Experiment{Races(), Owners()} {
		for _, after := range []int{1, 6} {
			values, err := e.Check(nil)
			if err != nil {
				t.Fatal(err)
			}

			ctx, stop := context.WithCancel(t.Context())
			var points int
			var stopped time.Time
			run := &finding.Run{Values: values, Seed: 1, OnPoint: func(string, plot.Point) {
				if points++; points == after {
					stopped = time.Now()
					stop()
				}
			}}
			_, err = e.Run(ctx, run)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", e.Name, err)
			}
			if took := time.Since(stopped); stopped.IsZero() || took > 2*time.Second {
				t.Errorf("%s ended %v after the interrupt at point %d", e.Name, took, after)
			}
			stop()
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	values, err := Races().Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	for flag, run := range map[string]*finding.Run{
		"--redis":    {Values: values, Redis: "redis://127.0.0.1:1/0"},
		"--database": {Values: values, Database: "postgres://nobody@127.0.0.1:1/none?connect_timeout=2"},
	} {
		if _, err := Races().Run(t.Context(), run); !errors.Is(err, finding.ErrUnreachable) || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	for flag, run := range map[string]*finding.Run{"--redis": {Values: values, Redis: "http://x"}, "--database": {Values: values, Database: "file.db"}} {
		if _, err := Races().Run(t.Context(), run); !errors.Is(err, finding.ErrUsage) || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

func TestTheSameHoldsOnRealServers(t *testing.T) {
	redis, postgres := os.Getenv("RIDEHAIL_TEST_REDIS"), os.Getenv("RIDEHAIL_TEST_POSTGRES")
	if redis == "" || postgres == "" {
		if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
			t.Fatal("no Redis or no Postgres; use ci/with-services")
		}
		t.Skip("needs a Redis and a Postgres; use ci/with-services")
	}
	onServers := func(r *finding.Run) { r.Redis, r.Database = redis, postgres }

	found := perform(t, Races(), nil, onServers)
	checkHolds(t, found, 4)
	if text, err := json.Marshal(found.Parts); err != nil || !strings.Contains(string(text), "Postgres") || strings.Contains(string(text), "embedded") {
		t.Errorf("parts %s, %v", text, err)
	}
	checkHolds(t, perform(t, Owners(), map[string]string{"rounds": "4"}, func(r *finding.Run) { r.Database = postgres }), 4)
}
