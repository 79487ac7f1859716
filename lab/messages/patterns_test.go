package messages

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/lab/finding"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newRun returns a run of an experiment with small settings.
func newRun(t *testing.T, e finding.Experiment, given map[string]string) *finding.Run {
	t.Helper()
	values, err := e.Check(given)
	if err != nil {
		t.Fatal(err)
	}
	return &finding.Run{Values: values, Seed: 1}
}

var smallPatterns = map[string]string{"messages": "20", "every": "10", "poll": "60"}

// sendSmall runs the experiment with some of its ways replaced.
func sendSmall(t *testing.T, replace func(*wayset)) (plan, []Way) {
	t.Helper()
	run := newRun(t, Patterns(), smallPatterns)
	p := newPlan(run.Values)
	set, err := openWays(t.Context(), run, p)
	if err != nil {
		t.Fatal(err)
	}
	defer set.close()

	replace(set)
	if err := p.sendAll(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	return p, set.collectFigures()
}

// failing returns the numbers of the claims that do not hold.
func failing(claims []finding.Claim) (out []int) {
	for i, c := range claims {
		if !c.Holds {
			out = append(out, i)
		}
	}
	return out
}

func checkFailing(t *testing.T, claims []finding.Claim, want ...int) {
	t.Helper()
	if got := failing(claims); !slices.Equal(got, want) {
		t.Errorf("claims %v do not hold, want %v: %+v", got, want, claims)
	}
}

func TestEachWayLosesWhatItsPromiseAllows(t *testing.T) {
	for _, trade := range []string{"ride", "hospital", "video"} {
		run := newRun(t, Patterns(), map[string]string{"messages": "20", "every": "10", "poll": "60", "as": trade})
		got, err := Patterns().Run(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		checkFailing(t, got.Claims)
		if got.Seen != 1 || len(got.Table.Rows) != 5 || len(got.Notice) != 3 {
			t.Errorf("%+v", got)
		}
		for _, w := range got.Figures.([]Way) {
			lost := map[string]int{plainWay: 8, directWay: 8}[w.Name]
			if w.Sent != 20 || w.Lost != lost || w.Received != 20-lost {
				t.Errorf("%+v, want %d lost", w, lost)
			}
		}
	}
}

func TestAReceiverThatStaysMissesNothing(t *testing.T) {
	got, err := Patterns().Run(t.Context(), newRun(t, Patterns(), map[string]string{"messages": "10", "every": "10", "poll": "40", "away": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	checkFailing(t, got.Claims)
	if got.Seen != 2 {
		t.Errorf("option %d was seen: %+v", got.Seen, got.Table)
	}
}

// way returns a running way by its name.
func (s *wayset) way(name string) *runningWay {
	return s.ways[slices.IndexFunc(s.ways, func(w *runningWay) bool { return w.name == name })]
}

func TestPublishSubscribeInPlaceOfNumbersIsFound(t *testing.T) {
	p, all := sendSmall(t, func(set *wayset) {
		w := set.way(numberedWay)
		broken := &plain{redis: w.sender.(*numbered).redis, hears: newSignal(),
			receive: func(message int) { w.tally.receiveMessage(message, set.plan.dueTime(message)) }}
		w.sender = broken
		set.closers = append(set.closers, broken.leave)
	})
	checkFailing(t, judgePatterns(p, all), 1)
}

func TestAPublisherThatForgetsNothingIsNoPublishSubscribe(t *testing.T) {
	p, all := sendSmall(t, func(set *wayset) {
		w, q := set.way(plainWay), set.way(queueWay)
		other := &queue{redis: w.sender.(*plain).redis, crashAfter: q.sender.(*queue).crashAfter,
			receive: func(message int) { w.tally.receiveMessage(message, set.plan.dueTime(message)) }}
		other.handle = other.doFirst
		w.sender = other
		set.closers = append(set.closers, other.leave)
	})
	checkFailing(t, judgePatterns(p, all), 0)
}

// TestAnAckBeforeTheWorkIsFound has a worker that acknowledges first and dies
// before it has done the job.
func TestAnAckBeforeTheWorkIsFound(t *testing.T) {
	p, all := sendSmall(t, func(set *wayset) {
		q := set.way(queueWay)
		receiver := q.sender.(*queue)
		receiver.handle = func(_ context.Context, id string, _ []byte) error {
			number, err := strconv.Atoi(id)
			if err == nil && number != receiver.crashAfter {
				receiver.receive(number)
			}
			return err
		}
		q.drains = false // the job that is lost never comes
	})
	checkFailing(t, judgePatterns(p, all), 2)
}

// TestNewsThatComesAtOnceIsNoPolling has figures in place of a run: how old news
// is depends on the machine.
func TestNewsThatComesAtOnceIsNoPolling(t *testing.T) {
	p := newPlan(newRun(t, Patterns(), nil).Values)
	all := []Way{{Name: plainWay, Lost: 40}, {Name: numberedWay, Reads: 40}, {Name: queueWay, Twice: 1}, {Name: pollingWay, AgeMeanThere: 105}}
	checkFailing(t, judgePatterns(p, all))
	all[3].AgeMeanThere = 2 // the queue's
	checkFailing(t, judgePatterns(p, all), 3)
}

func TestBothExperimentsOnARealRedis(t *testing.T) {
	url := os.Getenv("RIDEHAIL_TEST_REDIS")
	if url == "" && os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
		t.Fatal("RIDEHAIL_TEST_REDIS is not set and must be")
	}
	if url == "" {
		t.Skip("set RIDEHAIL_TEST_REDIS=redis://HOST:PORT/DB to run this on a real Redis")
	}

	for e, given := range map[string]map[string]string{"patterns": smallPatterns, "nodes": smallNodes} {
		experiment := map[string]finding.Experiment{"patterns": Patterns(), "nodes": Nodes()}[e]
		run := newRun(t, experiment, given)
		run.Redis = url
		got, err := experiment.Run(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		checkFailing(t, got.Claims)
	}
}

func TestAnInterruptedRunOfPatternsLeavesNothingBehind(t *testing.T) {
	run := newRun(t, Patterns(), map[string]string{"messages": "500", "every": "50"})
	ctx, interrupt := context.WithCancel(t.Context())
	run.OnPoint = onFirstPoint(interrupt)
	began := time.Now()
	if _, err := Patterns().Run(ctx, run); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to end", took)
	}
}
