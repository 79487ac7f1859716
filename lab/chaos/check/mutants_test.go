package check_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/planted/overlay"
	"github.com/ridehail/ridehail/lab/process/processtest"
)

// mutant is a bug that is planted by a build overlay, so that released builds
// never contain one.
type mutant struct {
	name    string
	changes []overlay.Change
	lesson  string    // the name of the bug in ridehail lab break, if it is one
	judge   [2]string // package and test that must fail
	says    string    // text in the test's output
	needs   string    // environment variable that the test needs
}

// one is the changes of a bug in one file.
func one(file string, swaps ...string) []overlay.Change {
	return []overlay.Change{{File: file, Swaps: swaps}}
}

var fire = [2]string{"./lab/chaos/check", "TestANodeUnderFireKeepsItsPromises"}

var (
	libraryRetries = one("events/engine.go", "o.MaxRetries = -1", "o.MaxRetries = 3")
	lostReply      = [2]string{"./events", "TestAJobWhoseReplyWasLostHasOneEffect"}
)

// compose is no part of a build, so its tests get the path of a changed copy.
const compose = "compose.yaml"

// withRapid are the packages whose property tests would otherwise save the
// expected failure to a file.
var withRapid = []string{"./store/sqlite", "./store/postgres", "./gateway", "./sharedstate"}

var mutants = []mutant{
	{name: "no unique index", lesson: "no-unique-index", judge: fire, says: "FAIL  a driver has one active trip at most"},
	{name: "ack before commit", lesson: "ack-before-commit", judge: fire, says: "FAIL  each command acked as done was done"},
	{name: "retry without request id", changes: one("trips/service.go", "(Event, error) {\n	for range maxAttempts {",
		"(Event, error) {\n	k.ID = uuid.NewString()\n	for range maxAttempts {"),
		judge: fire, says: "FAIL  what is done in a person's name is what they asked for"},
	{name: "chat numbered by the node", changes: one("store/sqlite/chat.go", "	_, err := tx.exec(ctx, `INSERT INTO chat (",
		"	spoken++\n	m.Seq = spoken\n	_, err := tx.exec(ctx, `INSERT INTO chat (",
		"func insertMessage(", "var spoken uint32\n\nfunc insertMessage("),
		judge: fire, says: "FAIL  chat messages of a trip are numbered 1, 2, 3"},
	{name: "a step is made from anywhere", changes: one("trips/place.go", "	if err := CheckPlace(t, s); err != nil {\n		return Event{}, err\n	}\n", ""),
		judge: fire, says: "FAIL  a car is where its driver arrives, starts and completes"},
	{name: "XACK before the effect", lesson: "xack-before-effect", judge: fire,
		says: "FAIL  the provider took each completed trip's quoted fare once"},
	{name: "MAXLEN on the job stream", changes: one("events/queue.go", "&redis.XAddArgs{Stream: r.streamKey(stream), Values",
		"&redis.XAddArgs{MaxLen: 1, Stream: r.streamKey(stream), Values"),
		judge: fire, says: "FAIL  each completed trip is charged"},
	{name: "a replica's PUBLISH counts", changes: one("events/relay.go", "pipe.Del(ctx, rl.redis.probeKey())",
		`pipe.Publish(ctx, rl.redis.probeKey(), "")`),
		judge: [2]string{"./events", "TestABatchThatAReplicaTakesIsNotPublished"}, says: "a batch was published by a replica"},
	{name: "charge retried under a new reference", lesson: "new-reference-per-try", judge: fire,
		says: "FAIL  ledger, charges and quoted fares have the same sum"},
	{name: "no version in the update", changes: one("store/sqlite/trips.go", "WHERE id = ? AND version = ?`,", "WHERE id = ? AND version > 0 * ?`,"),
		judge: [2]string{"./store/sqlite", "TestSQLiteKeepsEveryPromiseOfAStore"}, says: "--- FAIL"},
	{name: "outbox read by id alone", lesson: "outbox-by-id",
		judge: [2]string{"./store/postgres", "TestAMessageCommittedLateIsRelayedBeforeItsSuccessors"},
		says:  "--- FAIL", needs: "RIDEHAIL_TEST_POSTGRES"},
	{name: "positions pushed without credit", changes: one("gateway/latest_position.go", "p.fresh && p.sent-p.acked < ackWindow", "p.fresh"),
		judge: [2]string{"./gateway", "TestARiderWhoAcksNothingGetsTwoPositionsAndThenTheNewest"}, says: "--- FAIL"},
	{name: "acks before the disk has it", changes: one(compose, "synchronous_commit=on", "synchronous_commit=off"),
		judge: [2]string{"./store/postgres", "TestEveryAckedMoveSurvivesAKilledPostgres"}, says: "acked moves are gone",
		needs: "RIDEHAIL_TEST_POSTGRES"},
	{name: "Redis keeps snapshots only", changes: one(compose, `"--appendonly", "yes"`, `"--appendonly", "no"`),
		judge: [2]string{"./events", "TestEveryQueuedJobSurvivesAKilledRedis"}, says: "queued jobs are gone",
		needs: "RIDEHAIL_TEST_REDIS"},
	{name: "our own pause counts as silence", changes: one("internal/detector/guard.go", "return !last.IsZero() && now.Sub(last) > LateAfter", "return false"),
		judge: [2]string{"./sharedstate", "TestOurOwnPauseKillsNoDriver"}, says: "--- FAIL: TestOurOwnPauseKillsNoDriver"},
	{name: "the library sends jobs again, and they have no names",
		changes: slices.Concat(libraryRetries, one("events/worker.go", "return Job{ID: readField(m, fieldID),", "return Job{ID: m.ID,")),

		judge: lostReply, says: "charges for 20 jobs", needs: "RIDEHAIL_TEST_REDIS"},
}

func TestTheMutationTableNamesEveryPlantedBug(t *testing.T) {
	text, err := os.ReadFile("../../../docs/chaos.md")
	if err != nil {
		t.Fatal(err)
	}

	for _, m := range mutants {
		if file := m.planted()[0].File; !strings.Contains(string(text), "| "+m.name+" | `"+file+"` | ") {
			t.Errorf("docs/chaos.md has no row for the bug %q in %s", m.name, file)
		}
	}
}

func TestEveryPlantedBugIsCaught(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}

	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			m.requireServices(t)
			out, err := m.runJudge(t, root)
			if err == nil {
				t.Fatalf("no test fails:\n%s", out)
			}
			if !strings.Contains(out, m.says) || strings.Contains(out, "[build failed]") {
				t.Errorf("want %q in:\n%s", m.says, out)
			}
		})
	}
}

// TestAnEntryThatTheLibrarySendsTwiceIsHarmless is the other half of a bug in
// the table: only both together do harm.
func TestAnEntryThatTheLibrarySendsTwiceIsHarmless(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}

	m := mutant{changes: libraryRetries, judge: lostReply, needs: "RIDEHAIL_TEST_REDIS"}
	m.requireServices(t)
	if out, err := m.runJudge(t, root); err != nil {
		t.Errorf("jobs with names are done twice:\n%s", out)
	}
}

// requireServices skips or fails the test where its judge would.
func (m mutant) requireServices(t *testing.T) {
	t.Helper()
	slowtest.Require(t)
	if (m.planted()[0].File == compose || m.judge == lostReply) && runtime.GOOS != "linux" {
		t.Skip("its judge kills servers as Linux does")
	}
	if m.needs == "" || os.Getenv(m.needs) != "" {
		return
	}
	if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
		t.Fatal(m.needs + " is not set, and RIDEHAIL_TEST_REQUIRE wants it; use ci/with-services")
	}

	t.Skip("needs " + m.needs + "; use ci/with-services")
}

// runJudge runs the test that must fail, with the build flags of this test, so
// that the build cache has all but the changed files.
func (m mutant) runJudge(t *testing.T, root string) (string, error) {
	plan, environment := m.plant(t, root)
	args := []string{"test", "-vet=off", "-tags", overlay.Tag, "-overlay", plan, "-count=1", "-timeout=90s",
		"-run", "^" + m.judge[1] + "$"}
	if raceDetected {
		args = append(args, "-race")
	}
	args = append(args, m.judge[0])
	if slices.Contains(withRapid, m.judge[0]) {
		args = append(args, "-rapid.nofailfile")
	}

	run := exec.CommandContext(t.Context(), "go", args...)
	run.Dir, run.Env = root, append(os.Environ(), environment...)
	out, err := run.CombinedOutput()
	return string(out), err
}

// planted returns what the bug changes.
func (m mutant) planted() []overlay.Change {
	if m.lesson != "" {
		return overlay.ChangesOf(m.lesson)
	}
	return m.changes
}

// plant writes the files with the bug and a build overlay. It returns the
// overlay's path and the judge's additional environment.
func (m mutant) plant(t *testing.T, root string) (plan string, environment []string) {
	t.Helper()
	dir, changes := t.TempDir(), m.planted()
	if m.lesson != "" {
		environment = append(environment, overlay.Variable+"="+m.lesson)
	}
	if c := changes[0]; c.File == compose {
		environment = append(environment, processtest.ComposeFile+"="+plantInCompose(t, root, dir, c))
		changes = nil
	}

	plan, err := overlay.Write(root, dir, changes)
	if err != nil {
		t.Fatal(err)
	}
	return plan, environment
}

// plantInCompose returns the path of a changed copy of compose.yaml.
func plantInCompose(t *testing.T, root, dir string, c overlay.Change) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, compose))
	if err != nil {
		t.Fatal(err)
	}
	planted, err := c.Apply(string(text))
	if err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(dir, compose)
	if err := os.WriteFile(path, []byte(planted), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
