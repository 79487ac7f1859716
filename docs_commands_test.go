package ridehail_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// commandLines lists what a document tells its reader to type: each line that
// is indented by four, continued lines joined, and each text in backticks.
func commandLines(text string) (lines []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, m := range regexp.MustCompile("(?m)^ {4,}(.*)$|`([^`\n]+)`").FindAllStringSubmatch(text, -1) {
		line, _, _ := strings.Cut(m[1]+m[2], "  #")
		lines = append(lines, line)
	}
	return lines
}

func TestDocumentsNameMakeTargetsAndScriptsThatExist(t *testing.T) {
	makefile, named := page(t, "Makefile"), 0
	for _, name := range documents(t) {
		for _, line := range commandLines(page(t, name)) {
			if m := regexp.MustCompile(`^make ([a-z-]+)\b(?: ([A-Z]+)=(?:"(\./.*)"|(\./\S+))?)?`).FindStringSubmatch(line); m != nil {
				named++
				if !strings.Contains(makefile, "\n"+m[1]+":") || m[2] != "" && !strings.Contains(makefile, "$("+m[2]+")") {
					t.Errorf("%s names `%s`, which the Makefile does not know", name, line)
				}
				for _, folder := range strings.Fields(m[3] + m[4]) {
					checkFunctions(t, name, line, folder, "Benchmark", ".")
				}
			}

			for _, m := range regexp.MustCompile(`(?:^|[ ;&])(ci/[a-z-]+)`).FindAllStringSubmatch(line, -1) {
				named++
				if _, err := os.Stat(m[1]); err != nil {
					t.Errorf("%s names %s: %v", name, m[1], err)
				}
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d are named", named)
	}
}

func TestDocumentsNameTestsAndBenchmarksThatExist(t *testing.T) {
	named := 0
	for _, name := range documents(t) {
		for _, line := range commandLines(page(t, name)) {
			_, line, found := strings.Cut(line, "go test ")
			if !found || strings.Contains(line, "NAME") || strings.Contains(line, "Name") {
				continue // PACKAGE and NAME stand for any
			}
			line = strings.ReplaceAll(line, `\|`, "|") // as a table writes it
			folders := regexp.MustCompile(`(?:^| )(\.(?:/\S+)?)`).FindAllStringSubmatch(line, -1)

			for flag, prefix := range map[string]string{"run": "Test|Example|Fuzz", "bench": "Benchmark"} {
				m := regexp.MustCompile(`-` + flag + ` (?:'([^']*)'|(\S+))`).FindStringSubmatch(line)
				if m == nil || m[1]+m[2] == "^$" || m[1]+m[2] == "XXX" {
					continue
				}
				named++
				for _, folder := range folders {
					checkFunctions(t, name, line, folder[1], prefix, m[1]+m[2])
				}
				if len(folders) == 0 {
					t.Errorf("%s: `go test %s` names no package", name, line)
				}
			}
		}
	}
	if named < 8 {
		t.Errorf("only %d are named", named)
	}
}

// checkFunctions looks for test functions of a folder, or below it, whose name
// without the prefix matches each of the patterns that | separates.
func checkFunctions(t *testing.T, document, line, folder, prefix, patterns string) {
	t.Helper()
	functions := testFunctions(t, folder, prefix)
	for _, pattern := range strings.Split(patterns, "|") {
		pattern, _, _ = strings.Cut(pattern, "/") // a subtest
		matching := regexp.MustCompile(pattern)
		if !slices.ContainsFunc(functions, matching.MatchString) {
			t.Errorf("%s: `%s`: nothing in %s is called %s", document, line, folder, pattern)
		}
	}
}

func testFunctions(t *testing.T, folder, prefix string) (names []string) {
	t.Helper()
	root, below := strings.CutSuffix(folder, "/...")
	function := regexp.MustCompile(`(?m)^func ((?:` + prefix + `)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if d.Name() == "node_modules" || !below && path != filepath.Clean(root) && path != root {
				return filepath.SkipDir
			}
		case strings.HasSuffix(path, "_test.go"):
			for _, m := range function.FindAllStringSubmatch(page(t, path), -1) {
				names = append(names, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return names
}

func TestDocumentsNameEnvironmentVariablesThatAreRead(t *testing.T) {
	var code strings.Builder
	for _, pattern := range []string{"*.go", "*/*.go", "*/*/*.go", "*/*/*/*.go", "ci/*", "Makefile"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			code.WriteString(page(t, f))
		}
	}

	for _, name := range documents(t) {
		for _, variable := range regexp.MustCompile(`\bRIDEHAIL_[A-Z_]*[A-Z]\b`).FindAllString(page(t, name), -1) {
			if !regexp.MustCompile(`\b` + variable + `\b`).MatchString(code.String()) {
				t.Errorf("%s names %s, which no code reads", name, variable)
			}
		}
	}
}
