package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ridehail/ridehail/events"
)

// queueCmd shows the jobs that were given up, and puts them back.
type queueCmd struct {
	List  queueListCmd  `cmd:"" help:"List the dead letters: jobs that were given up, oldest first, and why."`
	Retry queueRetryCmd `cmd:"" help:"Put dead letters back on their queue, once what was wrong is cured."`
}

func (queueCmd) Help() string {
	return "Example: ridehail queue list --redis redis://localhost:6379/0, then ridehail queue retry --redis … ENTRY"
}

// queueFlags name a queue. There is no default server: the one inside a node lives and ends with the node.
type queueFlags struct {
	Redis  string `help:"redis://HOST:PORT/DB, as the nodes have it." required:"" env:"RIDEHAIL_REDIS" placeholder:"URL"`
	Stream string `help:"The queue." default:"settlements"`
}

// with opens the queue's server, and closes it when f is done.
func (q *queueFlags) with(ctx context.Context, p *process, f func(*events.Redis) error) error {
	r, err := events.Open(ctx, q.Redis, events.WithLog(p.log))
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return errors.Join(f(r), r.Close())
}

type queueListCmd struct {
	queueFlags
	Limit int64 `help:"At most so many." default:"100"`
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
	Entry string    `json:"entry"` // what retry wants
	Job   string    `json:"job"`
	At    time.Time `json:"at"`
	Why   string    `json:"why"`
}

func (c *queueListCmd) Run(ctx context.Context, p *process) error {
	return c.with(ctx, p, func(r *events.Redis) error {
		undone, err := r.Outstanding(ctx, c.Stream)
		if err != nil {
			return fmt.Errorf("the queue %s cannot be counted: %w", c.Stream, err)
		}
		letters, err := r.DeadLetters(ctx, c.Stream, c.Limit)
		if err != nil {
			return err
		}
		report := queueReport{Stream: c.Stream, Undone: undone, Dead: []deadLetter{}}
		for _, l := range letters {
			report.Dead = append(report.Dead, deadLetter{Entry: l.Entry, Job: l.ID, At: l.At, Why: l.Why})
		}
		return p.print(c.JSON, report, report.text())
	})
}

func (r queueReport) text() string {
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
	Entries []string `arg:"" optional:"" name:"entry" help:"What list shows first on each line."`
}

func (queueRetryCmd) Help() string {
	return "A job that was done meanwhile has no effect. Example: ridehail queue retry --redis redis://localhost:6379/0 --all"
}

func (c *queueRetryCmd) Run(ctx context.Context, p *process) error {
	if c.All == (len(c.Entries) > 0) {
		return fmt.Errorf("%w: name the entries that `ridehail queue list` shows, or give --all", errUsage)
	}
	return c.with(ctx, p, func(r *events.Redis) error {
		if !c.All {
			return c.retry(ctx, p, r, c.Entries)
		}
		for {
			letters, err := r.DeadLetters(ctx, c.Stream, 100)
			if err != nil || len(letters) == 0 {
				return err
			}
			var entries []string
			for _, l := range letters {
				entries = append(entries, l.Entry)
			}
			if err := c.retry(ctx, p, r, entries); err != nil {
				return err
			}
		}
	})
}

// retry puts entries back. It goes on past those that are not there and fails in the end.
func (c *queueRetryCmd) retry(ctx context.Context, p *process, r *events.Redis, entries []string) error {
	var missing []error
	for _, entry := range entries {
		switch err := r.Retry(ctx, c.Stream, entry); {
		case errors.Is(err, events.ErrNoLetter):
			missing = append(missing, err)
		case err != nil:
			return err
		default:
			fmt.Fprintf(p.out, "%s is back on %s\n", entry, c.Stream)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %w", errCheckFailed, errors.Join(missing...))
	}
	return nil
}
