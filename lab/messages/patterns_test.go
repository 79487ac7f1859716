package messages

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/finding/findingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var smallPatterns = map[string]string{"messages": "20", "every": "10", "poll": "60"}

// sendSmall runs the experiment with some of its ways replaced.
func sendSmall(t *testing.T, replace func(*wayset)) (plan, []Way) {
	t.Helper()
	run := findingtest.NewRun(t, Patterns(), smallPatterns)
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

func TestEachWayLosesWhatItsPromiseAllows(t *testing.T) {
	for _, trade := range []string{"ride", "hospital", "video"} {
		run := findingtest.NewRun(t, Patterns(), map[string]string{"messages": "20", "every": "10", "poll": "60", "as": trade})
		got := findingtest.CheckShown(t, Patterns(), run)
		findingtest.CheckFailing(t, got.Claims)
		if got.Seen != "B" || len(got.Table.Rows) != 5 {
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
	got := findingtest.CheckShown(t, Patterns(), findingtest.NewRun(t, Patterns(), map[string]string{"messages": "10", "every": "10", "poll": "40", "away": "0"}))
	findingtest.CheckFailing(t, got.Claims)
	if got.Seen != "C" {
		t.Errorf("option %s was seen: %+v", got.Seen, got.Table)
	}
}

// way returns a running way by its name.
func (s *wayset) way(name string) *runningWay {
	return s.ways[slices.IndexFunc(s.ways, func(w *runningWay) bool { return w.name == name })]
}

func TestPublishSubscribeInPlaceOfNumbersIsFound(t *testing.T) {
	p, all := sendSmall(t, func(set *wayset) {
		w := set.way(numberedWay)
		broken := &plain{redis: w.sender.(*numbered).redis, hears: newSignal(), receive: w.tally.receiveMessage}
		w.sender = broken
		set.closers = append(set.closers, broken.leave)
	})
	findingtest.CheckFailing(t, judgePatterns(p, all), 1)
}

func TestAPublisherThatForgetsNothingIsNoPublishSubscribe(t *testing.T) {
	p, all := sendSmall(t, func(set *wayset) {
		w, q := set.way(plainWay), set.way(queueWay)
		other := &queue{redis: w.sender.(*plain).redis, crashAfter: q.sender.(*queue).crashAfter, receive: w.tally.receiveMessage}
		other.handle = other.doFirst
		w.sender = other
		set.closers = append(set.closers, other.leave)
	})
	findingtest.CheckFailing(t, judgePatterns(p, all), 0)
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
	findingtest.CheckFailing(t, judgePatterns(p, all), 2)
}

// TestNewsThatComesAtOnceIsNoPolling has figures in place of a run: how old news
// is depends on the machine.
func TestNewsThatComesAtOnceIsNoPolling(t *testing.T) {
	p := newPlan(findingtest.NewRun(t, Patterns(), nil).Values)
	all := []Way{{Name: plainWay, Lost: 40}, {Name: numberedWay, Reads: 40}, {Name: queueWay, Twice: 1}, {Name: pollingWay, AgeMeanThere: 105}}
	findingtest.CheckFailing(t, judgePatterns(p, all))
	all[3].AgeMeanThere = 2 // the queue's
	findingtest.CheckFailing(t, judgePatterns(p, all), 3)
}

func TestBothExperimentsOnARealRedis(t *testing.T) {
	url := findingtest.RequireServer(t, findingtest.Redis)
	for _, c := range []struct {
		finding.Experiment
		turned map[string]string
	}{{Patterns(), smallPatterns}, {Nodes(), smallNodes}} {
		run := findingtest.NewRun(t, c.Experiment, c.turned)
		run.Redis = url
		findingtest.CheckFailing(t, findingtest.CheckShown(t, c.Experiment, run).Claims)
	}
}

func TestAnInterruptedRunOfPatternsLeavesNothingBehind(t *testing.T) {
	findingtest.CheckStops(t, Patterns(), findingtest.NewRun(t, Patterns(), map[string]string{"messages": "500", "every": "50"}))
}
