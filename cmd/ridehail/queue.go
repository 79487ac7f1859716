package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ridehail/ridehail/events"
)

// queueCmd shows the jobs that were given up, and retries them.
type queueCmd struct {
	List  queueListCmd  `cmd:"" help:"List the dead letters: jobs that were given up, oldest first, and why."`
	Retry queueRetryCmd `cmd:"" help:"Put dead letters back on their queue, once their cause is fixed."`
}

func (queueCmd) Help() string {
	return "Example: ridehail queue list --redis redis://localhost:6379/0, then ridehail queue retry --redis … ENTRY"
}

// queueFlags name a queue. There is no default server: the one inside a node
// ends with the node.
type queueFlags struct {
	Redis  string `help:"Address of Redis, the same as the nodes use." required:"" env:"RIDEHAIL_REDIS" placeholder:"URL"`
	Stream string `help:"Name of the queue." default:"settlements"`
}

// withRedis calls f with an open connection to the queue's server.
func (q *queueFlags) withRedis(ctx context.Context, p *process, f func(*events.Redis) error) error {
	r, err := events.Open(ctx, q.Redis, events.WithLog(p.log))
	if errors.Is(err, events.ErrAddress) {
		return fmt.Errorf("%w: --redis: %w", errUsage, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return errors.Join(f(r), r.Close())
}

type queueListCmd struct {
	queueFlags
	Limit int64 `help:"List at most this many." default:"100" range:"1..1000000"`
	JSON  bool  `help:"Print one JSON object."`
}

func (queueListCmd) Help() string {
	return "Example: ridehail queue list --redis redis://localhost:6379/0 --stream settlements"
}

// queueReport is what list prints.
type queueReport struct {
	Stream string       `json:"stream"`
	Undone int64        `json:"undone"` // jobs that wait or are being done
	Dead   []deadLetter `json:"dead"`
}

type deadLetter struct {
	Entry string    `json:"entry"` // names it for retry
	Job   string    `json:"job"`
	At    time.Time `json:"at"`
	Why   string    `json:"why"`
}

func (c *queueListCmd) Run(ctx context.Context, p *process) error {
	return c.withRedis(ctx, p, func(r *events.Redis) error {
		state, err := r.ReadQueue(ctx, c.Stream, c.Limit)
		if err != nil {
			return err
		}
		report := queueReport{Stream: c.Stream, Undone: state.Undone, Dead: []deadLetter{}}
		for _, l := range state.Dead {
			report.Dead = append(report.Dead, deadLetter{Entry: l.EntryID, Job: l.ID, At: l.At, Why: l.Reason})
		}
		return p.printResult(c.JSON, report, report.formatText())
	})
}

func (r queueReport) formatText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d undone, %d given up\n", r.Stream, r.Undone, len(r.Dead))
	for _, l := range r.Dead {
		fmt.Fprintf(&b, "%s  %s  %s  %s\n", l.Entry, l.At.Format(time.RFC3339), l.Job, l.Why)
	}
	return b.String()
}

type queueRetryCmd struct {
	queueFlags
	All     bool     `help:"Put all of them back."`
	Entries []string `arg:"" optional:"" name:"entry" help:"The first word of a line that list shows."`
}

func (queueRetryCmd) Help() string {
	return "Retrying a job that was done meanwhile has no effect. Example: ridehail queue retry --redis redis://localhost:6379/0 --all"
}

func (c *queueRetryCmd) Run(ctx context.Context, p *process) error {
	if c.All == (len(c.Entries) > 0) {
		return fmt.Errorf("%w: name the entries that `ridehail queue list` shows, or give --all", errUsage)
	}
	onRetried := func(entry string) { fmt.Fprintf(p.out, "%s is back on %s\n", entry, c.Stream) }
	return c.withRedis(ctx, p, func(r *events.Redis) error {
		var err error
		if c.All {
			err = r.RetryAll(ctx, c.Stream, onRetried)
		} else {
			err = r.RetryEntries(ctx, c.Stream, c.Entries, onRetried)
		}

		if errors.Is(err, events.ErrNoDeadLetter) {
			err = fmt.Errorf("%w: %w", errCheckFailed, err)
		}
		return err
	})
}
