package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/ridehail/ridehail/internal/filelock"
	"github.com/ridehail/ridehail/internal/httpserver"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/simulators/journal"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1 // an invariant or a check failed, or something broke
	exitUsage       = 2 // also an address that is taken, and data that another process has in use
	exitUnreachable = 3 // a service cannot be reached or cannot serve
)

// The errors that choose an exit code. Wrap them with what a person should
// read.
var (
	errCheckFailed = errors.New("a check failed")
	errUsage       = node.ErrUsage
	errUnreachable = node.ErrUnreachable
)

// process is what every command may use of the process it runs in.
type process struct {
	out, logs io.Writer
	level     slog.Level
	log       *slog.Logger

	secondSignal <-chan struct{} // closed by it; nil: there is none
}

// newProcess returns a process whose logger is also the default one.
func newProcess(out, logs io.Writer, level slog.Level) *process {
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(log)
	return &process{out: out, logs: logs, level: level, log: log}
}

// reportError prints what went wrong, if anything, and returns the exit code.
func (p *process) reportError(err error) int {
	if err == nil || errors.Is(err, context.Canceled) {
		return exitDone
	}
	fmt.Fprintln(p.logs, "ridehail:", err)

	switch {
	case errors.Is(err, errUsage), errors.Is(err, httpserver.ErrAddress), errors.Is(err, filelock.ErrHeld), errors.Is(err, finding.ErrUsage):
		return exitUsage
	case errors.Is(err, errCheckFailed):
		return exitFailed
	case errors.Is(err, errUnreachable), errors.Is(err, finding.ErrUnreachable):
		return exitUnreachable
	}

	return exitFailed
}

// printResult writes the value as one JSON object, or else the text.
func (p *process) printResult(asJSON bool, value any, text string) error {
	if !asJSON {
		_, err := fmt.Fprint(p.out, text)
		return err
	}
	enc := json.NewEncoder(p.out)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

// writePlot writes a picture into a file; it does nothing without one.
func writePlot(file, svg string) error {
	if file == "" {
		return nil
	}
	if err := os.WriteFile(file, []byte(svg), 0o644); err != nil {
		return fmt.Errorf("the picture cannot be written: %w", err)
	}
	return nil
}

// markUnreachable wraps errors of the network with errUnreachable. It returns
// other errors as they are.
func markUnreachable(err error) error {
	if op := new(net.OpError); errors.As(err, &op) {
		return fmt.Errorf("%w: %w (is the node running?)", errUnreachable, err)
	}
	return err
}

// createJournal creates a journal; it returns nil, which is a journal that
// keeps nothing, without a file.
func createJournal(file string) (*journal.Journal, error) {
	if file == "" {
		return nil, nil
	}
	kept, err := journal.Create(file)
	if err != nil {
		return nil, fmt.Errorf("%w: --journal: %w", errUsage, err)
	}
	return kept, nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progressBar shows on a terminal how much of a long work is done.
type progressBar struct {
	out     io.Writer // nil: no terminal, so nothing is drawn
	percent int       // drawn last
}

func newProgressBar(out io.Writer) *progressBar {
	if !isTerminal(out) {
		return &progressBar{}
	}
	return &progressBar{out: out, percent: -1}
}

const barWidth = 40

// draw shows how much is done. It writes only when the percentage changes.
func (b *progressBar) draw(done, total int64) {
	if b.out == nil || total <= 0 {
		return
	}
	percent := int(min(100, 100*done/total))
	if percent == b.percent {
		return
	}

	b.percent = percent
	full := percent * barWidth / 100
	fmt.Fprintf(b.out, "\r  %s%s %3d %%", strings.Repeat("█", full), strings.Repeat("░", barWidth-full), percent)
}

// clear takes the bar off the screen.
func (b *progressBar) clear() {
	if b.out != nil {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}
