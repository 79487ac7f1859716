package planted_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/planted"
	"github.com/ridehail/ridehail/lab/planted/overlay"
)

const root = "../.."

// buildBroken builds the program of make lab-broken.
func buildBroken(t *testing.T) string {
	t.Helper()
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := overlay.Write(top, t.TempDir(), overlay.AllChanges())
	if err != nil {
		t.Fatal(err)
	}

	return buildProgram(t, "-tags", overlay.Tag, "-overlay", plan)
}

func buildProgram(t *testing.T, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "ridehail")
	build := exec.CommandContext(t.Context(), "go", append(append([]string{"build"}, flags...), "-o", program, "./cmd/ridehail")...)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// run runs a lesson in another program.
func run(t *testing.T, program string, l planted.Lesson, args ...string) (r planted.Result) {
	t.Helper()
	args = append([]string{"lab", "break", l.Name, "--json"}, args...)
	if url := databaseFor(t, l); url != "" {
		args = append(args, "--database", url)
	}

	out, err := exec.CommandContext(t.Context(), program, args...).Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEachPlantedBugBreaksItsPromiseAndTheProgramWithoutItKeepsIt(t *testing.T) {
	slowtest.Require(t)
	program := buildBroken(t)
	if !carries(t, program) {
		t.Error("the program with planted bugs has no mark of them, so the search for marks finds nothing")
	}

	for _, l := range planted.Lessons() {
		t.Run(l.Name, func(t *testing.T) {
			r := run(t, program, l)
			if r.Holds || !r.Planted || r.Promise != l.Breaks || len(r.Broken[0].Rows) == 0 {
				t.Errorf("the bug breaks %q, want %q:\n%s", r.Promise, l.Breaks, r.Text())
			}
			if got := takenSteps(r); !slices.Equal(got, shortest[l.Name]) {
				t.Errorf("the shortest history has the steps %v, want %v", got, shortest[l.Name])
			}
			checkText(t, r)

			if r := run(t, program, l, "--mended"); !r.Holds || r.Planted {
				t.Errorf("without the bug:\n%s", r.Text())
			}
		})
	}
}

func takenSteps(r planted.Result) (out []int) {
	for _, s := range r.Story {
		if s.Taken {
			out = append(out, s.Number)
		}
	}
	return out
}

// carries reports whether a program has a mark of planted bugs.
func carries(t *testing.T, program string) bool {
	t.Helper()
	code, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(code, []byte(overlay.Variable))
}

// A program that is shipped is built without the tag. Its packages are looked
// through, and the program itself.
func TestNoShippedProgramCarriesAPlantedBug(t *testing.T) {
	slowtest.Require(t)
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/ridehail")
	list.Dir = root
	packages, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}

	for name := range strings.FieldsSeq(string(packages)) {
		if strings.HasSuffix(name, "/lab/planted/chosen") || strings.HasSuffix(name, "/lab/planted/overlay") {
			t.Errorf("the program has the package %s", name)
		}
	}

	program := os.Getenv("RIDEHAIL_BIN")
	if program == "" {
		program = buildProgram(t)
	}
	if carries(t, program) {
		t.Errorf("%s has planted bugs", program)
	}
}

func TestTheSourceHasNoHookForPlantedBugs(t *testing.T) {
	for _, c := range overlay.AllChanges() {
		text, err := os.ReadFile(filepath.Join(root, c.File))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("planted")) || bytes.Contains(text, []byte("chosen.Is")) {
			t.Errorf("%s speaks of planted bugs", c.File)
		}
		if planted, err := c.Apply(string(text)); err != nil || planted == string(text) {
			t.Errorf("%s: %v", c.File, err)
		}
	}
}

func TestEachLessonHasItsBugAndNamesTheCodeThatIsRight(t *testing.T) {
	if len(overlay.Bugs()) != len(planted.Lessons()) {
		t.Errorf("%d bugs, %d lessons", len(overlay.Bugs()), len(planted.Lessons()))
	}
	for _, l := range planted.Lessons() {
		if len(overlay.ChangesOf(l.Name)) == 0 {
			t.Errorf("there is no bug %s", l.Name)
		}
		if !hasFunc(t, filepath.Join(root, l.File), l.Func) {
			t.Errorf("%s: %s has no %s", l.Name, l.File, l.Func)
		}
	}
}

// hasFunc reports whether a file has a function, or a method as TYPE.NAME.
func hasFunc(t *testing.T, file, name string) bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(parsed.Decls, func(d ast.Decl) bool {
		f, is := d.(*ast.FuncDecl)
		if !is {
			return false
		}
		full := f.Name.Name
		if f.Recv != nil {
			of := f.Recv.List[0].Type
			if star, is := of.(*ast.StarExpr); is {
				of = star.X
			}
			full = of.(*ast.Ident).Name + "." + full
		}
		return full == name
	})
}
