package check_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process/processtest"
)

// mutant is a bug that is planted by a build overlay, so that released builds
// never contain one.
type mutant struct {
	name string
	change
	also  []change
	judge [2]string // package and test that must fail
	says  string    // text in the test's output
	needs string    // environment variable that the test needs
}

type change struct {
	file string // from the module's root
	// swaps are pairs: a text that occurs exactly once, and its replacement.
	swaps []string
}

var fire = [2]string{"./lab/chaos/check", "TestANodeUnderFireKeepsItsPromises"}

var (
	libraryRetries = change{"events/redis.go", []string{"o.MaxRetries = -1", "o.MaxRetries = 3"}}
	lostReply      = [2]string{"./events", "TestAJobWhoseReplyWasLostHasOneEffect"}
)

// compose is no part of a build, so its tests get the path of a changed copy.
const compose = "compose.yaml"

// withRapid are the packages whose property tests would otherwise save the
// expected failure to a file.
var withRapid = []string{"./store/sqlite", "./store/postgres", "./gateway", "./sharedstate"}

var mutants = []mutant{
	{name: "no unique index", change: change{"migrations/sqlite/0001_schema.sql", []string{"CREATE UNIQUE INDEX trips_one_per_driver", "CREATE INDEX trips_one_per_driver"}},
		judge: fire, says: "FAIL  a driver has one active trip at most"},
	{name: "ack before commit", change: change{"store/sqlite/trips.go", []string{"	return writeCommitted(ctx, s.database, func(tx *statements) (trips.Event, error) {\n		was",
		"	go writeCommitted(context.WithoutCancel(ctx), s.database, func(tx *statements) (trips.Event, error) {\n		was",
		"		return ev, recordMove(tx, m.Key, ev, payload)\n	})\n",
		"		return ev, recordMove(tx, m.Key, ev, payload)\n	})\n	return ev, nil\n"}},
		judge: fire, says: "FAIL  each command acked as done was done"},
	{name: "retry without request id", change: change{"trips/service.go", []string{"(Event, error) {\n	for range maxAttempts {",
		"(Event, error) {\n	k.ID = uuid.NewString()\n	for range maxAttempts {"}},
		judge: fire, says: "FAIL  what is done in a person's name is what they asked for"},
	{name: "chat numbered by the node", change: change{"store/sqlite/chat.go", []string{"	_, err := tx.exec(ctx, `INSERT INTO chat (",
		"	spoken++\n	m.Seq = spoken\n	_, err := tx.exec(ctx, `INSERT INTO chat (",
		"func insertMessage(", "var spoken uint32\n\nfunc insertMessage("}},
		judge: fire, says: "FAIL  chat messages of a trip are numbered 1, 2, 3"},
	{name: "a step is made from anywhere", change: change{"trips/place.go", []string{"	if err := CheckPlace(t, s); err != nil {\n		return Event{}, err\n	}\n", ""}},
		judge: fire, says: "FAIL  a car is where its driver arrives, starts and completes"},
	{name: "XACK before the effect", change: change{"events/worker.go", []string{"	err := w.callHandler(ctx, j)\n", "	w.completeJob(ctx, j)\n	err := w.callHandler(ctx, j)\n"}},
		judge: fire, says: "FAIL  the provider took each completed trip's quoted fare once"},
	{name: "MAXLEN on the job stream", change: change{"events/queue.go", []string{"&redis.XAddArgs{Stream: r.streamKey(stream), Values",
		"&redis.XAddArgs{MaxLen: 1, Stream: r.streamKey(stream), Values"}},
		judge: fire, says: "FAIL  each completed trip is charged"},
	{name: "a replica's PUBLISH counts", change: change{"events/relay.go", []string{"	pipe.Del(ctx, rl.redis.probeKey())\n", ""}},
		judge: [2]string{"./events", "TestABatchThatAReplicaTakesIsNotPublished"}, says: "a batch was published by a replica"},
	{name: "charge retried under a new reference", change: change{"payments/settle.go", []string{"	p, err := s.Provider.Charge(ctx, o)\n",
		"	o.Reference += time.Now().Format(\"-150405.000000\")\n	p, err := s.Provider.Charge(ctx, o)\n"}},
		judge: fire, says: "FAIL  ledger, charges and quoted fares have the same sum"},
	{name: "no version in the update", change: change{"store/sqlite/trips.go", []string{"WHERE id = ? AND version = ?`,", "WHERE id = ? AND version > 0 * ?`,"}},
		judge: [2]string{"./store/sqlite", "TestSQLiteKeepsEveryPromiseOfAStore"}, says: "--- FAIL"},
	{name: "outbox read by id alone", change: change{"store/postgres/outbox.go", []string{"WHERE (outbox.xid, outbox.id) > (SELECT cursor_xid, cursor_id FROM relay)\n" +
		"  AND outbox.xid < pg_snapshot_xmin(pg_current_snapshot())\nORDER BY outbox.xid, outbox.id\n",
		"WHERE outbox.id > (SELECT cursor_id FROM relay)\nORDER BY outbox.id\n"}},
		judge: [2]string{"./store/postgres", "TestAMessageCommittedLateIsRelayedBeforeItsSuccessors"},
		says:  "--- FAIL", needs: "RIDEHAIL_TEST_POSTGRES"},
	{name: "positions pushed without credit", change: change{"gateway/latest_position.go", []string{"p.fresh && p.sent-p.acked < ackWindow", "p.fresh"}},
		judge: [2]string{"./gateway", "TestARiderWhoAcksNothingGetsTwoPositionsAndThenTheNewest"}, says: "--- FAIL"},
	{name: "acks before the disk has it", change: change{compose,
		[]string{"synchronous_commit=on", "synchronous_commit=off"}},
		judge: [2]string{"./store/postgres", "TestEveryAckedMoveSurvivesAKilledPostgres"}, says: "acked moves are gone",
		needs: "RIDEHAIL_TEST_POSTGRES"},
	{name: "Redis keeps snapshots only", change: change{compose,
		[]string{`"--appendonly", "yes"`, `"--appendonly", "no"`}},
		judge: [2]string{"./events", "TestEveryQueuedJobSurvivesAKilledRedis"}, says: "queued jobs are gone",
		needs: "RIDEHAIL_TEST_REDIS"},
	{name: "our own pause counts as silence", change: change{"internal/detector/guard.go",
		[]string{"return !last.IsZero() && now.Sub(last) > LateAfter", "return false"}},
		judge: [2]string{"./sharedstate", "TestOurOwnPauseKillsNoDriver"}, says: "--- FAIL: TestOurOwnPauseKillsNoDriver"},
	{name: "the library sends jobs again, and they have no names", change: libraryRetries,
		also:  []change{{"events/worker.go", []string{"return Job{ID: readField(m, fieldID),", "return Job{ID: m.ID,"}}},
		judge: lostReply, says: "charges for 20 jobs", needs: "RIDEHAIL_TEST_REDIS"},
}

func TestTheMutationTableNamesEveryPlantedBug(t *testing.T) {
	text, err := os.ReadFile("../../../docs/chaos.md")
	if err != nil {
		t.Fatal(err)
	}

	for _, m := range mutants {
		if !strings.Contains(string(text), "| "+m.name+" | `"+m.file+"` | ") {
			t.Errorf("docs/chaos.md has no row for the bug %q in %s", m.name, m.file)
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

	m := mutant{change: libraryRetries, judge: lostReply, needs: "RIDEHAIL_TEST_REDIS"}
	m.requireServices(t)
	if out, err := m.runJudge(t, root); err != nil {
		t.Errorf("jobs with names are done twice:\n%s", out)
	}
}

// requireServices skips or fails the test where its judge would.
func (m mutant) requireServices(t *testing.T) {
	t.Helper()
	slowtest.Require(t)
	if (m.file == compose || m.judge == lostReply) && runtime.GOOS != "linux" {
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
	overlay, environment := m.plant(t, root)
	args := []string{"test", "-vet=off", "-overlay", overlay, "-count=1", "-timeout=90s",
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

// plant writes the files with the bug and a build overlay. It returns the
// overlay's path and the judge's additional environment.
func (m mutant) plant(t *testing.T, root string) (overlay string, environment []string) {
	t.Helper()
	dir, replace := t.TempDir(), map[string]string{}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}

	for i, c := range append([]change{m.change}, m.also...) {
		real := filepath.Join(root, c.file)
		text, err := os.ReadFile(real)
		if err != nil {
			t.Fatal(err)
		}

		planted := write(fmt.Sprint("planted", i, filepath.Ext(c.file)), c.planted(t, string(text)))
		if c.file == compose {
			environment = append(environment, processtest.ComposeFile+"="+planted)
			continue
		}
		replace[real] = planted
	}

	plan, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}

	return write("overlay.json", string(plan)), environment
}

func (c change) planted(t *testing.T, text string) string {
	t.Helper()
	for i := 0; i < len(c.swaps); i += 2 {
		if n := strings.Count(text, c.swaps[i]); n != 1 {
			t.Fatalf("%s has %q %d times: plant the bug where it belongs now", c.file, c.swaps[i], n)
		}
		text = strings.Replace(text, c.swaps[i], c.swaps[i+1], 1)
	}
	return text
}
