package events

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// Scripts check and act in one step inside Redis. A worker that was paused
// between a check and its act would act on an old state. Scripts are sent whole
// each time, so that it does not matter if Redis loses its script cache.

// renewScript renews entries that are still the caller's. XCLAIM alone would
// take an entry back from the worker that had taken it over. The retry count is
// passed because some servers change it otherwise.
const renewScript = `
for i = 3, #ARGV do
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if held and held[1] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'RETRYCOUNT', held[1][4], 'JUSTID')
  end
end
return 0`

// renewEntries renews the caller's hold on entries of a stream.
func (r *Redis) renewEntries(ctx context.Context, key, consumer string, entries []string) error {
	args := []any{workerGroup, consumer}
	for _, e := range entries {
		args = append(args, e)
	}
	return r.commands.Eval(ctx, renewScript, []string{key}, args...).Err()
}

// claimScript delivers an entry to the caller if it is still as it was seen:
// pending for that consumer, and idle for at least that long.
const claimScript = `
local id = ARGV[4]
local seen = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[5], id, id, 1, ARGV[3])
if not (seen and seen[1]) then return false end
local got = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[5], id)
if not (got and got[1]) then return false end
return {seen[1][4] + 1, got[1][2]}`

// claimEntry claims an entry that was seen as pending. It returns nil when
// another worker was faster or the job is done.
func (r *Redis) claimEntry(ctx context.Context, key, consumer string, seen redis.XPendingExt, idle time.Duration) (*Job, error) {
	got, err := r.commands.Eval(ctx, claimScript, []string{key},
		workerGroup, consumer, seen.Consumer, seen.ID, idle.Milliseconds()).Slice()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}

	m := redis.XMessage{ID: seen.ID, Values: map[string]any{}}
	attempt, _ := got[0].(int64) // as the script builds it

	fields, _ := got[1].([]any)
	for i := 0; i+1 < len(fields); i += 2 {
		if name, ok := fields[i].(string); ok {
			m.Values[name] = fields[i+1]
		}
	}

	j := decodeJob(m, int(attempt))
	return &j, nil
}

// deadLetterScript adds a dead letter unless the job has one: a job that is
// queued again and again and always fails leaves one letter. An index entry
// counts only if its letter still exists.
const deadLetterScript = `
local entry = redis.call('HGET', KEYS[2], ARGV[1])
if entry then
  local letter = redis.call('XRANGE', KEYS[1], entry, entry)
  if letter and letter[1] then return 0 end
end
entry = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
redis.call('HSET', KEYS[2], ARGV[1], entry)
return 1`

// addDeadLetter adds a dead letter for a job that has none.
func (r *Redis) addDeadLetter(ctx context.Context, stream string, j Job, why error, at time.Time) error {
	return r.commands.Eval(ctx, deadLetterScript, []string{r.deadKey(stream), r.deadIndexKey(stream)}, j.ID, fieldID, j.ID,
		fieldPayload, j.Payload, fieldWhy, why.Error(), fieldAt, at.UTC().Format(time.RFC3339Nano)).Err()
}
