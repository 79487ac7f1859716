package finding

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestKnobsAreCheckedAndTheErrorSaysWhatIsAllowed(t *testing.T) {
	e := queueExperiment()
	for name, c := range map[string]struct {
		given map[string]string
		want  string // part of the error; empty: none
	}{
		"nothing":          {},
		"its bounds":       {given: map[string]string{"away": "10", "jobs": "1"}},
		"with its unit":    {given: map[string]string{"away": "500ms"}},
		"a choice":         {given: map[string]string{"as": "shop"}},
		"too much":         {map[string]string{"away": "11s"}, `--away is "11s"; want 0.5 to 10 s`},
		"too little":       {map[string]string{"jobs": "0"}, `--jobs is "0"; want 1 to 1000`},
		"no whole number":  {map[string]string{"jobs": "1.5"}, `--jobs is "1.5"; want 1 to 1000`},
		"no number":        {map[string]string{"jobs": "NaN"}, `--jobs is "NaN"`},
		"infinite":         {map[string]string{"jobs": "Inf"}, `--jobs is "Inf"`},
		"a word":           {map[string]string{"away": "soon"}, `--away is "soon"`},
		"empty":            {map[string]string{"away": ""}, `--away is ""`},
		"an unknown knob":  {map[string]string{"speed": "3"}, `queue has no knob "speed"; it has --away, --jobs, --as`},
		"no such choice":   {map[string]string{"as": "bank"}, `--as is "bank"; want city, hospital or shop`},
		"an empty choice":  {map[string]string{"as": ""}, `--as is ""; want city`},
		"of another unit":  {map[string]string{"jobs": "3s"}, `--jobs is "3s"`},
		"negative seconds": {map[string]string{"away": "-1s"}, `--away is "-1s"`},
	} {
		_, err := e.Check(c.given)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}

	if _, err := (Experiment{Name: "bare"}).Check(map[string]string{"x": "1"}); err == nil || !strings.Contains(err.Error(), "it has none") {
		t.Errorf("an experiment without knobs: %v", err)
	}
}

func TestValuesHaveTheirTypes(t *testing.T) {
	v, err := queueExperiment().Check(map[string]string{"away": "1500ms", "jobs": "7"})
	if err != nil {
		t.Fatal(err)
	}
	if v.Seconds("away") != 1500*time.Millisecond || v.Int("jobs") != 7 || v.Number("jobs") != 7 || v.Choice("as") != "city" || v.Milliseconds("jobs") != 7*time.Millisecond {
		t.Errorf("values %+v", v)
	}
	for name, get := range map[string]func(){"a number": func() { v.Number("as") }, "a choice": func() { v.Choice("jobs") }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s that no knob has: no panic", name)
				}
			}()
			get()
		}()
	}
}

// FuzzKnob gives a knob any text: the value is within its range, or the error
// wraps ErrUsage and is one line.
func FuzzKnob(f *testing.F) {
	for _, text := range []string{"1", "1.5s", "10 s", "-3", "NaN", "Inf", "0x1p-2", "1e400", "", "s", "9ms", "city", "1\n2"} {
		f.Add(text)
	}
	e := queueExperiment()
	f.Fuzz(func(t *testing.T, text string) {
		for _, k := range e.Knobs {
			v, err := e.Check(map[string]string{k.Name: text})
			if err != nil {
				if !errors.Is(err, ErrUsage) || strings.Contains(err.Error(), "\n") {
					t.Errorf("--%s %q: %v", k.Name, text, err)
				}
				continue
			}
			if len(k.Choices) > 0 {
				continue
			}
			if n := v.Number(k.Name); math.IsNaN(n) || n < k.Low || n > k.High || k.Step == 1 && n != math.Trunc(n) {
				t.Errorf("--%s %q became %g", k.Name, text, n)
			}

			again, err := e.Check(map[string]string{k.Name: v.formatValue(k)})
			if err != nil || again.Number(k.Name) != v.Number(k.Name) {
				t.Errorf("--%s %q is repeated as %q: %v", k.Name, text, v.formatValue(k), err)
			}
		}
	})
}
