package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// coins is an experiment that takes no time. Its second claim does not hold
// without throws, and it counts its runs.
func coins(runs *int) finding.Experiment {
	return finding.Experiment{
		Name: "coins", Topic: finding.Consistency, Asks: []string{"R5"}, Question: "How often does a coin show heads?", Teaser: "heads or tails",
		Situation: "A coin is thrown.", Options: []string{"half of the time", "never"}, Takes: 2 * time.Second, TakesRedis: true,
		Knobs: []finding.Knob{{Name: "throws", Help: "How many.", Default: 100, Low: 0, High: 1000, Step: 1},
			{Name: "coin", Help: "Of which kind.", Choices: []string{"fair", "bent"}}},
		Real: "a coin", Made: "the table", Next: "bend it", Code: []finding.Code{{File: "a.go", Func: "throw", Why: "the hand"}},
		Run: func(ctx context.Context, run *finding.Run) (finding.Result, error) {
			*runs++
			heads := run.Int("throws") / 2
			chart := plot.Chart{Panels: []plot.Panel{{Bars: []plot.Bar{{Name: "heads", Height: float64(heads)}, {Name: "tails", Height: 1}}}}}
			return finding.Result{Seen: 0, Chart: chart, Table: finding.Table{Columns: []string{"side", "times"}, Rows: [][]string{{"heads", fmt.Sprint(heads)}}},
				Detail: finding.Table{Columns: []string{"throw", "side"}, Rows: [][]string{{"first", "tails"}}},
				Claims: []finding.Claim{
					{Text: "no coin is lost", Law: "counting", Source: "Euclid", Want: "0", Got: "0", Holds: true, Exact: true},
					{Text: "some | are heads", Law: "chance", Source: "Bernoulli 1713", Want: "> 0", Got: fmt.Sprint(heads), Holds: heads > 0}},
				Notice: []string{"One.", "Two.", "Three."}, Parts: []finding.Part{{Name: "coin"}}}, nil
		},
	}
}

// sleeper is an experiment that never ends by itself. It closes the channel
// when it runs.
func sleeper(began chan struct{}) finding.Experiment {
	return finding.Experiment{Name: "sleeper", Topic: finding.Waiting, Question: "How long is a sleep?", Run: func(ctx context.Context, _ *finding.Run) (finding.Result, error) {
		close(began)
		<-ctx.Done()
		return finding.Result{}, ctx.Err()
	}}
}

// broken is an experiment that fails.
func broken() finding.Experiment {
	return finding.Experiment{Name: "broken", Topic: finding.Waiting, Question: "Does it run?", Run: func(context.Context, *finding.Run) (finding.Result, error) {
		return finding.Result{}, fmt.Errorf("the table is gone")
	}}
}

// runLab runs a command with the experiments coins and broken.
func runLab(t *testing.T, line string) (code int, out, logs string, runs int) {
	t.Helper()
	var o, l bytes.Buffer
	code = newCLI([]finding.Experiment{coins(&runs), broken()}).run(t.Context(), nil, strings.Fields(line), &o, &l)
	return code, o.String(), l.String(), runs
}

func TestLabListsQuestionsCommandsAndSeconds(t *testing.T) {
	code, out, _, _ := runLab(t, "lab")
	want := "Consistency, synchronization\n  How often does a coin show heads?  ridehail lab coins  2 s  R5\n" +
		"Waiting, or not\n  Does it run?  ridehail lab broken  0 s  \n"
	if code != exitDone || out != want {
		t.Errorf("exit %d, %q, want %q", code, out, want)
	}
}

func TestLabPrintsAFinding(t *testing.T) {
	code, out, logs, _ := runLab(t, "lab coins --guess b --throws 40")
	if code != exitDone || logs != "" {
		t.Fatalf("exit %d: %s", code, logs)
	}
	for _, want := range []string{"How often does a coin show heads? (R5)", "Guess B: never. Not so. Seen A: half of the time.",
		"throws 40, coin fair, seed 1.", "heads     20", "holds: no coin is lost: 0 (0), exact; counting; Euclid", "- Two.", "Read: a.go:throw (the hand)."} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours in what is no terminal")
	}
}

func TestLabPrintsTheLongerTableWhenAsked(t *testing.T) {
	const row = "  first  tails\n"
	if code, out, logs, _ := runLab(t, "lab coins --all"); code != exitDone || !strings.HasSuffix(out, row) {
		t.Errorf("exit %d: %s%s", code, out, logs)
	}
	if _, out, _, _ := runLab(t, "lab coins"); strings.Contains(out, row) {
		t.Errorf("not asked for: %s", out)
	}
}

func TestLabPrintsOneObjectAndDrawsAPicture(t *testing.T) {
	picture := filepath.Join(t.TempDir(), "coins.svg")
	code, out, logs, _ := runLab(t, "lab coins --json --coin bent --seed 9 --plot "+picture)
	var found finding.Finding
	if err := json.Unmarshal([]byte(out), &found); code != exitDone || err != nil {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, logs)
	}
	if found.Command != "ridehail lab coins --coin bent --seed 9" || len(found.Claims) != 2 || found.Process != os.Getpid() {
		t.Errorf("finding %+v", found)
	}
	if text, err := os.ReadFile(picture); err != nil || !bytes.HasPrefix(text, []byte("<svg")) {
		t.Errorf("picture: %v", err)
	}
}

func TestLabCheckNamesTheClaimThatDoesNotHold(t *testing.T) {
	if code, _, logs, _ := runLab(t, "lab coins --check"); code != exitDone || logs != "" {
		t.Errorf("all hold: exit %d, %s", code, logs)
	}
	code, out, logs, _ := runLab(t, "lab coins --check --throws 0")
	if code != exitFailed || !strings.Contains(logs, "lab coins: does not hold: some | are heads: 0 (> 0)") || !strings.Contains(out, "does not hold: some") {
		t.Errorf("exit %d, %s%s", code, logs, out)
	}
	if code, _, _, _ := runLab(t, "lab coins --throws 0"); code != exitDone {
		t.Errorf("without --check: exit %d", code)
	}
}

// TestLabRefusesInOneLine gives what is wrong to the lab. Nothing is run.
func TestLabRefusesInOneLine(t *testing.T) {
	folder := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nothing := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}

	for line, c := range map[string]struct {
		code int
		says string
	}{
		"lab coin":                                      {exitUsage, `unexpected argument coin, did you mean "coins"?`},
		"lab coins --throw 3":                           {exitUsage, `unknown flag --throw, did you mean "--throws"?`},
		"lab coins --phones 3":                          {exitUsage, "unknown flag --phones"},
		"lab coins --throws 1001":                       {exitUsage, `--throws is "1001"; want 0 to 1000`},
		"lab coins --throws -1":                         {exitUsage, `--throws is "-1"; want 0 to 1000`},
		"lab coins --throws many":                       {exitUsage, `--throws is "many"; want 0 to 1000`},
		"lab coins --coin round":                        {exitUsage, `--coin is "round"; want fair or bent`},
		"lab coins --guess C":                           {exitUsage, `the guess "C" is no option of coins; choose A or B`},
		"lab coins --seed x":                            {exitUsage, "--seed"},
		"lab coins 3":                                   {exitUsage, "unexpected argument 3"},
		"lab coins --database x":                        {exitUsage, "unknown flag --database"},
		"lab coins --redis there":                       {exitUsage, "--redis wants redis://HOST:PORT/NAME"},
		"lab coins --redis redis://":                    {exitUsage, "--redis wants redis://HOST:PORT/NAME"},
		"lab broken --redis redis://x":                  {exitUsage, "unknown flag --redis"},
		"lab coins --plot " + folder + "/no/folder.svg": {exitUsage, "there is no folder " + folder + "/no"},
		"lab coins --redis redis://" + nothing:          {exitUnreachable, "--redis cannot be reached: dial tcp " + nothing},
		"lab broken":                                    {exitFailed, "the table is gone"},
		"lab all --runs 0":                              {exitUsage, "--runs 0: give 1 to 1000"},
		"lab all coins":                                 {exitUsage, "unexpected argument coins"},
		"lab --check":                                   {exitUsage, "unknown flag --check"},
	} {
		code, out, logs, runs := runLab(t, line)
		lines := strings.Split(strings.TrimSuffix(logs, "\n"), "\n")
		if code != c.code || !strings.Contains(lines[0], c.says) || out != "" || runs > 0 || len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "See: ridehail ") {
			t.Errorf("%s: exit %d after %d runs: %s%s", line, code, runs, out, logs)
		}
	}
}

func TestAFullDiskIsToldBesideTheFinding(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil && runtime.GOOS != "linux" {
		t.Skip("this system has no disk that is always full: ", err)
	}
	code, out, logs, _ := runLab(t, "lab coins --plot /dev/full")
	if code != exitFailed || !strings.Contains(logs, "the picture cannot be written: write /dev/full: no space left on device") || !strings.Contains(out, "holds: no coin") {
		t.Errorf("exit %d, %s%s", code, logs, out)
	}
}

func TestLabHelpHasTheKnobs(t *testing.T) {
	code, out, _, _ := runLab(t, "lab coins --help")
	for _, want := range []string{"How often does a coin show heads?", "Takes about 2 s. Example: ridehail lab coins --throws 100 --plot coins.svg",
		"--throws=100", "How many. 0 to 1000.", "--coin=fair", "Of which kind. fair or bent.", "--redis=URL", "--guess=A|B|C|D"} {
		if code != exitDone || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, out)
		}
	}
}

func TestAnInterruptEndsAnExperiment(t *testing.T) {
	for _, line := range []string{"lab sleeper", "lab all --check"} {
		ctx, interrupt := context.WithCancel(t.Context())
		began, ended := make(chan struct{}), make(chan int)
		var out, logs bytes.Buffer
		go func() {
			ended <- newCLI([]finding.Experiment{sleeper(began)}).run(ctx, nil, strings.Fields(line), &out, &logs)
		}()
		<-began
		interrupt()
		if code := <-ended; code != exitDone || out.Len() > 0 || logs.Len() > 0 {
			t.Errorf("%s: exit %d, %s%s", line, code, &out, &logs)
		}
	}
}

func TestLabAllCountsClaims(t *testing.T) {
	code, out, logs, runs := runLab(t, "lab all")
	for _, want := range []string{"coins      How often does a coin show heads?", " 2 of 2 hold", "broken     Does it run?", "           the table is gone\n", "\n2 of 2 claims hold; 0.", " MB of memory\n"} {
		if code != exitDone || !strings.Contains(out, want) || runs != 1 {
			t.Errorf("exit %d after %d runs, no %q in\n%s%s", code, runs, want, out, logs)
		}
	}
	if code, _, logs, _ := runLab(t, "lab all --check"); code != exitFailed || !strings.Contains(logs, "a check failed: in broken\n") {
		t.Errorf("with an experiment that fails: exit %d, %s", code, logs)
	}
}

func TestLabAllPrintsEveryFindingAsOneObject(t *testing.T) {
	code, out, logs, _ := runLab(t, "lab all --json --check")
	var report struct {
		Findings []struct {
			Experiment string
			Claims     []finding.Claim
			Problems   []string
		}
		Seconds float64
		PeakMB  float64 `json:"peak_memory_mb"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitFailed {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	if len(report.Findings) != 2 || len(report.Findings[0].Claims) != 2 || len(report.Findings[1].Problems) != 1 || report.PeakMB < 1 {
		t.Errorf("report %+v", report)
	}
	if !strings.Contains(logs, "2 of 2 hold") {
		t.Errorf("no lines beside the object: %s", logs)
	}
}

func TestManyRunsAreATableOfHowOftenAClaimHeld(t *testing.T) {
	code, out, logs, runs := runLab(t, "lab all --check --runs 3")
	want := "| experiment | claim | held |\n|---|---|---|\n| coins | no coin is lost | 3 of 3 |\n" +
		`| coins | some \| are heads | 3 of 3 |` + "\n\nbroken, run 1: the table is gone\n\nbroken, run 2: the table is gone\n\nbroken, run 3: the table is gone\n\n6 of 6 claims hold; "
	if code != exitFailed || runs != 3 || !strings.HasPrefix(out, want) {
		t.Errorf("exit %d after %d runs:\n%s%s", code, runs, out, logs)
	}
}
