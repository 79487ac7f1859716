package check_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is a bug planted in the code that is tested, by a build that reads some files from elsewhere: what is built to
// be shipped never holds one.
type mutant struct {
	name  string
	file  string    // from the module's root
	swaps []string  // what to find, exactly once, and what to put there; in turns
	judge [2]string // package and test that must fail
	says  string    // and what it must say
	needs string    // environment variable without which the judge cannot judge
}

var fire = [2]string{"./chaos/check", "TestANodeUnderFireKeepsItsPromises"}

var mutants = []mutant{
	{name: "no unique index", file: "migrations/sqlite/0001_schema.sql",
		swaps: []string{"CREATE UNIQUE INDEX trips_one_per_driver", "CREATE INDEX trips_one_per_driver"},
		judge: fire, says: "FAIL  a driver has one active trip at most"},
	{name: "ack before commit", file: "sqlite/trips.go",
		swaps: []string{"	return write(ctx, s, func(tx *statements) (trips.Event, error) {\n		was",
			"	go write(context.WithoutCancel(ctx), s, func(tx *statements) (trips.Event, error) {\n		was",
			"		return ev, record(tx, m.Key, ev, payload)\n	})\n",
			"		return ev, record(tx, m.Key, ev, payload)\n	})\n	return ev, nil\n"},
		judge: fire, says: "FAIL  each command acked as done was done"},
	{name: "retry without request id", file: "trips/desk.go",
		swaps: []string{"(Event, error) {\n	for range attempts {",
			"(Event, error) {\n	k.ID = uuid.NewString()\n	for range attempts {"},
		judge: fire, says: "FAIL  what is done in a person's name is what they asked for"},
	{name: "chat numbered by the node", file: "sqlite/chat.go",
		swaps: []string{"	_, err := tx.exec(ctx, `INSERT INTO chat (",
			"	spoken++\n	m.Seq = spoken\n	_, err := tx.exec(ctx, `INSERT INTO chat (",
			"func say(", "var spoken uint32\n\nfunc say("},
		judge: fire, says: "FAIL  chat messages of a trip are numbered 1, 2, 3"},
	{name: "XACK before the effect", file: "events/worker.go",
		swaps: []string{"	err := w.try(ctx, j)\n", "	w.done(ctx, j)\n	err := w.try(ctx, j)\n"},
		judge: fire, says: "FAIL  the provider took each completed trip's quoted fare once"},
	{name: "MAXLEN on the job stream", file: "events/queue.go",
		swaps: []string{"&redis.XAddArgs{Stream: r.streamKey(stream), Values",
			"&redis.XAddArgs{MaxLen: 1, Stream: r.streamKey(stream), Values"},
		judge: fire, says: "FAIL  each completed trip is charged"},
	{name: "charge retried under a new reference", file: "payments/settle.go",
		swaps: []string{"	p, err := s.Provider.Charge(ctx, o)\n",
			"	o.Reference += time.Now().Format(\"-150405.000000\")\n	p, err := s.Provider.Charge(ctx, o)\n"},
		judge: fire, says: "FAIL  ledger, charges and quoted fares have the same sum"},
	{name: "no version in the update", file: "sqlite/trips.go",
		swaps: []string{"WHERE id = ? AND version = ?`,", "WHERE id = ? AND version > 0 * ?`,"},
		judge: [2]string{"./sqlite", "TestSQLiteKeepsEveryPromiseOfAStore"}, says: "--- FAIL"},
	{name: "outbox read by id alone", file: "postgres/outbox.go",
		swaps: []string{"WHERE (outbox.xid, outbox.id) > (SELECT cursor_xid, cursor_id FROM relay)\n" +
			"  AND outbox.xid < pg_snapshot_xmin(pg_current_snapshot())\nORDER BY outbox.xid, outbox.id\n",
			"WHERE outbox.id > (SELECT cursor_id FROM relay)\nORDER BY outbox.id\n"},
		judge: [2]string{"./postgres", "TestANoticeCommittedLateIsToldBeforeItsSuccessors"},
		says:  "--- FAIL", needs: "RIDEHAIL_TEST_POSTGRES"},
	{name: "positions pushed without credit", file: "gateway/session.go",
		swaps: []string{"c.fresh && c.sent-c.acked < credit", "c.fresh"},
		judge: [2]string{"./gateway", "TestARiderWhoAcksNothingGetsTwoPositionsAndThenTheNewest"}, says: "--- FAIL"},
}

func TestTheTableOfTeethNamesEveryPlantedBug(t *testing.T) {
	text, err := os.ReadFile("../../docs/chaos.md")
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
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			if m.needs != "" && os.Getenv(m.needs) == "" {
				if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
					t.Fatal(m.needs + " is not set, and RIDEHAIL_TEST_REQUIRE wants it; use ci/with-services")
				}
				t.Skip("needs " + m.needs + "; use ci/with-services")
			}
			out, err := m.judged(t, root)
			if err == nil {
				t.Fatalf("nobody notices:\n%s", out)
			}
			if !strings.Contains(out, m.says) || strings.Contains(out, "[build failed]") {
				t.Errorf("want %q in:\n%s", m.says, out)
			}
		})
	}
}

// judged runs the test that must fail, built as this one is, so that all but the planted bug is built already.
func (m mutant) judged(t *testing.T, root string) (string, error) {
	args := []string{"test", "-vet=off", "-overlay", m.plant(t, root), "-count=1", "-timeout=90s",
		"-run", "^" + m.judge[1] + "$"}
	if raceDetected {
		args = append(args, "-race")
	}
	args = append(args, m.judge[0])
	if m.judge[0] != "./chaos/check" { // the suites' properties would keep the failure that is wanted here
		args = append(args, "-rapid.nofailfile")
	}
	run := exec.CommandContext(t.Context(), "go", args...)
	run.Dir = root
	out, err := run.CombinedOutput()
	return string(out), err
}

// plant writes the file with the bug, and what tells the compiler to read it; it returns the latter's name.
func (m mutant) plant(t *testing.T, root string) string {
	t.Helper()
	real := filepath.Join(root, m.file)
	text, err := os.ReadFile(real)
	if err != nil {
		t.Fatal(err)
	}
	bad := string(text)
	for i := 0; i < len(m.swaps); i += 2 {
		if n := strings.Count(bad, m.swaps[i]); n != 1 {
			t.Fatalf("%s has %q %d times: plant the bug where it belongs now", m.file, m.swaps[i], n)
		}
		bad = strings.Replace(bad, m.swaps[i], m.swaps[i+1], 1)
	}
	dir := t.TempDir()
	planted, overlay := filepath.Join(dir, "planted"+filepath.Ext(m.file)), filepath.Join(dir, "overlay.json")
	plan, err := json.Marshal(map[string]map[string]string{"Replace": {real: planted}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{planted: bad, overlay: string(plan)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}
