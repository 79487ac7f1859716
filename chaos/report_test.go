package chaos

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestAWindowCountsTheProbesThatTouchIt(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }
	ask := func(node int, asked string, from, took float64, ok bool) answer {
		return answer{node: node, asked: asked, at: at(from), took: time.Duration(took * float64(time.Second)), ok: ok}
	}
	strikes := []Strike{{Fault: Fault{Kind: PauseNode, Node: 2}, Begun: at(10), Healed: at(12)},
		{Fault: Fault{Kind: FlushRedis}, Begun: at(30), Healed: at(30)}}
	answers := []answer{
		ask(0, asksCommand, 5, .1, true),    // before
		ask(0, asksCommand, 9.9, .2, true),  // reaches into it
		ask(1, asksCommand, 11, 1, false),   // within
		ask(1, asksHealth, 11, 1, false),    // another question
		ask(1, asksCommand, 11.9, .6, true), // sent before the heal
		ask(0, asksCommand, 12, .1, true),
		ask(1, asksCommand, 12.25, .25, true),
		ask(1, asksCommand, 20, .1, true),
		ask(0, asksCommand, 21, .1, false),
	}
	got, calm := windows(begin, strikes, answers, 2)
	if w := got[0]; w.Command != (Share{2, 3}) || w.Health != (Share{0, 1}) || w.FirstOKMs != 500 || w.BeganS != 10 {
		t.Errorf("the pause: %+v", w)
	}
	if w := got[1]; w.FirstOKMs != -1 {
		t.Errorf("nobody asked after the flush, and yet: %+v", w)
	}
	if calm != (Share{2, 3}) {
		t.Errorf("outside of faults: %+v", calm)
	}
}

func TestTheReportNamesWhatIsBroken(t *testing.T) {
	i := Invariant{Name: "nobody is harmed"}
	i.check(true, "never said")
	for range maxRows + 1 {
		i.check(false, "the %s is", "sheep")
	}
	text := Report{Invariants: []Invariant{i}, Violations: i.Violations, Kept: "/logs"}.Text()
	for _, want := range []string{"FAIL  nobody is harmed", "22 checked, 21 violations", "the sheep is", "21 violations\n", "/logs"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if len(i.Rows) != maxRows {
		t.Errorf("%d rows are named", len(i.Rows))
	}
}

func TestSessionsAreTimedFromTheLossToTheNextWelcome(t *testing.T) {
	path := t.TempDir() + "/journal"
	text := `{"what":"hello","phone":"a","at_ms":0}
{"what":"welcome","phone":"a","at_ms":5}
{"what":"lost","phone":"a","at_ms":1000}
{"what":"hello","phone":"a","at_ms":1100}
{"what":"hello","phone":"b","at_ms":1150}
{"what":"hello","phone":"a","at_ms":1400}
{"what":"welcome","phone":"a","at_ms":1430}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := sessions([]string{path})
	want := Sessions{Count: 1, Resume: Quantiles{30, 30, 30}, Back: Quantiles{430, 430, 430}}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestALeakIsToldFromAPoolThatGrew(t *testing.T) {
	before, err := readHoldings(strings.NewReader("# HELP x y\ngo_goroutines 100\nprocess_open_fds 50\nother 1.5e3\n"))
	if err != nil || before != (holdings{100, 50}) {
		t.Fatalf("read %v, %v", before, err)
	}
	if (holdings{100 + spare, 50 + spare}).more(before) {
		t.Error("a pool that grew counts as a leak")
	}
	if !(holdings{100 + spare + 1, 50}).more(before) || !(holdings{100, 50 + spare + 1}).more(before) {
		t.Error("a leak goes unseen")
	}
	for _, bad := range []string{"", "go_goroutines many\n"} {
		if _, err := readHoldings(strings.NewReader(bad)); err == nil {
			t.Errorf("%q passes for metrics", bad)
		}
	}
}
