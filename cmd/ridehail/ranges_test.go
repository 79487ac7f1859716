package main

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/ridehail/ridehail/lab"
)

// numericFlag is a flag that takes a number or a duration.
type numericFlag struct {
	command []string // that selects its command, with what the command requires
	flag    *kong.Flag
}

// numericFlags are those of all commands.
func numericFlags(t *testing.T) (all []numericFlag) {
	t.Helper()
	parser, err := kong.New(newCLI(lab.All()), kong.Vars{"demo_listen": "127.0.0.1:8080"})
	if err != nil {
		t.Fatal(err)
	}

	commands := parser.Model.Leaves(false)
	if len(commands) != 23+len(lab.All()) {
		t.Errorf("there are %d commands", len(commands))
	}
	for _, leaf := range commands {
		command := strings.Fields(strings.TrimPrefix(leaf.Path(), "ridehail"))
		for _, f := range leaf.Flags {
			if f.Required {
				command = append(command, "--"+f.Name, "x")
			}
		}
		for _, f := range leaf.Flags {
			switch zeroOf(f).(type) {
			case int, int64, float64, time.Duration:
				all = append(all, numericFlag{command, f})
			}
		}
	}
	return all
}

// zeroOf returns the zero value of what a flag takes, also behind a pointer.
func zeroOf(f *kong.Flag) any {
	t := f.Target.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return reflect.Zero(t).Interface()
}

// badValues are some that lie outside a range.
func (n numericFlag) badValues() (out []string) {
	low, high, _ := strings.Cut(n.flag.Tag.Get("range"), "..")
	switch zeroOf(n.flag).(type) {
	case time.Duration:
		if low != "" {
			out = append(out, "-1s", "-1ns")
		}
		if low != "" && low != "0s" {
			out = append(out, "0s", "1ns")
		}
		if high != "" {
			out = append(out, "100000h")
		}
		return append(out, "5", "NaN") // a number without its unit
	case float64:
		out = append(out, "NaN", "Inf", "-Inf", "+Inf", "1e400")
	default:
		out = append(out, "1.5", "9223372036854775808")
	}

	if low != "" {
		out = append(out, "-5")
		if low != "0" && low[0] != '-' {
			out = append(out, "0")
		}
	}
	if high != "" {
		out = append(out, high+"1")
	}
	return out
}

func TestEveryNumberOutOfRangeIsRefusedByItsFlagsName(t *testing.T) {
	t.Chdir(t.TempDir())
	flags, tried := numericFlags(t), 0
	for _, n := range flags {
		if !n.flag.Tag.Has("range") {
			t.Errorf("--%s of %v has no range", n.flag.Name, n.command)
		}
		for _, value := range n.badValues() {
			// Alone, or as one word with its flag.
			expectRefused(t, n.flag.Name, append(n.command, "--"+n.flag.Name, value))
			expectRefused(t, n.flag.Name, append(n.command, "--"+n.flag.Name+"="+value))
			tried++
		}
	}

	if len(flags) < 45 || tried < 200 {
		t.Errorf("only %d flags were tried, with %d values", len(flags), tried)
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("a refused command left %v, %v", left, err)
	}
}

// expectRefused runs a command that must end at once with exit code 2 and a
// line that names the flag.
func expectRefused(t *testing.T, flag string, args []string) {
	t.Helper()
	var out, logs bytes.Buffer
	code := run(t.Context(), nil, args, &out, &logs)
	first, _, _ := strings.Cut(logs.String(), "\n")
	if code != exitUsage || !strings.Contains(first, "--"+flag) || strings.Contains(first, "perhaps try") || out.Len() > 0 {
		t.Errorf("%v: exit %d, %s%s", args, code, &out, &logs)
	}
}

func TestTheFlagsThatMadeNoSenseAreRefusedInWordsThatHelp(t *testing.T) {
	for line, says := range map[string]string{
		"demo --speed 0":                  "--speed 0: give 0.01 to 1000",
		"demo --drivers -5":               "--drivers -5: give 0 to 1000000",
		"demo --sos 2":                    "--sos 2: give 0 to 1",
		"demo --for -1s":                  "--for -1s: give 0s or more",
		"serve --dev-tokens --speed -inf": "--speed -Inf: give 0.01 to 1000",
		"serve --drain-delay -1s":         "--drain-delay -1s: give 0s or more",
		"audit --grace -1s":               "--grace -1s: give 0s or more",
		"chaos --nodes 0":                 "--nodes 0: give 1 to 20",
		"chaos --nodes 3 --riders 2":      "as many as --nodes or more",
		"latency --pairs 0":               "--pairs 0: give 1 to 1000000",
	} {
		var out, logs bytes.Buffer
		if code := run(t.Context(), nil, strings.Fields(line), &out, &logs); code != exitUsage || !strings.Contains(logs.String(), says) {
			t.Errorf("%s: exit %d, %s", line, code, &logs)
		}
	}
}

func TestANumberFromTheEnvironmentIsHeldToTheSameRange(t *testing.T) {
	t.Setenv("RIDEHAIL_DRAIN_DELAY", "-2s")
	expectRefused(t, "drain-delay", []string{"serve", "--dev-tokens"})
}

func TestTheBoundsOfARangeAreAllowed(t *testing.T) {
	for _, line := range []string{"demo --speed 0.01", "demo --sos 1", "serve --drain-delay 0", "serve --clock-offset -1h", "simulate --idle -1",
		"intruder --targets x --rounds 0", "riders --per-minute 0 --count 1", "payments --hang-for 0 --hang 1"} {
		parser, err := kong.New(newCLI(lab.All()), kong.Vars{"demo_listen": "127.0.0.1:8080"})
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.Parse(joinNegatives(strings.Fields(line)))
		if err == nil {
			err = checkRanges(parsed.Flags())
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
