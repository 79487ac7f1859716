package faulty

import (
	"os"
	"strconv"
	"testing"
)

// Seeds returns which seeds a simulation should run: n of them, beginning with
// first. RIDEHAIL_SIM_SEEDS=N sets how many, RIDEHAIL_SIM_FIRST=S where to
// begin; a failing seed alone is RIDEHAIL_SIM_FIRST=S RIDEHAIL_SIM_SEEDS=1.
//
// A seed decides which faults come when, but not which of two goroutines runs
// first. Try a failing seed several times (-count 20).
func Seeds(t testing.TB, otherwise uint64) (first, n uint64) {
	t.Helper()
	read := func(name string, otherwise uint64) uint64 {
		text := os.Getenv(name)
		if text == "" {
			return otherwise
		}
		v, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			t.Fatalf("%s=%q: give a whole number", name, text)
		}
		return v
	}
	return read("RIDEHAIL_SIM_FIRST", 1), read("RIDEHAIL_SIM_SEEDS", otherwise)
}
