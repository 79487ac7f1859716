package storm

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/finding/findingtest"
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
		t.Run(name, func(t *testing.T) { findingtest.CheckFailing(t, judgeStorm(bad), c.want) })
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
	findingtest.CheckStops(t, Storm(), findingtest.NewRun(t, Storm(), map[string]string{"phones": "50"}))
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	redis, database := findingtest.NewRun(t, Storm(), nil), findingtest.NewRun(t, Storm(), nil)
	redis.Redis = "redis://127.0.0.1:1/0"
	database.Database = "postgres://nobody@127.0.0.1:1/none?connect_timeout=2"
	for _, run := range []*finding.Run{redis, database} {
		if _, err := Storm().Run(t.Context(), run); !errors.Is(err, finding.ErrUnreachable) {
			t.Errorf("%+v: %v", run, err)
		}
	}
}

func TestTooFewOpenFilesAreToldBeforeTheRun(t *testing.T) {
	if err := checkOpenFiles(1000, 2000+otherFiles); err != nil {
		t.Error(err)
	}
	if err := checkOpenFiles(1000, 1999+otherFiles); !errors.Is(err, finding.ErrUsage) || !strings.Contains(err.Error(), "need 2200 open files") {
		t.Error(err)
	}
}

// The line to Postgres is counted, what ran there is gone afterwards, and no
// password is shown.
func TestStatementsAreCountedOnTheLineToPostgres(t *testing.T) {
	run := findingtest.NewRun(t, Storm(), map[string]string{"phones": "50", "cuts": "1"})
	run.Database, run.Redis = findingtest.RequireServer(t, findingtest.Postgres), findingtest.RequireServer(t, findingtest.Redis)

	found := findingtest.CheckShown(t, Storm(), run)
	findingtest.CheckFailing(t, found.Claims)
	if c := found.Figures.(figures).Cuts[0]; worstStatements(c) == 0 || len(c.Statements) != len(c.Tries) {
		t.Errorf("statements %v beside tries %v", c.Statements, c.Tries)
	}
	if slices.ContainsFunc(found.Parts, func(p finding.Part) bool { return strings.Contains(p.Where, "redis://") }) {
		t.Errorf("parts %+v", found.Parts)
	}
}
