package finding

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Knob is one thing that a person may turn: a number within a range, or one of
// a few choices.
type Knob struct {
	Name  string // of the flag
	Label string // on the page
	Help  string // one line
	// Of a number. Unit is what stands after it: "ms", "s", "%", "a second" or
	// nothing. Numbers in ms or s are durations.
	Unit                     string
	Default, Low, High, Step float64
	Log                      bool // a slider goes by powers
	// Choices, if there are any, replace the number. The first is the default.
	Choices []string
}

// Values are the checked settings of all knobs of an experiment.
type Values struct {
	numbers map[string]float64
	choices map[string]string
}

// Check returns the values of an experiment's knobs: those that are given by
// name, as text, and the defaults of all others. A duration may be given with
// its unit (1.5s) or as a number of the knob's unit. Errors wrap ErrUsage, name
// the knob and say what is allowed.
func (e Experiment) Check(given map[string]string) (Values, error) {
	v := Values{numbers: map[string]float64{}, choices: map[string]string{}}
	for name := range given {
		if !slices.ContainsFunc(e.Knobs, func(k Knob) bool { return k.Name == name }) {
			return v, fmt.Errorf("%w: %s has no knob %q; it has %s", ErrUsage, e.Name, name, e.knobNames())
		}
	}

	for _, k := range e.Knobs {
		text, ok := given[k.Name]
		if err := v.set(k, text, ok); err != nil {
			return v, err
		}
	}
	return v, nil
}

func (e Experiment) knobNames() string {
	if len(e.Knobs) == 0 {
		return "none"
	}

	names := make([]string, len(e.Knobs))
	for i, k := range e.Knobs {
		names[i] = "--" + k.Name
	}
	return strings.Join(names, ", ")
}

// set checks one value. Without one it takes the default.
func (v Values) set(k Knob, text string, given bool) error {
	if len(k.Choices) > 0 {
		if !given {
			text = k.Choices[0]
		}
		if !slices.Contains(k.Choices, text) {
			return fmt.Errorf("%w: --%s is %q; want %s", ErrUsage, k.Name, text, k.Allowed())
		}
		v.choices[k.Name] = text
		return nil
	}

	v.numbers[k.Name] = k.Default
	if !given {
		return nil
	}
	number, err := k.parseNumber(text)
	if err != nil || number < k.Low || number > k.High {
		return fmt.Errorf("%w: --%s is %q; want %s", ErrUsage, k.Name, text, k.Allowed())
	}
	v.numbers[k.Name] = number
	return nil
}

// Allowed returns the values that a knob takes, for people.
func (k Knob) Allowed() string {
	if n := len(k.Choices); n > 0 {
		return strings.Join(k.Choices[:n-1], ", ") + " or " + k.Choices[n-1]
	}
	return strconv.FormatFloat(k.Low, 'f', -1, 64) + " to " + k.Format(k.High)
}

// parseNumber reads a number, with or without the knob's unit.
func (k Knob) parseNumber(text string) (float64, error) {
	number, ok := k.readNumber(text)
	if !ok || k.isWhole() && number != math.Trunc(number) {
		return 0, strconv.ErrSyntax
	}
	return number, nil
}

// readNumber reads a number without a look at what the knob allows.
func (k Knob) readNumber(text string) (number float64, ok bool) {
	if unit := k.unitLength(); unit != 0 {
		if d, err := time.ParseDuration(text); err == nil {
			return float64(d) / float64(unit), true
		}
	}

	number, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(text, k.Unit)), 64)
	return number, err == nil && !math.IsNaN(number) && !math.IsInf(number, 0)
}

// isWhole reports whether only whole numbers are allowed.
func (k Knob) isWhole() bool { return k.Step >= 1 && k.Step == math.Trunc(k.Step) }

// unitLength returns the length of the unit, or 0 for a number that is no
// duration.
func (k Knob) unitLength() time.Duration {
	switch k.Unit {
	case "ms":
		return time.Millisecond
	case "s":
		return time.Second
	}
	return 0
}

// Format writes a number with the knob's unit.
func (k Knob) Format(number float64) string {
	return strings.TrimSpace(strconv.FormatFloat(number, 'f', -1, 64) + " " + k.Unit)
}

// Number returns the value of a knob. It panics, as the other getters do, for a
// knob that the experiment does not have.
func (v Values) Number(name string) float64 {
	number, ok := v.numbers[name]
	if !ok {
		panic("no knob with a number is called " + name)
	}
	return number
}

// Int returns the value of a knob as a whole number.
func (v Values) Int(name string) int { return int(math.Round(v.Number(name))) }

// Milliseconds returns the value of a knob whose unit is ms.
func (v Values) Milliseconds(name string) time.Duration {
	return time.Duration(v.Number(name) * float64(time.Millisecond))
}

// Seconds returns the value of a knob whose unit is s.
func (v Values) Seconds(name string) time.Duration {
	return time.Duration(v.Number(name) * float64(time.Second))
}

// Choice returns the value of a knob with choices.
func (v Values) Choice(name string) string {
	choice, ok := v.choices[name]
	if !ok {
		panic("no knob with choices is called " + name)
	}
	return choice
}

// formatValue returns a knob's value as a flag takes it.
func (v Values) formatValue(k Knob) string {
	if len(k.Choices) > 0 {
		return v.choices[k.Name]
	}
	return strconv.FormatFloat(v.numbers[k.Name], 'f', -1, 64)
}

// DefaultText returns the default as a flag takes it.
func (k Knob) DefaultText() string {
	if len(k.Choices) > 0 {
		return k.Choices[0]
	}
	return strconv.FormatFloat(k.Default, 'f', -1, 64)
}
