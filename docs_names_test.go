package ridehail_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// joint is a piece of code that a document names as `path:Func`: path is a Go
// file or a package's folder, and the name is a function, a Type.Method, a
// type, a constant or a variable.
var joint = regexp.MustCompile("`([a-z][a-z0-9_/]*(?:\\.go)?):([A-Za-z][A-Za-z0-9_]*(?:\\.[A-Za-z][A-Za-z0-9_]*)?)`")

// namedFile is a file of ours that a document names with its folder.
var namedFile = regexp.MustCompile("`([a-z][a-z0-9_]*(?:/[a-z0-9_]+)*/[a-z0-9_]+\\.(?:go|sql|html|proto))`")

// notNames are words in backticks that look like a joint and are none.
var notNames = []string{"osrm:URL", "file:function", "path:Func"}

func TestDocumentsNameCodeThatExists(t *testing.T) {
	joints := 0
	for _, name := range documents(t) {
		text := page(t, name)
		for _, m := range joint.FindAllStringSubmatch(text, -1) {
			if slices.Contains(notNames, m[1]+":"+m[2]) {
				continue
			}
			joints++
			if !declares(t, m[1], m[2]) {
				t.Errorf("%s names `%s:%s`, which does not exist", name, m[1], m[2])
			}
		}
		for _, m := range namedFile.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(m[1]); err != nil {
				t.Errorf("%s names the file %s, which does not exist", name, m[1])
			}
		}
	}
	if joints < 20 {
		t.Errorf("only %d joints are named: the walk in README.md is gone", joints)
	}
}

func TestNamesOfDocumentsAreLookedUp(t *testing.T) {
	for name, want := range map[string]bool{
		"docs_names_test.go:declares":     true,
		"docs_names_test.go:notNames":     true,
		"docs_names_test.go:Nothing":      false,
		"node:Node.Run":                   true,
		"node:Node.Fly":                   false,
		"node/node.go:Node":               true,
		"node/nowhere.go:Node":            false,
		"nowhere:Run":                     false,
		"house_test.go:source.pkg":        true,
		"house_test.go:source.elsewhere":  false,
		"node/node.go:drainTimeout":       true,
		"node/node.go:topicOffer":         false, // it is in another file
		"sharedstate:Sessions.Add":        true,  // a generic type
		"migrations/migrations.go:Sqlite": false,
	} {
		file, of, _ := strings.Cut(name, ":")
		if got := declares(t, file, of); got != want {
			t.Errorf("%s: found %v, want %v", name, got, want)
		}
	}
}

// documents lists README.md, CONTRIBUTING.md and all of docs.
func documents(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	if err != nil || len(names) < 5 {
		t.Fatalf("%d documents, %v", len(names), err)
	}
	return append(names, "README.md", "CONTRIBUTING.md")
}

// declares says whether a Go file, or one of a folder's, declares the name.
func declares(t *testing.T, file, name string) bool {
	t.Helper()
	files := []string{file}
	if path.Ext(file) != ".go" {
		files, _ = filepath.Glob(path.Join(file, "*.go"))
	}
	return slices.ContainsFunc(files, func(f string) bool {
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		if _, missing := err.(*fs.PathError); missing {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(parsed.Decls, func(d ast.Decl) bool { return slices.Contains(namesOf(d), name) })
	})
}

// namesOf lists what a declaration declares; a method as Type.Method.
func namesOf(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return []string{d.Name.Name}
		}
		return []string{receiverName(d.Recv.List[0].Type) + "." + d.Name.Name}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				names = append(names, s.Name.Name)
			case *ast.ValueSpec:
				for _, id := range s.Names {
					names = append(names, id.Name)
				}
			}
		}
	}
	return names
}

func receiverName(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiverName(t.X)
	case *ast.IndexExpr:
		return receiverName(t.X)
	case *ast.Ident:
		return t.Name
	}
	return fmt.Sprintf("%T", t)
}
