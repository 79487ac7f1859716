package finding

import (
	"errors"
	"strings"
	"testing"
)

func TestAValueThatIsNotAllowedIsReplacedByTheNearest(t *testing.T) {
	e := Experiment{Name: "e", Knobs: []Knob{
		{Name: "rate", Unit: "a second", Default: 24, Low: 8, High: 40, Step: 1},
		{Name: "wait", Unit: "ms", Default: 250, Low: 50, High: 1000},
		{Name: "as", Choices: []string{"city", "shop"}},
	}}
	for given, want := range map[string]string{
		"rate=30": "30", "rate=30 a second": "30", "rate=400": "40: set to 40 a second, the most", "rate=-1": "8: set to 8 a second, the least",
		"rate=24.4": "24: set to 24 a second, the nearest", "rate=": "24: set to 24 a second, the default", "rate=NaN": "24: set to 24 a second, the default",
		"rate=1e999": "24: set to 24 a second, the default", "wait=0.3s": "300", "wait=5s": "1000: set to 1000 ms, the most",
		"as=shop": "shop", "as=bank": "city: set to city, the default",
	} {
		name, text, _ := strings.Cut(given, "=")
		v, corrections, err := e.Clamp(map[string]string{name: text})
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		got := e.Texts(v)[name]
		for _, c := range corrections {
			got += ": " + c.Says
			if c.Knob != name || c.Asked != text || c.Set != e.Texts(v)[name] {
				t.Errorf("%s: %+v", given, c)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", given, got, want)
		}
	}

	if _, _, err := e.Clamp(map[string]string{"wings": "2"}); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), `no knob "wings"`) {
		t.Errorf("an unknown knob: %v", err)
	}
}
