package ridehail_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ridehail/ridehail/wire"
)

const protocolPage = "docs/protocol.md"

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sections splits a page at its ### headings.
func sections(text string) map[string]string {
	out := map[string]string{}
	for _, part := range regexp.MustCompile(`(?m)^##+ `).Split(text, -1)[1:] {
		heading, body, _ := strings.Cut(part, "\n")
		out[heading] = body
	}
	return out
}

func TestProtocolPageDescribesEveryFieldOfEveryFrame(t *testing.T) {
	told := sections(page(t, protocolPage))
	for _, lack := range undescribed(told, new(wire.ClientFrame), "to the node") {
		t.Error(lack)
	}
	for _, lack := range undescribed(told, new(wire.ServerFrame), "to the phone") {
		t.Error(lack)
	}
	if len(undescribed(map[string]string{}, new(wire.ServerFrame), "to the phone")) < 12 {
		t.Error("an empty page passes for a whole one")
	}
}

// undescribed lists the bodies of a frame, and the messages within them, that
// lack a section or a row for a field.
func undescribed(told map[string]string, frame proto.Message, direction string) (lacks []string) {
	seen := map[protoreflect.FullName]bool{}
	var describe func(heading string, m protoreflect.MessageDescriptor)
	describe = func(heading string, m protoreflect.MessageDescriptor) {
		section, ok := told[heading]
		if !ok {
			lacks = append(lacks, fmt.Sprintf("%s has no section %q", protocolPage, heading))
		}

		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if ok && !strings.Contains(section, "| `"+string(f.Name())+"` | ") {
				lacks = append(lacks, fmt.Sprintf("%s, section %q, has no row for %s", protocolPage, heading, f.Name()))
			}
			if inner := f.Message(); inner != nil && !seen[inner.FullName()] {
				seen[inner.FullName()] = true
				describe(string(inner.Name()), inner)
			}
		}
	}

	bodies := frame.ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range bodies.Len() {
		describe(fmt.Sprintf("%s (%s)", bodies.Get(i).Name(), direction), bodies.Get(i).Message())
	}

	return lacks
}

func TestProtocolPageListsEveryCode(t *testing.T) {
	text := page(t, protocolPage)
	for name, value := range constants(t, "wire/codes.go") {
		if !strings.HasPrefix(name, "Code") {
			continue
		}

		code, err := strconv.Unquote(value)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "\n| `"+code+"` | ") {
			t.Errorf("%s has no row for the code %s", protocolPage, code)
		}
	}
}

func TestProtocolPageSaysAfterWhichCloseCodesToComeBack(t *testing.T) {
	text := page(t, protocolPage)
	for name, value := range constants(t, "wire/codes.go") {
		if !strings.HasPrefix(name, "Close") {
			continue
		}

		code, err := strconv.Atoi(value)
		if err != nil {
			t.Fatal(err)
		}

		row := regexp.MustCompile(`(?m)^\| ` + value + ` \| [^|]+ \| (.*) \|$`).FindStringSubmatch(text)
		if row == nil {
			t.Errorf("%s has no row for %s (%d)", protocolPage, name, code)
		} else if says := strings.HasPrefix(row[1], "yes"); says != wire.ShouldReconnect(code) {
			t.Errorf("%s says of %d %q; wire.ComeBack says %v", protocolPage, code, row[1], !says)
		}
	}
}

// constants reads the named constants of a file as they are written.
func constants(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}

	out := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if value, ok := spec.Values[0].(*ast.BasicLit); ok {
				out[spec.Names[0].Name] = value.Value
			}
		}
		return true
	})

	if len(out) < 10 {
		t.Fatalf("%s: only %d constants were read", file, len(out))
	}

	return out
}

func TestEveryImportedModuleIsListedWithItsVersionAndReason(t *testing.T) {
	text := page(t, "docs/dependencies.md")
	files, err := sources(".")
	if err != nil {
		t.Fatal(err)
	}

	used := imported(files, required(t))
	if len(used) < 3 {
		t.Fatalf("only %v are imported", used)
	}

	for _, m := range used {
		row := regexp.QuoteMeta("| `" + m.path + "` | " + m.version + " | ")
		if !regexp.MustCompile(`(?m)^` + row + `.{20,} \|$`).MatchString(text) {
			t.Errorf("docs/dependencies.md has no row `%s` | %s | with a reason", m.path, m.version)
		}
	}

	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| v").FindAllStringSubmatch(text, -1) {
		if !slices.ContainsFunc(used, func(m dependency) bool { return m.path == row[1] }) && !tool(t, row[1]) {
			t.Errorf("docs/dependencies.md lists %s, which no package imports", row[1])
		}
	}
}

type dependency struct{ path, version string }

// required reads the modules and versions of go.mod, longest path first.
func required(t *testing.T) (out []dependency) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^\t([^\s]+) (v[^\s]+)`).FindAllStringSubmatch(page(t, "go.mod"), -1) {
		out = append(out, dependency{m[1], m[2]})
	}
	slices.SortFunc(out, func(a, b dependency) int { return cmp.Compare(len(b.path), len(a.path)) })
	return out
}

// imported returns the modules that some file imports itself.
func imported(files []source, modules []dependency) (out []dependency) {
	for _, f := range files {
		for _, path := range f.imports {
			i := slices.IndexFunc(modules, func(m dependency) bool {
				return path == m.path || strings.HasPrefix(path, m.path+"/")
			})
			if i >= 0 && !slices.Contains(out, modules[i]) {
				out = append(out, modules[i])
			}
		}
	}
	return out
}

// tool says whether go.mod names a tool of the module.
func tool(t *testing.T, module string) bool {
	t.Helper()
	return regexp.MustCompile(`(?m)^(tool |\t)` + regexp.QuoteMeta(module) + `/`).MatchString(page(t, "go.mod"))
}
