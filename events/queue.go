package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Job is work that must be done. It may be delivered more than once; jobs with
// the same ID are the same one.
type Job struct {
	ID      string
	Payload []byte
	Attempt int // deliveries so far, this one included

	entryID    string
	isRequeued bool // added by EnqueueJob, beside what the relay adds
	delivery   delivery
}

// The fields of a stream entry.
const (
	fieldID      = "id"
	fieldPayload = "payload"
	fieldWhy     = "why"
	fieldAt      = "at"

	fieldRequeued = "requeued" // of jobs that EnqueueJob added
)

// newJobEntry returns the stream entry of a job. There is no MAXLEN: trimming
// would drop jobs that are not done yet.
func (r *Redis) newJobEntry(stream, id string, payload []byte) *redis.XAddArgs {
	return &redis.XAddArgs{Stream: r.streamKey(stream), Values: []any{fieldID, id, fieldPayload, payload}}
}

// EnqueueJob adds a job. After an error the job may have been added all the
// same; adding it again is harmless.
func (r *Redis) EnqueueJob(ctx context.Context, stream, jobID string, payload []byte) error {
	entry := r.newJobEntry(stream, jobID, payload)
	entry.Values = []any{fieldID, jobID, fieldPayload, payload, fieldRequeued, "1"}
	if err := r.commands.XAdd(ctx, entry).Err(); err != nil {
		return fmt.Errorf("queue job %s on %s: %w", jobID, stream, err)
	}
	r.countAdded(stream)
	return nil
}

// countAdded counts a job that was added by itself; the relay counts its own.
func (r *Redis) countAdded(stream string) {
	r.metrics.jobs.WithLabelValues("queued").Inc()
	r.metrics.jobsAdded.WithLabelValues(stream).Inc()
}

// CountOutstanding returns the number of jobs of a stream that are not done.
func (r *Redis) CountOutstanding(ctx context.Context, stream string) (int64, error) {
	return r.commands.XLen(ctx, r.streamKey(stream)).Result()
}

// CountJobs returns, for each stream, how many of its jobs are not done and how
// many were given up, in one round trip.
func (r *Redis) CountJobs(ctx context.Context, streams ...string) (waiting, dead []int64, err error) {
	pipe := r.commands.Pipeline()
	var lengths []*redis.IntCmd
	for _, stream := range streams {
		lengths = append(lengths, pipe.XLen(ctx, r.streamKey(stream)), pipe.XLen(ctx, r.deadKey(stream)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, nil, fmt.Errorf("count jobs: %w", err)
	}
	for i := range streams {
		waiting, dead = append(waiting, lengths[2*i].Val()), append(dead, lengths[2*i+1].Val())
	}
	return waiting, dead, nil
}

// DeleteQueue deletes a stream with its jobs, done or not, and its dead letters.
// A worker that still runs creates it again.
func (r *Redis) DeleteQueue(ctx context.Context, stream string) error {
	err := r.commands.Del(ctx, r.streamKey(stream), r.deadKey(stream), r.deadIndexKey(stream)).Err()
	if err != nil {
		return fmt.Errorf("delete the queue %s: %w", stream, err)
	}
	return nil
}

// DeadLetter is a job that was given up, with the reason.
type DeadLetter struct {
	EntryID string // names the letter for RetryDeadLetter
	ID      string
	Payload []byte
	Reason  string
	At      time.Time
}

// DeadLetters returns the oldest dead letters of a stream, at most limit.
func (r *Redis) DeadLetters(ctx context.Context, stream string, limit int64) ([]DeadLetter, error) {
	found, err := r.commands.XRangeN(ctx, r.deadKey(stream), "-", "+", limit).Result()
	if err != nil {
		return nil, fmt.Errorf("dead letters of %s: %w", stream, err)
	}

	letters := make([]DeadLetter, 0, len(found))
	for _, m := range found {
		// The time is zero if the letter was not written by addDeadLetter.
		at, _ := time.Parse(time.RFC3339Nano, readField(m, fieldAt))
		letters = append(letters, DeadLetter{EntryID: m.ID, ID: readField(m, fieldID),
			Payload: []byte(readField(m, fieldPayload)), Reason: readField(m, fieldWhy), At: at})
	}

	return letters, nil
}

// ErrNoDeadLetter says that a dead letter does not exist, or no longer.
var ErrNoDeadLetter = errors.New("no such dead letter")

// RetryDeadLetter puts a dead letter's job back on its stream and deletes the
// letter in the same transaction. If the letter stayed, a job that fails again
// at once would leave none.
func (r *Redis) RetryDeadLetter(ctx context.Context, stream, entry string) error {
	if !isEntryID(entry) {
		return fmt.Errorf("dead letter %q of %s: %w", entry, stream, ErrNoDeadLetter)
	}
	found, err := r.commands.XRangeN(ctx, r.deadKey(stream), entry, entry, 1).Result()
	if err != nil {
		return fmt.Errorf("dead letter %s: %w", entry, err)
	}
	if len(found) == 0 {
		return fmt.Errorf("dead letter %s of %s: %w", entry, stream, ErrNoDeadLetter)
	}

	id := readField(found[0], fieldID)
	pipe := r.commands.TxPipeline()
	pipe.XAdd(ctx, r.newJobEntry(stream, id, []byte(readField(found[0], fieldPayload))))
	pipe.XDel(ctx, r.deadKey(stream), entry)
	pipe.HDel(ctx, r.deadIndexKey(stream), id)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("put dead letter %s of %s back: %w", entry, stream, err)
	}

	r.countAdded(stream)
	return nil
}

// isEntryID returns true for the full id of a stream's entry, MILLISECONDS-NUMBER.
// Redis takes other text for a range or an error.
func isEntryID(s string) bool {
	ms, number, _ := strings.Cut(s, "-")
	_, err1 := strconv.ParseUint(ms, 10, 64)
	_, err2 := strconv.ParseUint(number, 10, 64)
	return err1 == nil && err2 == nil
}

func readField(m redis.XMessage, name string) string {
	s, _ := m.Values[name].(string)
	return s
}
