package storm

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// smallStorm is one real run.
var smallStorm = sync.OnceValues(func() (finding.Finding, error) {
	e := Storm()
	values, err := e.Check(map[string]string{"phones": "100", "cuts": "1"})
	if err != nil {
		return finding.Finding{}, err
	}
	return e.Perform(context.Background(), &finding.Run{Values: values, Seed: 1}, finding.NoGuess)
})

// failing returns the places of the claims that do not hold.
func failing(claims []finding.Claim) (out []int) {
	for i, c := range claims {
		if !c.Holds {
			out = append(out, i)
		}
	}
	return out
}

func TestAllPhonesComeBack(t *testing.T) {
	found, err := smallStorm()
	if err != nil {
		t.Fatal(err)
	}
	if !found.HasHeld() || found.Seen != "B" {
		t.Errorf("seen %s, claims %+v", found.Seen, found.Claims)
	}
	for _, problem := range found.Problems() {
		t.Error(problem)
	}
}

func TestAStormWithoutRepairIsSeen(t *testing.T) {
	found, err := smallStorm()
	if err != nil {
		t.Fatal(err)
	}
	f := found.Figures.(figures)

	for name, c := range map[string]struct {
		spoil func(cuts []cut)
		want  int
	}{
		"a phone stays away":            {func(cuts []cut) { cuts[0].Back-- }, 0},
		"phones without jitter instead": {func(cuts []cut) { cuts[0] = cuts[1]; cuts[0].Jitter = true }, 1},
	} {
		bad := f
		bad.Cuts = slices.Clone(f.Cuts)
		c.spoil(bad.Cuts)
		if got := failing(judgeStorm(bad)); !slices.Equal(got, []int{c.want}) {
			t.Errorf("%s: claims %v fail", name, got)
		}
	}
}

func TestTheWorstStepHasMostWaits(t *testing.T) {
	waits := []time.Duration{0, 99 * time.Millisecond, 100 * time.Millisecond, 101 * time.Millisecond, 199 * time.Millisecond, 200 * time.Millisecond}
	if n := countWorstStep(waits); n != 3 {
		t.Errorf("%d in the worst step", n)
	}
}

func TestAnInterruptLeavesNothingRunning(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	e := Storm()
	values, err := e.Check(map[string]string{"phones": "50"})
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stopped time.Time
	_, err = e.Run(ctx, &finding.Run{Values: values, Seed: 1, OnPoint: func(string, plot.Point) {
		if stopped.IsZero() {
			stopped = time.Now()
			stop()
		}
	}})
	if !errors.Is(err, context.Canceled) || stopped.IsZero() || time.Since(stopped) > 2*time.Second {
		t.Errorf("ended %v after the interrupt with %v", time.Since(stopped), err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	values, err := Storm().Check(map[string]string{"phones": "50"})
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range []*finding.Run{
		{Values: values, Redis: "redis://127.0.0.1:1/0"},
		{Values: values, Database: "postgres://nobody@127.0.0.1:1/none?connect_timeout=2"},
	} {
		if _, err := Storm().Run(t.Context(), run); !errors.Is(err, finding.ErrUnreachable) {
			t.Errorf("%+v: %v", run, err)
		}
	}
}

// The line to Postgres is counted, and what ran there is gone afterwards.
func TestStatementsAreCountedOnTheLineToPostgres(t *testing.T) {
	postgres := os.Getenv("RIDEHAIL_TEST_POSTGRES")
	if postgres == "" {
		if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
			t.Fatal("no Postgres; use ci/with-services")
		}
		t.Skip("needs a Postgres; use ci/with-services")
	}

	e := Storm()
	values, err := e.Check(map[string]string{"phones": "50", "cuts": "1"})
	if err != nil {
		t.Fatal(err)
	}
	found, err := e.Perform(t.Context(), &finding.Run{Values: values, Seed: 1, Database: postgres, Redis: os.Getenv("RIDEHAIL_TEST_REDIS")}, finding.NoGuess)
	if err != nil || !found.HasHeld() || len(found.Problems()) > 0 {
		t.Fatalf("%v: claims %+v, problems %q", err, found.Claims, found.Problems())
	}
	if c := found.Figures.(figures).Cuts[0]; worstStatements(c) == 0 || len(c.Statements) != len(c.Tries) {
		t.Errorf("statements %v beside tries %v", c.Statements, c.Tries)
	}
}
