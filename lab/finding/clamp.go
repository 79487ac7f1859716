package finding

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Correction tells that a knob was not set to what was asked for.
type Correction struct {
	Knob  string `json:"knob"`
	Asked string `json:"asked"`
	Set   string `json:"set"`  // as a flag takes it
	Says  string `json:"says"` // such as "set to 40 a second, the most"
}

// Clamp is Check for values that a page sends: it replaces a value that is not
// allowed by the nearest one that is, or by the default where none is near, and
// tells so. Its error wraps ErrUsage and is about the name of a knob.
func (e Experiment) Clamp(given map[string]string) (Values, []Correction, error) {
	var corrections []Correction
	mended := map[string]string{}
	for _, k := range e.Knobs {
		text, ok := given[k.Name]
		if !ok {
			continue
		}

		set, says := k.clampText(text)
		mended[k.Name] = set
		if says != "" {
			corrections = append(corrections, Correction{Knob: k.Name, Asked: text, Set: set, Says: says})
		}
	}

	for name, text := range given { // Check names the ones that no knob has.
		if _, ok := mended[name]; !ok {
			mended[name] = text
		}
	}
	v, err := e.Check(mended)
	return v, corrections, err
}

// clampText returns the allowed value nearest to a text. says is empty when the
// text was allowed.
func (k Knob) clampText(text string) (set, says string) {
	if len(k.Choices) > 0 {
		if slices.Contains(k.Choices, text) {
			return text, ""
		}
		return k.Choices[0], fmt.Sprintf("set to %s, the default", k.Choices[0])
	}

	number, ok := k.readNumber(text)
	word := "the nearest"
	switch {
	case !ok:
		number, word = k.Default, "the default"
	case number > k.High:
		number, word = k.High, "the most"
	case number < k.Low:
		number, word = k.Low, "the least"
	case k.isWhole() && number != math.Trunc(number):
		number = math.Round(number)
	default:
		return text, ""
	}
	return strconv.FormatFloat(number, 'f', -1, 64), fmt.Sprintf("set to %s, %s", k.Format(number), word)
}

// Texts returns the values of an experiment's knobs by name, as flags take
// them.
func (e Experiment) Texts(v Values) map[string]string {
	out := map[string]string{}
	for _, k := range e.Knobs {
		out[k.Name] = v.formatValue(k)
	}
	return out
}
