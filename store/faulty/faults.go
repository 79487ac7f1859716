// Package faulty is a store in memory that keeps every contract of the real
// stores. On request it fails as a database behind a network does. It is for
// simulations and tests, never for a node.
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

// Faults are probabilities from 0 to 1, per call. The zero value is a healthy
// store.
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

// SetFaults sets the faults of later calls. The zero value heals the store.
func (s *state) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// PauseCalls makes every call that begins within d wait until d is over.
func (s *state) PauseCalls(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pausedUntil = time.Now().Add(d)
}

// CountInjected returns how many faults were injected so far, by kind.
func (s *state) CountInjected() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.injected))
	for kind, n := range s.injected {
		out[kind] = n
	}
	return out
}

// drawFate decides the fate of a call from the seed, the call and how often it
// was made before. The same seed gives the same calls the same fates, in any
// order of goroutines.
func (s *state) drawFate(call, subject string) fate {
	s.mu.Lock()
	defer s.mu.Unlock()

	f := fate{before: max(0, time.Until(s.pausedUntil))}
	if f.before > 0 {
		s.injected["paused"]++
	}
	if s.faults == (Faults{}) {
		return f
	}

	id := call + " " + subject
	s.calls[id]++
	rng := rand.New(rand.NewPCG(s.seed, hashCall(id)+s.calls[id]))
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

// runCall runs do under the lock, unless the drawn fate prevents it.
func runCall[T any](ctx context.Context, s *state, name, subject string, do func() (T, error)) (T, error) {
	var none T
	f := s.drawFate(name, subject)
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

// hashCall returns the same hash in every run, unlike maphash.
func hashCall(id string) uint64 {
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
