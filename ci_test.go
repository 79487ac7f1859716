package ridehail_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestScriptsThatFindNothingToRunFail runs them in an empty tree, and asks for
// a folder without benchmarks in this one.
func TestScriptsThatFindNothingToRunFail(t *testing.T) {
	empty := t.TempDir()
	if err := os.CopyFS(filepath.Join(empty, "ci"), os.DirFS("ci")); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		dir, want string
		args      []string
	}{
		{empty, "no Fuzz function", []string{"ci/fuzz", "1s"}},
		{empty, "no benchmark", []string{"ci/bench", "--tiny"}},
		{".", "no benchmark in ./migrations", []string{"ci/bench", "./migrations"}},
	} {
		cmd := exec.Command("bash", c.args...)
		cmd.Dir = c.dir
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%v: %v, %s; want %q", c.args, err, out, c.want)
		}
	}
}

func TestMakeTestRunsEachBenchmarkAndFuzzFunction(t *testing.T) {
	for _, line := range []string{"\tRIDEHAIL_BIN=\"$$PWD/bin/ridehail-race\" ci/with-services ci/bench --tiny\n", "\tci/fuzz 1s\n"} {
		if !strings.Contains(page(t, "Makefile"), line) {
			t.Errorf("the Makefile lacks the line %q", line)
		}
	}
}
