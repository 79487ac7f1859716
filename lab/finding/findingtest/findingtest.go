// Package findingtest holds what the tests of all experiments need.
package findingtest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// stopsWithin is how soon a run must end after its context.
const stopsWithin = 2 * time.Second

// NewRun returns a run with seed 1, with some knobs turned.
func NewRun(t testing.TB, e finding.Experiment, turned map[string]string) *finding.Run {
	t.Helper()
	values, err := e.Check(turned)
	if err != nil {
		t.Fatal(err)
	}
	return &finding.Run{Values: values, Seed: 1, Log: slog.New(slog.DiscardHandler)}
}

// CheckShown performs a run, and fails the test when its finding cannot be shown
// as it should be.
func CheckShown(t testing.TB, e finding.Experiment, run *finding.Run) finding.Finding {
	t.Helper()
	f, err := e.Perform(t.Context(), run, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range f.Problems() {
		t.Error(problem)
	}
	t.Log("\n" + f.Text(false))
	return f
}

// CheckFailing fails the test unless exactly the claims with these numbers do
// not hold, counted from 0.
func CheckFailing(t testing.TB, claims []finding.Claim, want ...int) {
	t.Helper()
	var got []int
	for i, c := range claims {
		if !c.Holds {
			got = append(got, i)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("claims %v do not hold, want %v: %+v", got, want, claims)
	}
}

// CheckStops stops a run at its first point, and fails the test when it does not
// end soon, or not with the context's error. What is left running is found by
// goleak, in the TestMain of the experiment's package.
func CheckStops(t testing.TB, e finding.Experiment, run *finding.Run) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stopped time.Time
	var first sync.Once
	run.OnPoint = func(string, plot.Point) { first.Do(func() { stopped = time.Now(); stop() }) }

	_, err := e.Perform(ctx, run, finding.NoGuess)
	late := time.Since(stopped)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the stopped run returned %v", err)
	}
	if late > stopsWithin {
		t.Errorf("the run ended %v after it was stopped", late)
	}
}

// RequireServer returns the URL of a real server, from an environment variable
// that ci/with-services sets. It skips the test without one, and fails it when
// RIDEHAIL_TEST_REQUIRE is 1, as in make test.
func RequireServer(t testing.TB, variable string) string {
	t.Helper()
	url := os.Getenv(variable)
	switch {
	case url != "":
	case os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1":
		t.Fatal(variable + " names no server, and RIDEHAIL_TEST_REQUIRE wants one; use ci/with-services")
	default:
		t.Skip("set " + variable + ", or use ci/with-services")
	}
	return url
}

// The variables of the servers.
const (
	Redis    = "RIDEHAIL_TEST_REDIS"
	Postgres = "RIDEHAIL_TEST_POSTGRES"
)
