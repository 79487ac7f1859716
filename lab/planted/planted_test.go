package planted_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/finding/findingtest"
	"github.com/ridehail/ridehail/lab/planted"
	"github.com/ridehail/ridehail/lab/process"
)

// nodeFile, if set, makes this program the node of a story on that file.
const nodeFile = "RIDEHAIL_LAB_NODE_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(nodeFile); file != "" {
		if err := planted.ServeNode(context.Background(), file, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func startNode(file string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), nodeFile+"="+file)
	return c
}

// shortest are the histories that the lessons are about, by their steps.
var shortest = map[string][]int{
	"ack-before-commit":     {3, 4},
	"no-unique-index":       {1, 2, 5, 6},
	"xack-before-effect":    {3, 4},
	"new-reference-per-try": {3, 4},
	"outbox-by-id":          {1, 4, 5, 6},
}

// databaseFor returns the server for a lesson. It skips the test where one is
// needed and there is none.
func databaseFor(t *testing.T, l planted.Lesson) string {
	t.Helper()
	if l.Name != "outbox-by-id" {
		return ""
	}
	if url := os.Getenv(findingtest.Postgres); url != "" {
		return url
	}
	if err := process.MissingPostgres(); err != nil && os.Getenv("RIDEHAIL_TEST_REQUIRE") != "1" {
		t.Skip(err)
	}
	return ""
}

func TestTheRightCodeKeepsItsPromisesInEachStory(t *testing.T) {
	slowtest.Require(t)
	for _, l := range planted.Lessons() {
		for _, steps := range [][]int{nil, shortest[l.Name]} {
			t.Run(fmt.Sprint(l.Name, steps), func(t *testing.T) {
				r, err := planted.Run(t.Context(), planted.Config{Steps: steps, Database: databaseFor(t, l), StartNode: startNode}, l.Name)
				if err != nil {
					t.Fatal(err)
				}
				if !r.Holds || r.Planted || r.Checked == 0 || r.Runs != 1 || r.Promise != l.Breaks {
					t.Errorf("%+v\n%s", r, r.Text())
				}
				checkText(t, r)
			})
		}
	}
}

// checkText checks that a result fits into a terminal, and that what it says
// about the clocks is true.
func checkText(t *testing.T, r planted.Result) {
	t.Helper()
	text := r.Text()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(text, r.Promise) || !strings.Contains(r.SVG(), html.EscapeString(r.Promise)) || len(r.History) == 0 {
		t.Errorf("the promise or the history is missing:\n%s", text)
	}

	last := map[string]int{}
	for _, e := range r.History {
		if e.Clock <= last[e.From] || e.To != "" && !e.Lost && (e.Received <= e.Clock || e.Received <= last[e.To]) {
			t.Errorf("the clock of %+v is not after %v", e, last)
		}
		last[e.From] = e.Clock
		if e.To != "" && !e.Lost {
			last[e.To] = e.Received
		}
	}
}

func TestAKilledNodeThatWaitedForItsCommitHasAckedNothing(t *testing.T) {
	slowtest.Require(t)
	r, err := planted.Run(t.Context(), planted.Config{Steps: []int{3, 4}, StartNode: startNode}, "ack-before-commit")
	if err != nil {
		t.Fatal(err)
	}

	var said []string
	for _, e := range r.History {
		said = append(said, e.From+": "+e.Text)
	}
	want := []string{"Ada: a ride?", "Ada: gets no answer", "node: ✗ killed, and started again", "database: has no ride of Ada"}
	if !slices.Equal(said, want) {
		t.Errorf("got %q, want %q", said, want)
	}
}

func TestALostAnswerIsAskedForByTheTripsOneReference(t *testing.T) {
	r, err := planted.Run(t.Context(), planted.Config{Steps: []int{3, 4}, StartNode: startNode}, "new-reference-per-try")
	if err != nil {
		t.Fatal(err)
	}

	text := r.Diagram()
	if !strings.Contains(text, "did you take it?") || !strings.Contains(text, "yes") || strings.Count(text, "charge trip-T1") != 1 {
		t.Error("\n" + text)
	}
}

func TestALessonThatCannotBeRunSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		lesson string
		cfg    planted.Config
		is     error
		says   string
	}{
		"no such bug":        {"none", planted.Config{}, finding.ErrUsage, "only ack-before-commit, no-unique-index"},
		"no such step":       {"no-unique-index", planted.Config{Steps: []int{1, 7}}, finding.ErrUsage, "the steps 1 to 6, and no 7"},
		"no such server":     {"outbox-by-id", planted.Config{Database: "postgres://127.0.0.1:1/x"}, finding.ErrUnreachable, "--database"},
		"not a server's URL": {"outbox-by-id", planted.Config{Database: "city.db"}, finding.ErrUsage, "--database"},
	} {
		_, err := planted.Run(t.Context(), c.cfg, c.lesson)
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALessonThatIsStoppedLeavesNothingRunning(t *testing.T) {
	for _, name := range []string{"ack-before-commit", "xack-before-effect"} {
		ctx, stop := context.WithCancel(t.Context())
		started := func(file string) *exec.Cmd { stop(); return startNode(file) }
		if name == "xack-before-effect" {
			stop()
		}
		if _, err := planted.Run(ctx, planted.Config{StartNode: started}, name); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// TestMain looks for goroutines.
}
