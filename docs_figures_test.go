package ridehail_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	tableRule = regexp.MustCompile(`^\|[-| ]+\|$`)
	isFigure  = regexp.MustCompile(`^[*≤≥+-]*\d`)
	madeBy    = regexp.MustCompile(`Made by .*?\b20\d\d-\d\d\b`)
)

// notMeasured are the headers of tables whose numbers are settings, limits or
// codes.
var notMeasured = []string{
	"| field | type |", "| code | status |", "| what | limit |", "| | role | answer |", "| caller and server |",
	"| weight | default |", "| parameter | good link |", "| fault | what happens |",
}

// TestTablesOfFiguresNameTheirCommandAndDate wants a line "Made by `command`,
// 2026-11." in the paragraph before or after each table in which half of the
// rows have a number.
func TestTablesOfFiguresNameTheirCommandAndDate(t *testing.T) {
	found := 0
	for _, name := range documents(t) {
		for _, table := range tablesOfFigures(page(t, name)) {
			found++
			if !table.isSigned {
				t.Errorf("%s: the table %q says neither which command made it nor when", name, table.header)
			}
		}
	}
	if found < 8 {
		t.Errorf("only %d tables of figures", found)
	}
}

type figures struct {
	header   string
	isSigned bool
}

func tablesOfFigures(text string) (tables []figures) {
	paragraphs := regexp.MustCompile(`\n\s*\n`).Split(text, -1)
	for i, p := range paragraphs {
		start := strings.Index(p, "| ")
		lines := strings.Split(p[max(0, start):], "\n")
		if start < 0 || len(lines) < 3 || !tableRule.MatchString(lines[1]) || !hasFigures(lines) {
			continue
		}

		around := p[:start] + "\n\n"
		if i > 0 {
			around += paragraphs[i-1] + "\n\n"
		}
		if i+1 < len(paragraphs) {
			around += paragraphs[i+1]
		}
		around = strings.ReplaceAll(around, "\n\n", "\x00")
		around = strings.ReplaceAll(around, "\n", " ")
		tables = append(tables, figures{lines[0], madeBy.MatchString(around)})
	}
	return tables
}

// hasFigures says whether half of a table's rows have a number in a column
// behind the first.
func hasFigures(lines []string) bool {
	if slices.ContainsFunc(notMeasured, func(h string) bool { return strings.HasPrefix(lines[0], h) }) {
		return false
	}
	with := 0
	for _, row := range lines[2:] {
		cells := strings.Split(strings.Trim(row, "|"), "|")
		if slices.ContainsFunc(cells[1:], func(c string) bool { return isFigure.MatchString(strings.TrimSpace(c)) }) {
			with++
		}
	}
	return with*2 >= len(lines)-2
}

func TestATableWithoutItsCommandIsFound(t *testing.T) {
	const table = "| what | ours |\n|---|---|\n| moves | 3 ms |\n"
	for text, want := range map[string]figures{
		table:                               {"| what | ours |", false},
		"Made by hand.\n\n" + table:         {"| what | ours |", false},
		table + "\nMade by `x`,\n2026-11.":  {"| what | ours |", true},
		"Made by `x`, 2026-11.\n\n" + table: {"| what | ours |", true},
		"Made by `x`, 2026-11.\n" + table:   {"| what | ours |", true},
	} {
		if got := tablesOfFigures(text); len(got) != 1 || got[0] != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if got := tablesOfFigures("| what | limit |\n|---|---|\n| frame | 4 KiB |\n"); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}
