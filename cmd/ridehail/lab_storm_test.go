package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/slowtest"
	servers "github.com/ridehail/ridehail/lab/process"
	stormlab "github.com/ridehail/ridehail/lab/storm"
)

func TestAllPhonesOfASmallStormComeBack(t *testing.T) {
	slowtest.Require(t)
	t.Parallel()
	if err := servers.MissingServers(); err != nil {
		if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip("a storm needs Redis and Postgres: ", err)
	}

	// The user postgres cannot enter t.TempDir.
	home, err := os.MkdirTemp("", "storm-test.")
	if err != nil {
		t.Fatal(err)
	}

	defer func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	}()

	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	plot := filepath.Join(t.TempDir(), "storm.svg")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "lab", "storm", "--phones", "200", "--steady", "3s", "--json", "--plot", plot)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+home)

	// The program ends its child processes after an interrupt.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}

	var found struct{ Figures stormlab.StormFigures }
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if len(found.Figures.Storms) != 2 || found.Figures.Storms[0].Jitter == found.Figures.Storms[1].Jitter {
		t.Fatalf("not one storm of each kind: %s", text)
	}

	for _, s := range found.Figures.Storms {
		if s.Back != 200 || s.Riding == 0 || s.Steady <= 0 || s.Peak <= 0 || s.MemoryMB <= 0 || s.P99 < s.P50 || s.Max < s.P99 {
			t.Errorf("figures %+v", s)
		}
	}

	if info, err := os.Stat(plot); err != nil || info.Size() < 1000 {
		t.Errorf("the picture: %v", err)
	}
	if left, err := filepath.Glob(home + "/*"); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}
