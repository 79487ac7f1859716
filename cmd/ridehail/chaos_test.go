package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/chaos"
	servers "github.com/ridehail/ridehail/lab/process"
)

// asProgram makes the test binary behave as the program, so that it can be a
// child process.
const asProgram = "RIDEHAIL_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
	}
	// Only the tests of the delay want to wait for it.
	if err := os.Setenv("RIDEHAIL_DRAIN_DELAY", "0s"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// chaosRun is `ridehail chaos` as its own process, with a folder for everything
// it leaves behind.
type chaosRun struct {
	*exec.Cmd
	out    bytes.Buffer
	home   string
	logs   *bufio.Scanner // of standard error
	logged strings.Builder
}

func startChaos(t *testing.T, args ...string) *chaosRun {
	t.Helper()

	if err := servers.MissingServers(); err != nil {
		if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip("chaos needs Redis and Postgres: ", err)
	}

	// The user postgres cannot enter t.TempDir.
	home, err := os.MkdirTemp("", "chaos-test.")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}

	r := &chaosRun{Cmd: exec.Command(os.Args[0], append([]string{"chaos"}, args...)...), home: home}
	r.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+home)
	r.Stdout = &r.out
	errs, err := r.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}

	r.logs = bufio.NewScanner(errs)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		// It has ended unless the test failed before; then the guard cleans up.
		_ = r.Process.Kill()
		if t.Failed() {
			t.Logf("it logged:\n%s", r.logged.String())
			return
		}
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return r
}

// readLogUntil reads the log up to a line that contains a text, or to its end.
func (r *chaosRun) readLogUntil(text string) bool {
	for r.logs.Scan() {
		r.logged.WriteString(r.logs.Text() + "\n")
		if text != "" && strings.Contains(r.logs.Text(), text) {
			return true
		}
	}
	return false
}

// childGroups returns the process groups of its children that have not ended.
func (r *chaosRun) childGroups(t *testing.T) (groups []int) {
	t.Helper()
	for _, p := range processes(t) {
		if p.parent == r.Process.Pid {
			groups = append(groups, p.group)
		}
	}
	return groups
}

type processRow struct{ parent, group int }

// processes returns all processes that have not ended; a zombie has ended.
func processes(t *testing.T) (out []processRow) {
	t.Helper()
	text, err := exec.Command("ps", "-A", "-o", "ppid=,pgid=,stat=").Output()
	if err != nil {
		t.Fatal(err)
	}

	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[2], "Z") {
			continue
		}

		parent, err := strconv.Atoi(f[0])
		if err != nil {
			t.Fatal(err)
		}

		group, err := strconv.Atoi(f[1])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, processRow{parent, group})
	}

	return out
}

// awaitNothingLeft waits until no process of the groups is left, and nothing in
// the folder.
func (r *chaosRun) awaitNothingLeft(t *testing.T, groups []int) {
	t.Helper()

	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		left := 0
		for _, p := range processes(t) {
			for _, g := range groups {
				if p.group == g {
					left++
				}
			}
		}

		files, err := filepath.Glob(r.home + "/*")
		if err != nil {
			t.Fatal(err)
		}
		if left == 0 && len(files) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d processes and the files %v are left", left, files)
		}
	}
}

// runChaos returns the report of a run in which no promise was broken.
func runChaos(t *testing.T, args ...string) (got chaos.Report) {
	t.Helper()
	slowtest.Require(t)
	r := startChaos(t, append([]string{"--drivers", "60", "--riders", "40", "--json"}, args...)...)
	r.readLogUntil("")

	err := r.Wait()
	if jerr := json.Unmarshal(r.out.Bytes(), &got); jerr != nil || err != nil {
		t.Fatalf("%v, %v: %s", err, jerr, r.out.String())
	}
	t.Log("\n" + got.Text())
	return got
}

func TestHalfAMinuteOfChaosBreaksNoPromise(t *testing.T) {
	got := runChaos(t, "--for", "25s", "--seed", "1", "--namespaces")
	if len(got.Windows)+len(got.LeftOut) < 16 || got.Load.Kills < 3 || got.Load.Reconnects == 0 || got.Load.Completed == 0 {
		t.Errorf("too little happened: %+v, %d faults", got.Load, len(got.Windows))
	}
	if len(got.Targets) < 10 || len(got.Recoveries) < 11 || got.Operations.Total == 0 || len(got.Resources) != got.Nodes ||
		got.Takeover.Strikes == 0 || got.Resources[0].Most.Goroutines == 0 {
		t.Errorf("too little was measured: %+v, %+v, %+v", got.Operations, got.Takeover, got.Resources)
	}

	idle := 0
	for _, i := range got.Invariants {
		if i.Checked == 0 {
			idle++ // rare things such as refunds may not have happened
		}
	}

	if len(got.Invariants) < 15 || idle > 2 {
		t.Errorf("of %d promises %d were never put to the test", len(got.Invariants), idle)
	}
}

// TestFailoversOfRedisAndPostgresBreakNoPromise runs on a Redis Cluster and on a
// Postgres with a standby. Among the promises are that nothing is stuck in the
// outbox and that no job is left in the queue.
func TestFailoversOfRedisAndPostgresBreakNoPromise(t *testing.T) {
	got := runChaos(t, "--for", "20s", "--seed", "1", "--redis", "cluster", "--database", "standby")
	var seen []string
	for _, w := range got.Windows {
		seen = append(seen, w.Fault)
	}
	for _, want := range []chaos.Kind{chaos.FailOverRedis, chaos.PauseMaster, chaos.Reshard, chaos.PromoteStandby} {
		if !slices.ContainsFunc(seen, func(fault string) bool { return strings.HasPrefix(fault, string(want)) }) {
			t.Errorf("%s never happened: %v", want, seen)
		}
	}

	kept := map[string]int{}
	for _, i := range got.Invariants {
		kept[i.Name] = i.Checked
	}
	for _, want := range []string{"nothing is stuck in the outbox", "no job is left in the queue"} {
		if kept[want] == 0 {
			t.Errorf("%s: never checked", want)
		}
	}
	if len(got.LeftOut) == 0 || got.Load.Completed == 0 {
		t.Errorf("left out %q, did %+v", got.LeftOut, got.Load)
	}
}

func TestChaosThatIsInterruptedLeavesNothingBehind(t *testing.T) {
	r := startChaos(t, "--for", "60s", "--nodes", "1", "--drivers", "10", "--riders", "10",
		"--redis", "cluster", "--database", "standby")
	if !r.readLogUntil("the city lives") {
		t.Fatal("the city never lived")
	}

	groups := r.childGroups(t)
	if len(groups) < 15 {
		// two Postgres, six Redis, provider, node, drivers, riders, operators,
		// intruder, guard
		t.Errorf("only %d children", len(groups))
	}

	if err := r.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	r.readLogUntil("")
	if err := r.Wait(); err != nil {
		t.Errorf("interrupted, it says %v", err)
	}
	r.awaitNothingLeft(t, groups)
}

func TestChaosThatIsKilledLeavesNothingBehind(t *testing.T) {
	r := startChaos(t, "--for", "60s", "--nodes", "1", "--drivers", "10", "--riders", "10")
	if !r.readLogUntil("the city lives") {
		t.Fatal("the city never lived")
	}

	groups := r.childGroups(t)
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.readLogUntil("")
	if err := r.Wait(); err == nil {
		t.Error("it was not killed")
	}
	r.awaitNothingLeft(t, groups)
}
