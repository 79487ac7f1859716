package lab_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab"
	"github.com/ridehail/ridehail/lab/finding"
)

// reserved are the words after ridehail lab, and the flags of every experiment.
var reserved = []string{"all", "break", "list", "guess", "seed", "plot", "json", "check", "redis", "database", "help", "log-level"}

func TestEveryExperimentIsComplete(t *testing.T) {
	for _, e := range lab.All() {
		t.Run(e.Name, func(t *testing.T) {
			if !regexp.MustCompile(`^[a-z]+$`).MatchString(e.Name) || slices.Contains(reserved, e.Name) {
				t.Errorf("the name %q is no word, or is taken", e.Name)
			}
			for field, text := range map[string]string{"Topic": string(e.Topic), "Question": e.Question, "Teaser": e.Teaser, "Situation": e.Situation,
				"Real": e.Real, "Made": e.Made, "Next": e.Next} {
				if strings.TrimSpace(text) != text || text == "" || strings.Contains(text, "\n") {
					t.Errorf("%s is empty, or no line: %q", field, text)
				}
			}

			if n := utf8.RuneCountInString(e.Question); n > 64 || !strings.HasSuffix(e.Question, "?") {
				t.Errorf("the question has %d letters, over 64, or does not ask: %s", n, e.Question)
			}
			if n := len(strings.Fields(e.Teaser)); n > 5 {
				t.Errorf("the teaser has %d words, over 5: %s", n, e.Teaser)
			}
			if n := utf8.RuneCountInString(e.Situation); n > 100 {
				t.Errorf("the situation has %d letters, over 100: %s", n, e.Situation)
			}
			if n := len(e.Options); n < 2 || n > 4 || slices.Contains(e.Options, "") {
				t.Errorf("there are %d options, or one is empty: %q", n, e.Options)
			}
			if e.Takes <= 0 || e.Run == nil || e.Frame == nil {
				t.Error("Takes, Run or Frame is missing")
			}
			checkKnobs(t, e)
			checkFrame(t, e)
			checkCode(t, e.Code)
		})
	}
}

func checkKnobs(t *testing.T, e finding.Experiment) {
	t.Helper()
	if n := len(e.Knobs); n < 2 || n > 5 {
		t.Errorf("there are %d knobs, not 2 to 5", n)
	}
	var names []string
	for _, k := range e.Knobs {
		if !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(k.Name) || slices.Contains(append(reserved, names...), k.Name) {
			t.Errorf("the knob %q has no name, or one that is taken", k.Name)
		}
		names = append(names, k.Name)
		if first, _ := utf8.DecodeRuneInString(k.Label); !unicode.IsUpper(first) {
			t.Errorf("--%s: the label does not begin with a capital letter: %q", k.Name, k.Label)
		}
		if k.Help == "" || strings.Contains(k.Help, "\n") {
			t.Errorf("--%s has no help in one line", k.Name)
		}
		if len(k.Choices) == 1 || slices.Contains(k.Choices, "") {
			t.Errorf("--%s has one choice, or an empty one: %q", k.Name, k.Choices)
		}
		if len(k.Choices) > 0 {
			continue
		}

		if !(k.Low <= k.Default && k.Default <= k.High && k.Low < k.High) || k.Step <= 0 || k.Log && k.Low <= 0 {
			t.Errorf("--%s: %g to %g by %g, default %g", k.Name, k.Low, k.High, k.Step, k.Default)
		}
		for _, text := range []string{k.Format(k.Low), k.Format(k.High), k.DefaultText()} {
			if _, err := e.Check(map[string]string{k.Name: text}); err != nil {
				t.Error(err)
			}
		}
		for _, text := range []string{k.Format(k.Low - 1), k.Format(k.High + 1), "", "NaN"} {
			if _, err := e.Check(map[string]string{k.Name: text}); err == nil || !strings.Contains(err.Error(), "--"+k.Name) {
				t.Errorf("--%s %s is allowed: %v", k.Name, text, err)
			}
		}
	}
}

// checkFrame wants axes that do not move when points come: with names and ends.
func checkFrame(t *testing.T, e finding.Experiment) {
	t.Helper()
	values, err := e.Check(nil)
	if err != nil || e.Frame == nil {
		t.Errorf("no frame: %v", err)
		return
	}

	c := e.Frame(values)
	isBars := slices.ContainsFunc(c.Panels, func(p plot.Panel) bool { return len(p.Bars) > 0 })
	if len(c.Panels) == 0 || c.Y.Name == "" || c.Y.End <= 0 || c.Y.Log && c.Y.Start <= 0 {
		t.Errorf("the y axis has no name or no ends: %+v, %d panels", c.Y, len(c.Panels))
	}
	if !isBars && (c.X.Name == "" || c.X.End <= 0 || c.X.Log && c.X.Start <= 0) {
		t.Errorf("the x axis has no name or no ends: %+v", c.X)
	}
	if c.SVG() != e.Frame(values).SVG() {
		t.Error("the same frame gives two pictures")
	}
}

// checkCode looks up the places to read.
func checkCode(t *testing.T, places []finding.Code) {
	t.Helper()
	if len(places) == 0 {
		t.Error("there is no code to read")
	}
	for _, c := range places {
		if c.Why == "" || len(strings.Fields(c.Why)) > 7 {
			t.Errorf("%s:%s: why is empty, or over 7 words: %q", c.File, c.Func, c.Why)
		}
		if !declares(t, c.File, c.Func) {
			t.Errorf("%s does not declare %s", c.File, c.Func)
		}
	}
}

// declares says whether a file of the module declares a function, a method as
// Type.Method, or a type.
func declares(t *testing.T, file, name string) bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return false
	}
	return slices.ContainsFunc(parsed.Decls, func(d ast.Decl) bool {
		switch d := d.(type) {
		case *ast.FuncDecl:
			return name == receiver(d)+d.Name.Name
		case *ast.GenDecl:
			return slices.ContainsFunc(d.Specs, func(s ast.Spec) bool {
				declared, isType := s.(*ast.TypeSpec)
				return isType && declared.Name.Name == name
			})
		}
		return false
	})
}

// receiver returns the type of a method with a dot, or nothing.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	of := d.Recv.List[0].Type
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	return of.(*ast.Ident).Name + "."
}

func TestPlacesInTheCodeAreLookedUp(t *testing.T) {
	for place, want := range map[string]bool{"lab/lab.go:All": true, "lab/lab.go:None": false, "lab/finding/finding.go:Finding": true,
		"lab/finding/finding.go:Finding.Failed": true, "lab/finding/finding.go:Failed": false, "lab/finding/finding.go:Run.Point": true} {
		file, name, _ := strings.Cut(place, ":")
		if got := declares(t, file, name); got != want {
			t.Errorf("%s: %v, want %v", place, got, want)
		}
	}
}

func TestExperimentsAreUniqueAndUnderTheCoursesHeadings(t *testing.T) {
	headings := []finding.Topic{finding.MessagesOrMemory, finding.Waiting, finding.LatencyAndLoss, finding.Consistency, finding.QueueOrDirect, finding.RideHailing}
	names, at := map[string]bool{}, 0
	for _, e := range lab.All() {
		if names[e.Name] || names[e.Question] {
			t.Errorf("%s or its question is there twice", e.Name)
		}
		names[e.Name], names[e.Question] = true, true

		i := slices.Index(headings, e.Topic)
		if i < at {
			t.Errorf("%s stands under %q, which is no heading or comes before", e.Name, e.Topic)
		}
		at = max(at, i)
	}
	if len(names) != 2*15 {
		t.Errorf("there are %d experiments, want 15", len(names)/2)
	}
}

func TestEveryQuestionOfTheCourseIsAnswered(t *testing.T) {
	answered := map[string]bool{}
	for _, e := range lab.All() {
		if len(e.Asks) == 0 {
			t.Errorf("%s answers no question", e.Name)
		}
		for _, number := range e.Asks {
			if finding.CourseQuestions[number] == "" {
				t.Errorf("%s answers %s, which the course does not ask", e.Name, number)
			}
			answered[number] = true
		}
	}
	for number, question := range finding.CourseQuestions {
		if !answered[number] {
			t.Errorf("no experiment answers %s %s", number, question)
		}
	}
}

func TestRunEachGoesOnAfterAnErrorAndEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failing := finding.Experiment{Name: "failing", Run: func(context.Context, *finding.Run) (finding.Result, error) {
		return finding.Result{}, os.ErrClosed
	}}
	cancelling := finding.Experiment{Name: "cancelling", Run: func(ctx context.Context, _ *finding.Run) (finding.Result, error) {
		cancel()
		return finding.Result{}, ctx.Err()
	}}

	var began, ended []string
	_, err := lab.RunEach(ctx, []finding.Experiment{failing, failing, cancelling, failing}, 1, slog.Default(),
		func(e finding.Experiment) { began = append(began, e.Name) },
		func(o lab.Outcome) { ended = append(ended, o.Experiment+": "+strings.Join(o.Problems, "")) })
	if err != context.Canceled || !slices.Equal(began, []string{"failing", "failing", "cancelling"}) ||
		!slices.Equal(ended, []string{"failing: file already closed", "failing: file already closed"}) {
		t.Errorf("%v, began %q, ended %q", err, began, ended)
	}
}

// TestAnExperimentThatIsStoppedAtAnyTimeLeavesNothingRunning stops each one
// before it begins, while it opens its parts, and while it runs.
func TestAnExperimentThatIsStoppedAtAnyTimeLeavesNothingRunning(t *testing.T) {
	slowtest.Require(t)
	for _, e := range lab.All() {
		t.Run(e.Name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			values, err := e.Check(nil)
			if err != nil {
				t.Fatal(err)
			}

			for _, after := range []time.Duration{0, 10 * time.Millisecond, 300 * time.Millisecond} {
				ctx, cancel := context.WithTimeout(t.Context(), after)
				_, err := e.Perform(ctx, &finding.Run{Values: values, Seed: 1, Log: slog.New(slog.DiscardHandler)}, finding.NoGuess)
				if err == nil {
					t.Errorf("stopped after %v it has a finding", after)
				}
				cancel()
			}
		})
	}
}
