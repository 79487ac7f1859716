package finding

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what a finding holds.
const (
	maxRows   = 8
	minClaims = 2
	maxClaims = 4
	notices   = 3
)

// Problems returns what keeps a finding from being shown as it should be: a
// text that does not fit, a figure that is no number, a field that is empty.
func (f Finding) Problems() (out []string) {
	say := func(isWrong bool, format string, values ...any) {
		if isWrong {
			out = append(out, fmt.Sprintf(format, values...))
		}
	}

	lines := f.longestText()
	say(len(lines) > MaxLines, "its text has up to %d lines, over %d", len(lines), MaxLines)
	widest := slices.MaxFunc(lines, func(a, b string) int { return cmp.Compare(utf8.RuneCountInString(a), utf8.RuneCountInString(b)) })
	n := utf8.RuneCountInString(widest)
	say(n > MaxColumns, "a line has %d columns, over %d: %s", n, MaxColumns, strings.TrimSpace(widest))

	rows := len(f.Table.Rows)
	say(rows == 0 || rows > maxRows, "its table has %d rows, not 1 to %d", rows, maxRows)
	for _, row := range f.Table.Rows {
		say(len(row) != len(f.Table.Columns), "a row of its table has %d cells under %d columns: %s", len(row), len(f.Table.Columns), row)
	}

	say(len(f.Claims) < minClaims || len(f.Claims) > maxClaims, "it has %d claims, not %d to %d", len(f.Claims), minClaims, maxClaims)
	for _, c := range f.Claims {
		say(c.Text == "" || c.Law == "" || c.Source == "" || c.Want == "" || c.Got == "", "a claim lacks a text: %+v", c)
	}
	say(len(f.Notice) != notices, "it has %d notices, not %d", len(f.Notice), notices)
	say(len(f.Parts) == 0, "it names no part that ran")
	say(f.Seen != "" && int(f.Seen[0]-'A') >= len(f.Options), "it saw %s, which is no option", f.Seen)
	_, err := json.Marshal(f)
	say(err != nil, "it cannot be written as JSON: %v", err)
	return out
}

// longestText returns the lines of the text with the guess that makes it
// longest.
func (f Finding) longestText() (longest []string) {
	for guess := NoGuess; guess < len(f.Options); guess++ {
		f.Guess = Letter(guess)
		if lines := strings.Split(strings.TrimSuffix(f.Text(false), "\n"), "\n"); len(lines) > len(longest) {
			longest = lines
		}
	}
	return longest
}
