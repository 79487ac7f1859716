package events

import (
	"context"
	"errors"
	"fmt"
)

// QueueState is what a person wants to know of a stream of jobs.
type QueueState struct {
	Undone int64        // jobs that wait or are being done
	Dead   []DeadLetter // the oldest dead letters
}

// ReadQueue returns the state of a stream, with at most limit dead letters.
func (r *Redis) ReadQueue(ctx context.Context, stream string, limit int64) (QueueState, error) {
	undone, err := r.CountOutstanding(ctx, stream)
	if err != nil {
		return QueueState{}, fmt.Errorf("the queue %s cannot be counted: %w", stream, err)
	}
	dead, err := r.DeadLetters(ctx, stream, limit)
	return QueueState{undone, dead}, err
}

// RetryEntries puts the named dead letters of a stream back and calls onRetried
// after each. It goes on past entries that are not there, and then returns an
// error that wraps ErrNoDeadLetter. Any other error ends it at once.
func (r *Redis) RetryEntries(ctx context.Context, stream string, entries []string, onRetried func(entry string)) error {
	var missing []error
	for _, entry := range entries {
		switch err := r.RetryDeadLetter(ctx, stream, entry); {
		case errors.Is(err, ErrNoDeadLetter):
			missing = append(missing, err)
		case err != nil:
			return err
		default:
			onRetried(entry)
		}
	}
	return errors.Join(missing...)
}

// RetryAll puts every dead letter of a stream back, as RetryEntries does.
func (r *Redis) RetryAll(ctx context.Context, stream string, onRetried func(entry string)) error {
	for {
		letters, err := r.DeadLetters(ctx, stream, 100)
		if err != nil || len(letters) == 0 {
			return err
		}

		entries := make([]string, len(letters))
		for i, l := range letters {
			entries[i] = l.EntryID
		}
		if err := r.RetryEntries(ctx, stream, entries, onRetried); err != nil {
			return err
		}
	}
}
