// Package faulty is a store in memory that keeps every contract of the real ones and, when asked, lets its callers down
// in the ways a database does behind a network: for simulations and other tests, never for a node.
package faulty

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/trips"
)

// Faults are probabilities from 0 to 1, per call. The zero value is a healthy store.
type Faults struct {
	Lost     float64       // done, and then an error: the caller cannot know
	Refused  float64       // not done, and an error
	Conflict float64       // Apply only: not done, and trips.ErrConflict
	Slow     float64       // takes up to SlowFor, before or after it is done
	SlowFor  time.Duration // 3 s when zero
}

var (
	// ErrLost is the error of a call that was done.
	ErrLost = errors.New("the answer got lost")
	// ErrRefused is the error of a call that was not done.
	ErrRefused = errors.New("the store is away")
)

// fate is what happens to one call.
type fate struct {
	lost, refused, conflict bool
	before, after           time.Duration
}

// Trouble sets the faults of the calls to come; the zero value heals the store.
func (s *Store) Trouble(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Pause makes every call that begins within d wait until then.
func (s *Store) Pause(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Now().Add(d)
}

// Injected counts what was inflicted so far, by kind.
func (s *Store) Injected() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.injected))
	for kind, n := range s.injected {
		out[kind] = n
	}
	return out
}

// draw decides a call's fate from the seed, the call and how often it was made before: so the same seed is as hard on
// the same calls, in whichever order goroutines come to run.
func (s *Store) draw(call, subject string) fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := fate{before: max(0, time.Until(s.until))}
	if f.before > 0 {
		s.injected["paused"]++
	}
	if s.faults == (Faults{}) {
		return f
	}
	id := call + " " + subject
	s.calls[id]++
	rng := rand.New(rand.NewPCG(s.seed, hash(id)+s.calls[id]))
	count := func(kind string, p float64) bool {
		hit := rng.Float64() < p
		if hit {
			s.injected[kind]++
		}
		return hit
	}
	if count("slow", s.faults.Slow) {
		d := time.Duration(rng.Int64N(int64(s.faults.slowFor())))
		if rng.IntN(2) == 0 {
			f.before += d
		} else {
			f.after = d
		}
	}
	switch {
	case count("refused", s.faults.Refused):
		f.refused = true
	case count("lost", s.faults.Lost):
		f.lost = true
	case call == "apply" && count("conflict", s.faults.Conflict):
		f.conflict = true
	}
	return f
}

// call lets do happen, or not, as fate has it. do runs under the lock.
func call[T any](ctx context.Context, s *Store, name, subject string, do func() (T, error)) (T, error) {
	var none T
	f := s.draw(name, subject)
	fail := func(err error) (T, error) { return none, fmt.Errorf("%s %s: %w", name, subject, err) }
	if !sleep.For(ctx, f.before) {
		return fail(ctx.Err())
	}
	switch {
	case f.refused:
		return fail(ErrRefused)
	case f.conflict:
		return fail(trips.ErrConflict)
	}
	s.mu.Lock()
	v, err := do()
	s.mu.Unlock()
	if err != nil {
		return fail(err)
	}
	if !sleep.For(ctx, f.after) {
		return fail(ctx.Err())
	}
	if f.lost {
		return fail(ErrLost)
	}
	return v, nil
}

// hash is the same in every run, unlike maphash.
func hash(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id)) // never fails
	return h.Sum64()
}

func (f Faults) slowFor() time.Duration {
	if f.SlowFor > 0 {
		return f.SlowFor
	}
	return 3 * time.Second
}
