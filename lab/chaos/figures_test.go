package chaos

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// at0 is the beginning of the stories below; they count seconds from it.
var at0 = time.UnixMilli(1_000_000)

func second(s float64) time.Time { return at0.Add(time.Duration(s * float64(time.Second))) }

func TestAPhoneWithoutAConnectionIsTimedFromTheLossToTheNextWelcome(t *testing.T) {
	path := t.TempDir() + "/journal"
	text := `{"what":"hello","phone":"a","at_ms":0,"server":"http://one"}
{"what":"welcome","phone":"a","at_ms":5}
{"what":"lost","phone":"a","at_ms":1000}
{"what":"hello","phone":"a","at_ms":1100,"server":"http://two"}
{"what":"hello","phone":"b","at_ms":1150,"server":"http://two"}
{"what":"hello","phone":"a","at_ms":1400,"server":"http://one"}
{"what":"welcome","phone":"a","at_ms":1430.5}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	got, err := readOutages([]string{path}, []string{"http://two", "http://one"})
	if err != nil || len(got) != 1 || got[0].from != 2 || got[0].backMs() != 430.5 || got[0].resumeMs() != 30.5 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestALossIsPutDownToTheFaultsThatMayHaveCausedIt(t *testing.T) {
	strikes := []Strike{
		{Fault: Fault{Kind: KillNode, Node: 1, Lasts: 2 * time.Second}, Begun: second(10), Healed: second(12)},
		{Fault: Fault{Kind: PauseRedis, Lasts: 4 * time.Second}, Begun: second(11), Healed: second(15)},
		{Fault: Fault{Kind: Storm}, Begun: second(30), Healed: second(30)}}
	lost := func(from int, at, took float64) outage {
		return outage{from: from, lost: second(at), hello: second(at + took/2), welcome: second(at + took)}
	}
	all := []outage{lost(1, 5, .1), lost(1, 10.5, .2), lost(2, 10.5, .3), lost(1, 11.5, .4), lost(2, 14, .5), lost(1, 12.9, .1),
		lost(1, 30.01, .6)}
	counts := map[Kind]int{}
	for _, r := range summarizeRecoveries(all, strikes, make([]Window, len(strikes))) {
		counts[r.Kind] = r.Count
	}
	if want := map[Kind]int{"": 2, KillNode: 3, PauseRedis: 3, Storm: 1}; !reflect.DeepEqual(counts, want) {
		t.Errorf("losses by fault: %v", counts)
	}
	if s := summarizeSessions(all, strikes); s.Count != 7 || s.WholeCount != 2 || math.Abs(s.Whole.Max-300) > .1 {
		t.Errorf("all: %+v", s)
	}
}

func TestOfFewValuesTheLastPercentIsTheGreatest(t *testing.T) {
	if q := computeQuantiles([]float64{3, 1, 2}); q != (Quantiles{2, 3, 3}) {
		t.Errorf("%+v", q)
	}
	if q := computeQuantiles(nil); q != (Quantiles{}) {
		t.Errorf("%+v", q)
	}
}

func TestAMeterAddsUpOverTheRestartsOfItsProcess(t *testing.T) {
	var m meter
	for i, v := range []int64{100, 120, 5, 25} {
		m.addReading(second(float64(10*i)), v)
	}
	if m.total() != 45 || m.totalAt(second(5)) != 10 || m.totalAt(second(-1)) != 0 || m.totalAt(second(99)) != 45 {
		t.Errorf("total %v, half-way %v", m.total(), m.totalAt(second(5)))
	}

	in := mergeIntervals([]interval{{second(12), second(15)}, {second(0), second(10)}, {second(14), second(20)}})
	if len(in) != 2 || m.growthWithin(in) != 20+4 || totalSeconds(in) != 18 {
		t.Errorf("%v hold %v", in, m.growthWithin(in))
	}

	out := findGaps(interval{second(-5), second(30)}, in)
	if len(out) != 3 || totalSeconds(out) != 5+2+10 {
		t.Errorf("between them: %v", out)
	}
}

// fakeCharges is a database in which charges appear.
type fakeCharges struct {
	mu   sync.Mutex
	paid map[trips.TripID]bool
}

func (d *fakeCharges) Charge(_ context.Context, id trips.TripID) (payments.Charge, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.paid[id] {
		return payments.Charge{}, trips.ErrNotFound
	}
	return payments.Charge{Trip: id}, nil
}

func TestTheJobsOfAStruckNodeAreWatchedUntilTheyHaveTheirEffect(t *testing.T) {
	db := &fakeCharges{paid: map[trips.TripID]bool{"done": true}}
	var down error
	w := &takeoverWatcher{db: db, pending: func(context.Context, string) ([]trips.TripID, error) {
		return []trips.TripID{"done", "taken over", "forgotten"}, down
	}}
	ctx, enough := context.WithCancel(t.Context())
	defer enough()

	w.onStrike(ctx, "node-1", time.Now())
	down = errors.New("connection refused")
	w.onStrike(ctx, "node-1", time.Now())
	db.mu.Lock()
	db.paid["taken over"] = true
	db.mu.Unlock()

	for seen := 0; seen == 0; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		seen = len(w.waits)
		w.mu.Unlock()
	}

	enough()
	got := w.summarize()
	if got.WaitMs.Max <= 0 {
		t.Error("it took no time")
	}

	got.WaitMs = Quantiles{}
	if want := (Takeover{Strikes: 2, Blind: 1, Jobs: 2, Open: 1}); got != want {
		t.Errorf("%+v", got)
	}
}

func TestWhatRedisAnswersIsReadOrRefused(t *testing.T) {
	read := func(text string) (any, error) { return readReply(bufio.NewReader(strings.NewReader(text)), maxDepth) }
	got, err := read("*3\r\n$3\r\n1-0\r\n*2\r\n:7\r\n$-1\r\n+OK\r\n")
	if want := []any{"1-0", []any{int64(7), nil}, "OK"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if elementAt(elementAt(got, 1), 0) != int64(7) || elementAt(got, 9) != nil {
		t.Error("a list cannot be looked into")
	}

	for _, bad := range []string{"", "+OK", "+\n", "-NOGROUP no\r\n", "?1\r\n", "$9999999999\r\n", "$5\r\nab\r\n",
		strings.Repeat("*1\r\n", 9) + ":1\r\n"} {
		if v, err := read(bad); err == nil {
			t.Errorf("%q is %v", bad, v)
		}
	}
}

func FuzzWhatRedisAnswersNeverPanics(f *testing.F) {
	f.Add("*1\r\n$1\r\na\r\n")
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = readReply(bufio.NewReader(io.LimitReader(strings.NewReader(text), 1<<12)), maxDepth)
	})
}

func TestPostgresIsTimedFromItsFirstAnswerToEveryNodesFirstCommand(t *testing.T) {
	kill := Strike{Fault: Fault{Kind: KillPostgres}, Begun: second(10), Healed: second(12)}
	w := &watcher{ready: []time.Time{second(3), second(12.5)}}
	answers := []probeResult{
		// This one may have been carried out before it was ready.
		{node: 0, kind: commandProbe, at: second(12.1), took: 300 * time.Millisecond, ok: true},
		{node: 0, kind: commandProbe, at: second(12.4), took: 200 * time.Millisecond, ok: true},
		{node: 1, kind: commandProbe, at: second(12.6), took: 100 * time.Millisecond},
		{node: 1, kind: commandProbe, at: second(12.8), took: 100 * time.Millisecond, ok: true},
	}

	if got := w.timesAfterReady([]Strike{kill}, answers, 2); len(got) != 1 || math.Abs(got[0]-400) > .1 {
		t.Errorf("%v", got)
	}

	other := Strike{Fault: Fault{Kind: PauseNode, Node: 2}, Begun: second(11), Healed: second(13)}
	if got := w.timesAfterReady([]Strike{kill, other}, answers, 2); len(got) != 0 {
		t.Errorf("with something else broken: %v", got)
	}
	if got := w.timesAfterReady([]Strike{kill}, answers, 3); len(got) != 0 {
		t.Errorf("with a node that never served: %v", got)
	}
}

func TestALeakIsToldFromAPoolThatGrew(t *testing.T) {
	before, err := parseResources(strings.NewReader("# HELP x y\ngo_goroutines 100\nprocess_open_fds 50\nother 1.5e3\n" +
		"go_memstats_heap_alloc_bytes 2.097152e+06\nridehail_gateway_updates_total{result=\"accepted\"} 1e+03\n"))
	if err != nil || before != (ResourceUse{100, 50, 2, 1000}) {
		t.Fatalf("read %v, %v", before, err)
	}
	if (ResourceUse{100 + spareHandles, 50 + spareHandles, 2 + spareHeapMiB, 0}).exceeds(before) {
		t.Error("a pool that grew counts as a leak")
	}

	for _, h := range []ResourceUse{{100 + spareHandles + 1, 50, 2, 0}, {100, 50 + spareHandles + 1, 2, 0}, {100, 50, 3 + spareHeapMiB, 0}} {
		if !h.exceeds(before) {
			t.Errorf("a leak goes unseen: %v", h)
		}
	}

	for _, bad := range []string{"", "go_goroutines many\n"} {
		if _, err := parseResources(strings.NewReader(bad)); err == nil {
			t.Errorf("%q passes for metrics", bad)
		}
	}
}

func TestAMissedTargetFailsNoRun(t *testing.T) {
	r := Report{Load: Load{Kills: 20}, Sessions: Sessions{Count: 999, WholeCount: 1, Whole: Quantiles{Max: 300, P99: 300}},
		Recoveries: []Recovery{{Kind: KillNode, Count: 9, Back: Quantiles{P99: 2999}}},
		Operations: Operations{Total: 100_000}, PostgresKills: 1, PostgresBack: Quantiles{Max: 1000},
		Takeover:   Takeover{Jobs: 3, Open: 1, WaitMs: Quantiles{P99: 5000}},
		Invariants: []Invariant{{Name: ackedIsDone, Checked: 5}},
		Resources:  []Resources{{Warm: ResourceUse{HeapMiB: 10}, Most: ResourceUse{HeapMiB: 43}, Before: ResourceUse{Goroutines: 5}, After: ResourceUse{Goroutines: 6}}}}

	met := map[string]bool{}
	for _, x := range r.compareTargets() {
		met[x.Name] = x.Met
	}
	want := map[string]bool{"acked transitions lost": true, "promises broken": true, "kills": true, "reconnects": false,
		"operations": true, "takeover of a struck node's jobs, p99": false, "resume while nothing is broken, p99": false,
		"sessions back after a node is killed, p99": true, "first command after Postgres is ready again": true,
		"heap of a node during faults, above before them": false, "left at a node in the end": true}
	if !reflect.DeepEqual(met, want) {
		t.Errorf("%v", met)
	}

	for _, x := range (Report{}).compareTargets() {
		if x.Met && x.Name != "promises broken" {
			t.Errorf("nothing happened, and %s is met", x.Name)
		}
	}

	r.Targets = r.compareTargets()
	text := r.Text() + r.Markdown()
	for _, want := range []string{"not met  reconnects", "met      kills", "kill node", "| reconnects | ≥ 1000 | 999 | no |", "| kill node | 0 | 9 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}
