// Package slowtest marks the tests that take long, so that go test ./... is
// quick enough to run after each change: whole cities of processes, planted
// bugs, and the browser. make test runs them all.
package slowtest

import (
	"os"
	"testing"
)

// Require skips a slow test, with a message that says how to run it. It lets
// the test go on when RIDEHAIL_TEST_SLOW is 1, and when RIDEHAIL_TEST_REQUIRE is
// 1, as in make test.
func Require(t testing.TB) {
	t.Helper()
	if os.Getenv("RIDEHAIL_TEST_SLOW") != "1" && os.Getenv("RIDEHAIL_TEST_REQUIRE") != "1" {
		t.Skip("a slow test: set RIDEHAIL_TEST_SLOW=1, or run make test")
	}
}
