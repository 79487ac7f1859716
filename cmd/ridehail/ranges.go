package main

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// checkRanges returns an error that names the first flag whose number or
// duration lies outside the range of its tag: range:"LOWEST..HIGHEST", where
// one side may be missing. No range has NaN or an infinity in it.
func checkRanges(flags []*kong.Flag) error {
	for _, f := range flags {
		target := reflect.Indirect(f.Target)
		if !target.IsValid() {
			continue // a pointer that no value was given to
		}

		low, high, _ := strings.Cut(f.Tag.Get("range"), "..")
		var ok bool
		switch v := target.Interface().(type) {
		case time.Duration:
			ok = isBetween(float64(v), parseBound(low, parseSpan), parseBound(high, parseSpan))
		case int, int64:
			ok = isBetween(float64(target.Int()), parseBound(low, parseNumber), parseBound(high, parseNumber))
		case float64:
			ok = isBetween(v, parseBound(low, parseNumber), parseBound(high, parseNumber))
		default:
			continue
		}
		if !ok {
			return fmt.Errorf("--%s %v: give %s", f.Name, target.Interface(), formatRange(low, high))
		}
	}
	return nil
}

// isBetween is false for NaN; a bound that is missing is NaN.
func isBetween(v, low, high float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && !(v < low) && !(v > high)
}

// parseBound parses one side of a range; NaN if it is missing. A bound that
// cannot be read is a mistake in this program.
func parseBound(text string, parse func(string) (float64, error)) float64 {
	if text == "" {
		return math.NaN()
	}
	v, err := parse(text)
	if err != nil {
		panic(fmt.Sprintf("the bound %q of a flag's range: %v", text, err))
	}
	return v
}

func parseNumber(text string) (float64, error) { return strconv.ParseFloat(text, 64) }

func parseSpan(text string) (float64, error) {
	d, err := time.ParseDuration(text)
	return float64(d), err
}

func formatRange(low, high string) string {
	switch {
	case low == "" && high == "":
		return "a number"
	case high == "":
		return low + " or more"
	case low == "":
		return high + " or less"
	}
	return low + " to " + high
}

// joinNegatives writes "--flag -5" as "--flag=-5". Otherwise the parser takes
// the number for a flag, and says so.
func joinNegatives(args []string) (out []string) {
	for _, a := range args {
		last := len(out) - 1
		if last >= 0 && strings.HasPrefix(out[last], "--") && !strings.Contains(out[last], "=") && isNegative(a) {
			out[last] += "=" + a
			continue
		}
		out = append(out, a)
	}
	return out
}

// isNegative says whether an argument is a negative number or duration.
func isNegative(arg string) bool {
	rest, ok := strings.CutPrefix(arg, "-")
	if !ok || rest == "" {
		return false
	}
	return rest[0] == '.' || '0' <= rest[0] && rest[0] <= '9' || strings.EqualFold(rest, "inf")
}
