package sharedstate

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ridehail/ridehail/trips"
)

// Sessions is the register of connected sessions and of the driver that each
// session watches. S is the gateway's session type. Sessions compares and
// returns its values, and never calls them.
type Sessions[S comparable] struct {
	mu       sync.RWMutex // Guards all below.
	byUser   map[trips.Actor][]S
	owner    map[S]trips.Actor
	watches  map[S]trips.DriverID
	watchers map[trips.DriverID][]S
}

// NewSessions returns an empty register.
func NewSessions[S comparable]() *Sessions[S] {
	return &Sessions[S]{byUser: map[trips.Actor][]S{}, owner: map[S]trips.Actor{}, watches: map[S]trips.DriverID{},
		watchers: map[trips.DriverID][]S{}}
}

// Add registers a session and returns the user's other sessions, which the
// caller may want to close. It returns nil for a session that is already
// registered.
func (r *Sessions[S]) Add(user trips.Actor, s S) (others []S) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if _, known := r.owner[s]; known {
		return nil
	}
	others = slices.Clone(r.byUser[user])
	r.owner[s] = user
	r.byUser[user] = append(r.byUser[user], s)
	return others
}

// Remove removes a session and its watch. It returns false when the session was
// not registered for that user.
func (r *Sessions[S]) Remove(user trips.Actor, s S) bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	if owner, ok := r.owner[s]; !ok || owner != user {
		return false
	}
	r.dropWatchLocked(s)
	delete(r.owner, s)
	removeValue(r.byUser, user, s)
	return true
}

// OfUser appends to dst the user's sessions.
func (r *Sessions[S]) OfUser(user trips.Actor, dst []S) []S {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return append(dst, r.byUser[user]...)
}

// All appends to dst every session.
func (r *Sessions[S]) All(dst []S) []S {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for s := range r.owner {
		dst = append(dst, s)
	}
	return dst
}

// Watch makes the session watch this driver and no other, and returns whom it
// watched before, or "". It returns false when the session is not registered any
// more.
func (r *Sessions[S]) Watch(s S, d trips.DriverID) (before trips.DriverID, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if _, ok := r.owner[s]; !ok {
		return "", false
	}

	if before = r.watches[s]; before != d {
		r.dropWatchLocked(s)
		r.watches[s] = d
		r.watchers[d] = append(r.watchers[d], s)
	}

	return before, true
}

// Unwatch ends the session's watch and returns whom it watched, or "".
func (r *Sessions[S]) Unwatch(s S) (before trips.DriverID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before = r.watches[s]
	r.dropWatchLocked(s)
	return before
}

// IsWatched reports whether a session watches the driver.
func (r *Sessions[S]) IsWatched(d trips.DriverID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.watchers[d]) > 0
}

func (r *Sessions[S]) dropWatchLocked(s S) {
	if d, ok := r.watches[s]; ok {
		delete(r.watches, s)
		removeValue(r.watchers, d, s)
	}
}

// Watchers appends to dst the sessions that watch the driver.
func (r *Sessions[S]) Watchers(d trips.DriverID, dst []S) []S {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return append(dst, r.watchers[d]...)
}

// Len returns the number of sessions.
func (r *Sessions[S]) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.owner)
}

// CheckInvariants compares the four maps with each other and returns every
// disagreement.
func (r *Sessions[S]) CheckInvariants() error {
	r.mu.RLock()
	defer r.mu.RUnlock()

	var errs []error
	for s, user := range r.owner {
		if !slices.Contains(r.byUser[user], s) {
			errs = append(errs, fmt.Errorf("a session of %s is not among theirs", user))
		}
	}

	for s, d := range r.watches {
		if _, ok := r.owner[s]; !ok || !slices.Contains(r.watchers[d], s) {
			errs = append(errs, fmt.Errorf("a watch of driver %s hangs loose", d))
		}
	}

	if n := countValues(r.byUser); n != len(r.owner) {
		errs = append(errs, fmt.Errorf("users have %d sessions, %d are known", n, len(r.owner)))
	}
	if n := countValues(r.watchers); n != len(r.watches) {
		errs = append(errs, fmt.Errorf("drivers have %d watchers, %d sessions watch", n, len(r.watches)))
	}

	return errors.Join(errs...)
}

// removeValue removes s from the list under key, and the key from the map when
// the list is empty.
func removeValue[K, S comparable](m map[K][]S, key K, s S) {
	list := m[key]
	if i := slices.Index(list, s); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(m, key)
		return
	}
	m[key] = list
}

// countValues returns the length of all lists together.
func countValues[K, S comparable](m map[K][]S) (n int) {
	for _, list := range m {
		n += len(list)
	}
	return n
}
