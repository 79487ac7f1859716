// Package planted shows what a bug does to a promise: it runs a story on real
// parts of the app, lets the checker of a chaos run judge it, and looks for the
// shortest history in which the promise is broken. The bugs themselves are in
// no ordinary build; package overlay plants them in one that make lab-broken
// makes. There, and in every other build, the stories and their judge are the
// same.
package planted

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/ridehail/ridehail/lab/chaos/check"
	"github.com/ridehail/ridehail/lab/finding"
)

// Config is how a lesson is run.
type Config struct {
	// Mended runs the story without the bug, in a program that has it.
	Mended bool
	// Steps are the numbers of the story's steps to take, from 1; empty: all.
	Steps []int
	// Database is the URL of a Postgres for lessons that need one. Empty: a
	// private one is started.
	Database string
	// StartNode returns the command of a process that calls ServeNode for a
	// file, not started yet.
	StartNode func(file string) *exec.Cmd
}

// Promise is one that was broken, in the words of the checker.
type Promise struct {
	Name string   `json:"name"`
	Rows []string `json:"rows"` // what breaks it
}

// Step is a step of the story. Taken says whether it is part of the history.
type Step struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
	Taken  bool   `json:"taken"`
}

// Result is what a lesson found.
type Result struct {
	Bug     string    `json:"bug"`
	Says    string    `json:"says"`
	Planted bool      `json:"planted"` // this run had the bug
	Holds   bool      `json:"holds"`
	Promise string    `json:"promise"` // the first that was broken, or the one that the bug breaks
	Broken  []Promise `json:"broken"`
	Checked int       `json:"checked"` // by the checker, in the history shown

	Story     []Step   `json:"story"`
	Runs      int      `json:"runs"` // of histories
	Processes []string `json:"processes"`
	Real      string   `json:"real"` // which parts of the app ran
	History   []Entry  `json:"history"`
	Process   int      `json:"process"`
	Seconds   float64  `json:"seconds"`

	File  string `json:"file"` // where the code is right
	Func  string `json:"func"`
	Right string `json:"right"`
}

// Find returns the lesson with a name. Its error wraps finding.ErrUsage and
// names all.
func Find(name string) (Lesson, error) {
	var names []string
	for _, l := range Lessons() {
		if l.Name == name {
			return l, nil
		}
		names = append(names, l.Name)
	}
	return Lesson{}, fmt.Errorf("%w: there is no planted bug %q, only %s", finding.ErrUsage, name, strings.Join(names, ", "))
}

// Run runs a lesson. In a program with planted bugs that is not told to be
// mended, the lesson's bug is on. It returns when everything it started has
// ended. Errors wrap finding.ErrUsage or finding.ErrUnreachable, or mean that
// the lesson could not be run; a broken promise is in the result. Only one
// lesson may run in a process at a time.
func Run(ctx context.Context, cfg Config, name string) (Result, error) {
	l, err := Find(name)
	if err != nil {
		return Result{}, err
	}
	taken, err := l.checkSteps(cfg.Steps)
	if err != nil {
		return Result{}, err
	}

	began := time.Now()
	r := runner{cfg: cfg, lesson: &l, planted: HasBugs && !cfg.Mended}
	if l.postgres {
		url, stop, err := openPostgres(ctx, cfg.Database)
		if err != nil {
			return Result{}, err
		}
		defer stop()
		r.server = url
	}
	if r.planted {
		chooseBug(name)
	}
	defer chooseBug("")

	found, err := r.shortenHistory(ctx, taken)
	if err != nil {
		return Result{}, err
	}
	out := r.buildResult(found)
	out.Seconds = time.Since(began).Round(100 * time.Millisecond).Seconds()
	return out, nil
}

// checkSteps returns which of the story's steps are taken.
func (l Lesson) checkSteps(numbers []int) ([]int, error) {
	if len(numbers) == 0 {
		for i := range l.story {
			numbers = append(numbers, i+1)
		}
		return numbers, nil
	}

	for _, n := range numbers {
		if n < 1 || n > len(l.story) {
			return nil, fmt.Errorf("%w: --steps: %s has the steps 1 to %d, and no %d", finding.ErrUsage, l.Name, len(l.story), n)
		}
	}

	numbers = slices.Clone(numbers)
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

// real says which parts of the app the lesson runs.
func (l Lesson) real() string {
	switch {
	case l.killable:
		return "a node in its own process, with SQLite and the trip service; SIGKILL"
	case l.postgres:
		return "Postgres, trip service, relay, embedded Redis"
	}
	return "SQLite, trips, relay, embedded Redis, worker, settler, provider"
}

// runner runs histories of one lesson.
type runner struct {
	cfg     Config
	lesson  *Lesson
	planted bool
	server  string // URL of a Postgres; empty: SQLite
	runs    int
}

// history is one that was run and judged.
type history struct {
	taken     []int
	broken    []Promise
	checked   int
	processes []string
	entries   []Entry
}

// breaks returns whether the history breaks every one of the promises.
func (h history) breaks(promises []Promise) bool {
	for _, p := range promises {
		if !slices.ContainsFunc(h.broken, func(q Promise) bool { return q.Name == p.Name }) {
			return false
		}
	}
	return true
}

// shortenHistory runs the steps. If promises are broken, it takes away one step
// after the other for as long as they stay broken, until no step can be spared:
// then the history is 1-minimal (Zeller and Hildebrandt, Simplifying and
// Isolating Failure-Inducing Input, 2002).
func (r *runner) shortenHistory(ctx context.Context, taken []int) (history, error) {
	shortest, err := r.performSteps(ctx, taken)
	if err != nil || len(shortest.broken) == 0 {
		return shortest, err
	}

	for i := 0; i < len(shortest.taken); {
		fewer := slices.Delete(slices.Clone(shortest.taken), i, i+1)
		h, err := r.performSteps(ctx, fewer)
		if err != nil {
			return h, err
		}
		if h.breaks(shortest.broken) {
			shortest, i = h, 0
		} else {
			i++
		}
	}
	return shortest, nil
}

// performSteps runs the steps on a new stage and has them judged.
func (r *runner) performSteps(ctx context.Context, taken []int) (h history, err error) {
	r.runs++
	s, err := openStage(ctx, r.cfg, r.lesson, r.server)
	defer s.close()
	if err != nil {
		return h, err
	}

	for _, n := range taken {
		if err := r.lesson.story[n-1].do(ctx, s); err != nil && !errors.Is(err, errSkipped) {
			return h, err
		}
	}
	if err := s.finishWork(ctx); err != nil {
		return h, err
	}
	report, err := s.judgeHistory(ctx)
	if err != nil {
		return h, err
	}

	h = history{taken: taken, broken: s.brokenPromises(report), processes: s.listProcesses()}
	for _, i := range report.Invariants {
		h.checked += i.Checked
	}
	h.entries = s.trace.entriesBetween(h.processes)
	return h, ctx.Err()
}

// brokenPromises returns the broken ones, that of the lesson first.
func (s *stage) brokenPromises(report check.Report) (out []Promise) {
	for _, i := range report.Invariants {
		if i.Violations == 0 {
			continue
		}
		p := Promise{Name: i.Name}
		for _, row := range i.Rows {
			p.Rows = append(p.Rows, s.renameIDs(row))
		}

		if i.Name == s.lesson.Breaks {
			out = slices.Insert(out, 0, p)
		} else {
			out = append(out, p)
		}
	}
	return out
}

// listProcesses returns those of the diagram: the phones in the order in which
// they first do something, and then the lesson's.
func (s *stage) listProcesses() (out []string) {
	s.trace.mu.Lock()
	defer s.trace.mu.Unlock()

	for _, e := range s.trace.entries {
		for _, p := range []string{e.From, e.To} {
			if p != "" && p[0] >= 'A' && p[0] <= 'Z' && !slices.Contains(out, p) && s.isShownLocked(p) {
				out = append(out, p)
			}
		}
	}
	return append(out, s.lesson.shows...)
}

// isShownLocked returns whether a person does anything in the diagram. The
// caller holds the trace's lock.
func (s *stage) isShownLocked(person string) bool {
	return slices.ContainsFunc(s.trace.entries, func(e Entry) bool {
		return (e.From == person || e.To == person) &&
			(e.To == "" || slices.Contains(s.lesson.shows, e.From) || slices.Contains(s.lesson.shows, e.To))
	})
}

func (r *runner) buildResult(h history) Result {
	l := r.lesson
	out := Result{Bug: l.Name, Says: l.Says, Planted: r.planted, Holds: len(h.broken) == 0, Promise: l.Breaks, Broken: h.broken,
		Checked: h.checked, Runs: r.runs, Processes: h.processes, History: h.entries, Process: os.Getpid(),
		Real: l.real(), File: l.File, Func: l.Func, Right: l.Right}
	if !out.Holds {
		out.Promise = h.broken[0].Name
	}

	for i, s := range l.story {
		out.Story = append(out.Story, Step{Number: i + 1, Text: s.text, Taken: slices.Contains(h.taken, i+1)})
	}
	return out
}
