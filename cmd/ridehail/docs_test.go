package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/ridehail/ridehail/lab"
	"github.com/ridehail/ridehail/lab/demo"
)

// flagsOfOthers are flags of other programs that a document names by
// themselves.
var flagsOfOthers = []string{"--build", "--experimental-websocket"}

var (
	ourCommand = regexp.MustCompile(`(?:^|/)ridehail ([a-z].*)`)
	flagName   = regexp.MustCompile(`(?:^|[\s(\["])(--[a-z][a-z0-9-]*)`)
)

// TestDocumentsNameCommandsAndFlagsThatExist looks up each command of ours that
// a document shows, with its flags, and each flag that stands alone.
func TestDocumentsNameCommandsAndFlagsThatExist(t *testing.T) {
	model, commands, flags := commandModel(t), 0, 0
	for _, name := range documents(t) {
		for _, line := range typedLines(t, name) {
			node, words := model, line
			if m := ourCommand.FindStringSubmatch(line); m != nil {
				commands++
				if node, words = findCommand(model, m[1]), m[1]; node == model {
					t.Errorf("%s: `%s`: there is no such command", name, line)
					continue
				}
			} else if !strings.HasPrefix(line, "--") {
				continue // another program's
			}

			for _, m := range flagName.FindAllStringSubmatch(words, -1) {
				flags++
				if !hasFlag(node, m[1], node == model) && !slices.Contains(flagsOfOthers, m[1]) {
					t.Errorf("%s: `%s`: there is no flag %s", name, line, m[1])
				}
			}
		}
	}

	if commands < 30 || flags < 60 {
		t.Errorf("only %d commands and %d flags were looked up", commands, flags)
	}
}

func TestCommandsAndFlagsOfDocumentsAreLookedUp(t *testing.T) {
	model := commandModel(t)
	serve := findCommand(model, "serve --listen :80")
	if serve.Name != "serve" || findCommand(model, "queue list --json").Name != "list" || findCommand(model, "fly") != model {
		t.Error("a command is not found, or one that does not exist is")
	}
	if !hasFlag(serve, "--no-dev-tokens", false) && !hasFlag(serve, "--dev-tokens", false) || hasFlag(serve, "--pairs", false) ||
		!hasFlag(model, "--pairs", true) || hasFlag(model, "--wings", true) {
		t.Error("a flag is not found, or one that does not exist is")
	}
}

func commandModel(t *testing.T) *kong.Node {
	t.Helper()
	parser, err := kong.New(newCLI(lab.All()), kong.Name("ridehail"), kong.Vars{"demo_listen": demo.DefaultListen})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model.Node
}

// documents lists README.md, CONTRIBUTING.md and all of docs.
func documents(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(names) < 5 {
		t.Fatalf("%d documents, %v", len(names), err)
	}
	return append(names, "../../README.md", "../../CONTRIBUTING.md")
}

// typedLines lists the commands in a document: indented lines, continued ones
// joined, and text in backticks.
func typedLines(t *testing.T, name string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}

	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	for _, m := range regexp.MustCompile("(?m)^ {4,}(.*)$|`([^`\n]+)`").FindAllStringSubmatch(joined, -1) {
		line, _, _ := strings.Cut(m[1]+m[2], " #")
		lines = append(lines, regexp.MustCompile(` && | & |; `).Split(line, -1)...)
	}
	return lines
}

// findCommand follows the words down to a command, and returns node itself if
// there is none.
func findCommand(node *kong.Node, words string) *kong.Node {
	word, rest, _ := strings.Cut(words, " ")
	for _, child := range node.Children {
		if child.Name == word {
			return findCommand(child, rest)
		}
	}
	return node
}

// hasFlag looks for a flag of a command and of those above it; of those below
// it as well, if it may be any command's.
func hasFlag(node *kong.Node, name string, below bool) bool {
	is := func(f *kong.Flag) bool {
		return "--"+f.Name == name || f.Tag.Negatable != "" && "--no-"+f.Name == name
	}
	for above := node; above != nil; above = above.Parent {
		if slices.ContainsFunc(above.Flags, is) {
			return true
		}
	}
	return below && slices.ContainsFunc(node.Children, func(child *kong.Node) bool { return hasFlag(child, name, true) })
}
