package waiting

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/finding/findingtest"
	"github.com/ridehail/ridehail/payments"
)

// handlerTransport calls a handler without a network, so that a run takes no
// time. As on a network, the handler goes on when its client has gone.
type handlerTransport struct{ handler http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	w, done := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(done)
		h.handler.ServeHTTP(w, r)
	}()
	select {
	case <-done:
		return w.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func retryPlanOf(t *testing.T, knobs map[string]string) retryPlan {
	t.Helper()
	return newRetryPlan(findingtest.NewRun(t, Retries(), knobs).Values)
}

// simulate runs all policies in fake time.
func simulate(t *testing.T, plan retryPlan) (figures []policyFigures) {
	synctest.Test(t, func(t *testing.T) {
		figures = make([]policyFigures, len(policyNames))
		var running sync.WaitGroup
		for i := range policyNames {
			running.Go(func() {
				p, begin := newPolicyRun(plan, i), time.Now()
				stop, err := p.startService(t.Context(), begin)
				if err != nil {
					t.Error(err)
					return
				}
				defer stop()
				p.sendRequests(t.Context(), begin, 7, &payments.HTTPProvider{URL: "http://service", Secret: secret, Timeout: plan.timeout,
					Client: &http.Client{Transport: handlerTransport{p.service}}})
				figures[i] = p.collectFigures()
			})
		}
		running.Wait()
	})
	return figures
}

func TestRetriesKeepAServiceDownUntilABudgetStopsThem(t *testing.T) {
	plan := retryPlanOf(t, nil)
	found := plan.buildResult(simulate(t, plan))
	findingtest.CheckFailing(t, found.Claims)
	if found.Seen != 2 {
		t.Errorf("seen is option %d, want 2: both stay down, a budget recovers", found.Seen)
	}
	for policy, want := range []foretold{recovers, staysDown, staysDown, recovers, recovers} {
		if got := plan.foretellEnd(policy); got != want {
			t.Errorf("%s is foretold to be %d, want %d", policyNames[policy], got, want)
		}
	}
}

// Each claim must be able to fail: the broken way, run in the place of the one
// that mends it, makes that claim false and no other.
func TestEachClaimAboutRetriesCanFail(t *testing.T) {
	plan := retryPlanOf(t, nil)
	good := simulate(t, plan)
	for name, c := range map[string]struct {
		change func(f []policyFigures)
		want   int
	}{
		"answers that nobody waits for count": {func(f []policyFigures) {
			f[noRetry].Good = slices.Clone(f[noRetry].Asked)
			f[noRetry].Good[0]++
		}, 0},
		"a budget in the place of backoff": {func(f []policyFigures) { f[withBackoff] = f[withBudget] }, 1},
		"backoff in the place of a budget": {func(f []policyFigures) { f[withBudget] = f[withBackoff] }, 2},
		"a queue that works on what nobody awaits": {func(f []policyFigures) {
			f[withBudgetNoOld], f[withBudget] = f[withBudget], f[withBudgetNoOld]
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			figures := slices.Clone(good)
			c.change(figures)
			findingtest.CheckFailing(t, plan.judgeRetries(figures), c.want)
		})
	}

	good[withBudget], good[withBudgetNoOld] = good[withBackoff], good[withBackoff] // never back is not back first
	findingtest.CheckFailing(t, plan.judgeRetries(good), 2, 3)
}

// The law must follow the knobs: what it foretells is what happens.
func TestTheLawOfRetriesFollowsTheKnobs(t *testing.T) {
	for name, c := range map[string]struct {
		knobs map[string]string
		seen  int
	}{
		"no hang":            {map[string]string{"hang": "0"}, 0},
		"no retries":         {map[string]string{"retries": "0"}, -1},
		"few asked":          {map[string]string{"rate": "9"}, -1}, // 36 tries a second are less than 40
		"many asked":         {map[string]string{"rate": "38", "hang": "5"}, -1},
		"half of all again":  {map[string]string{"budget": "50", "rate": "20"}, 2},
		"patient clients":    {map[string]string{"timeout": "500"}, 2},
		"impatient clients":  {map[string]string{"timeout": "100"}, 2},
		"five times":         {map[string]string{"retries": "5"}, 2},
		"a short hang":       {map[string]string{"hang": "0.5"}, 2},
		"too large a budget": {map[string]string{"rate": "30", "budget": "50"}, 3},
		"as much as it does": {map[string]string{"rate": "40"}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			plan := retryPlanOf(t, c.knobs)
			found := plan.buildResult(simulate(t, plan))
			findingtest.CheckFailing(t, found.Claims)
			if c.seen >= 0 && found.Seen != c.seen {
				t.Errorf("seen is option %d, want %d; %v", found.Seen, c.seen, found.Table.Rows)
			}
			if took := plan.runLength() + 8*time.Second; took > time.Minute {
				t.Errorf("it may take %v", took)
			}
		})
	}
}

func TestRetriesRunOverRealSockets(t *testing.T) {
	slowtest.Require(t)
	var mu sync.Mutex
	points := map[string]int{}
	run := findingtest.NewRun(t, Retries(), map[string]string{"hang": "1"})
	run.OnPoint = func(curve string, _ plot.Point) {
		mu.Lock()
		defer mu.Unlock()
		points[curve]++
	}
	found := findingtest.CheckShown(t, Retries(), run)
	findingtest.CheckFailing(t, found.Claims)
	if found.Seen != "C" {
		t.Errorf("seen is option %s, want C", found.Seen)
	}
	for _, name := range policyNames {
		if want := newRetryPlan(run.Values).countBins(); points[name] != want {
			t.Errorf("told of %d points of %s, want %d", points[name], name, want)
		}
	}
}
