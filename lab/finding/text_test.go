package finding

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ridehail/ridehail/internal/plot"
)

func TestTheTextOfAFinding(t *testing.T) {
	f := performQueue(t, 0, nil)
	want := `A queue or a direct message? (R3 P5)
The receiver is away for a second.
Guess A: Both lose messages. Not so. Seen B: Only direct messages are lost.

Ran queue for 0.1 s: away 1 s, jobs 100, as city, seed 7.
Real: a queue. Made: the receiver.

  way     lost
  direct   100
  queue      0

▁█ s 0 to 1: direct 0 to 100

holds: a queue loses nothing: 0 (0), exact; durable; Gray 1992
holds: direct messages are lost: 100 (> 0), measured; at most once; Saltzer 1984

- One.
- Two.
- Three.

Next: turn --away to 10.
Read: events/queue.go:Queue.Add (the queue); events/worker.go:Worker.Run (the receiver).
`
	if got := f.Text(false); got != want {
		t.Errorf("text\n%s\nwant\n%s", got, want)
	}
}

func TestTheTextSaysWhatBecameOfTheGuess(t *testing.T) {
	for name, c := range map[string]struct{ guess, seen, want string }{
		"right":              {"B", "B", "Guess B: Only direct messages are lost. So it was."},
		"wrong":              {"A", "B", "Guess A: Both lose messages. Not so. Seen B: Only direct messages are lost."},
		"none":               {"", "B", "Guess: none. Seen B: Only direct messages are lost."},
		"nothing came true":  {"A", "", "Guess A: Both lose messages. Not so. Seen: none of the options."},
		"no guess, no truth": {"", "", "Guess: none. Seen: none of the options."},
	} {
		f := performQueue(t, NoGuess, nil)
		f.Guess, f.Seen = c.guess, c.seen
		if got := f.answerGuess(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAClaimThatDoesNotHoldIsToldInWordsAndInColour(t *testing.T) {
	f := performQueue(t, NoGuess, map[string]string{"jobs": "1"})
	if got := f.Text(false); !strings.Contains(got, "\ndoes not hold: direct messages are lost: 1 (> 0), measured") || strings.Contains(got, "\x1b") {
		t.Errorf("text\n%s", got)
	}
	if got := f.Text(true); !strings.Contains(got, red+"does not hold"+plain+": direct") || !strings.Contains(got, green+"holds"+plain+": a queue") {
		t.Errorf("colours\n%q", got)
	}
}

// TestALongTextIsWrittenTighter adds words until the text is as tight as can
// be. It stays within its bounds, and says when it names fewer places to read.
func TestALongTextIsWrittenTighter(t *testing.T) {
	f := performQueue(t, NoGuess, nil)
	f.Code = append(f.Code, Code{"events/worker.go", "Worker.run", strings.Repeat("the loop ", 20)})
	seen := map[string]bool{}
	for range 60 {
		text := f.Text(false)
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		switch {
		case len(lines) > MaxLines:
			if strings.Contains(text, "\n\n") || !strings.Contains(text, "Read: events/queue.go:Queue.Add (the queue); 2 more: --json.") {
				t.Fatalf("%d lines, and not as tight as can be:\n%s", len(lines), text)
			}
			if !seen["roomy"] || !seen["without whys"] {
				t.Errorf("seen on the way: %v", seen)
			}
			return
		case strings.Contains(text, "the loop"):
			seen["roomy"] = true
		case strings.Contains(text, "Worker.Run;"):
			seen["without whys"] = true
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > MaxColumns {
				t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
			}
		}
		f.Notice[0] += strings.Repeat(" more", 7)
	}
	t.Error("the text never became too long")
}

func TestATableIsAligned(t *testing.T) {
	f := Finding{Table: Table{Columns: []string{"way", "lost", "how"}, Rows: [][]string{{"à côté", "1,000", "at once"}, {"b", "", "3 in all"}, {"c", "~2 %", "late"}}}}
	want := []string{
		"  way      lost  how",
		"  à côté  1,000  at once",
		"  b              3 in all",
		"  c        ~2 %  late",
	}
	if got := strings.Join(f.Table.alignRows(), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("table\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if f.DetailText() != "" {
		t.Error("a longer table that there is not has lines")
	}
	f.Detail = &f.Table
	if got := f.DetailText(); got != "\n"+strings.Join(want, "\n")+"\n" {
		t.Errorf("longer table\n%s", got)
	}
	if f.Table.Rows = nil; f.Table.alignRows() != nil {
		t.Error("a table without rows has lines")
	}
}

func TestASparklineHasATrueZeroOrALogarithm(t *testing.T) {
	curve := func(values ...float64) plot.Panel {
		c := plot.Curve{Name: "c"}
		for i, v := range values {
			c.Points = append(c.Points, plot.Point{X: float64(i), Y: v})
		}
		return plot.Panel{Curves: []plot.Curve{{Name: "law", Style: plot.Law, Points: []plot.Point{{X: 0, Y: 9}, {X: 1, Y: 9}}}, c}}
	}
	bars := plot.Panel{Bars: []plot.Bar{{Name: "a", Group: "near", Height: 1}, {Name: "a", Group: "far", Height: 100}, {Name: "b", Group: "near", Height: 8}, {Name: "c", Group: "far", Height: 4}}}
	for name, c := range map[string]struct {
		panel plot.Panel
		log   bool
		want  string
	}{
		"linear":       {panel: curve(6, 7, 8), want: "▇██ x 0 to 2: c 0 to 8"},
		"logarithmic":  {panel: curve(10, 0, 100, 1000), log: true, want: "▁▅█ x 0 to 3: c 10 to 1000 (log)"},
		"bars":         {panel: bars, want: "▂█▅ a to c: y 0 to 8"},
		"all 0":        {panel: curve(0, 0)},
		"one point":    {panel: curve(3)},
		"one power":    {panel: curve(10, 10), log: true},
		"nothing":      {},
		"only nothing": {panel: curve(0, -1), log: true},
	} {
		f := Finding{Chart: plot.Chart{X: plot.Axis{Name: "x"}, Y: plot.Axis{Name: "y", Log: c.log}, Panels: []plot.Panel{c.panel}}}
		if got := strings.Join(f.sparkline(), "\n"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}

	long := make([]float64, 1000)
	for i := range long {
		long[i] = float64(i)
	}
	if got := shrinkTo(long, 4); len(got) != 4 || got[0] != 124.5 || got[3] != 874.5 {
		t.Errorf("means %v", got)
	}
}
