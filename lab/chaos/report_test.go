package chaos

import (
	"strings"
	"testing"
	"time"
)

func TestAWindowCountsTheProbesThatTouchIt(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }
	ask := func(node int, asked string, from, took float64, ok bool) probeResult {
		return probeResult{node: node, kind: asked, at: at(from), took: time.Duration(took * float64(time.Second)), ok: ok}
	}
	strikes := []Strike{{Fault: Fault{Kind: PauseNode, Node: 2}, Begun: at(10), Healed: at(12)},
		{Fault: Fault{Kind: FlushRedis}, Begun: at(30), Healed: at(30)}}
	answers := []probeResult{
		ask(0, commandProbe, 5, .1, true),    // before
		ask(0, commandProbe, 9.9, .2, true),  // reaches into it
		ask(1, commandProbe, 11, 1, false),   // within
		ask(1, healthProbe, 11, 1, false),    // another question
		ask(1, commandProbe, 11.9, .6, true), // sent before the heal
		ask(0, commandProbe, 12, .1, true),
		ask(1, commandProbe, 12.25, .25, true),
		ask(1, commandProbe, 20, .1, true),
		ask(0, commandProbe, 21, .1, false),
	}

	got, calm := buildWindows(begin, strikes, answers, 2)
	if w := got[0]; w.Command != (Share{2, 3}) || w.Health != (Share{0, 1}) || w.FirstOKMs != 500 || w.BeganS != 10 {
		t.Errorf("the pause: %+v", w)
	}
	if w := got[1]; w.FirstOKMs != -1 {
		t.Errorf("no probe came after the flush, and yet: %+v", w)
	}
	if calm != (Share{2, 3}) {
		t.Errorf("outside of faults: %+v", calm)
	}
}

func TestTheReportNamesWhatIsBroken(t *testing.T) {
	i := Invariant{Name: "no sheep is harmed"}
	i.check(true, "never said")
	for range maxRows + 1 {
		i.check(false, "the %s is", "sheep")
	}

	text := Report{Invariants: []Invariant{i}, Violations: i.Violations, Kept: "/logs"}.Text()
	for _, want := range []string{"FAIL  no sheep is harmed", "22 checked, 21 violations", "the sheep is", "21 violations\n", "/logs"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}

	if len(i.Rows) != maxRows {
		t.Errorf("%d rows are named", len(i.Rows))
	}
}
