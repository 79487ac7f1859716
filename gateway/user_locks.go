package gateway

import (
	"sync"

	"github.com/ridehail/ridehail/trips"
)

// userLocks lets each user do one command at a time, over all their
// connections. So a phone that lost its connection and sends a command again
// gets the result of the first one, which may still be under way.
type userLocks struct {
	mu     sync.Mutex // guards below
	byUser map[trips.Actor]*userLock
}

type userLock struct {
	mu    sync.Mutex
	users int // goroutines that hold it or wait for it; guarded by userLocks.mu
}

func newUserLocks() *userLocks { return &userLocks{byUser: map[trips.Actor]*userLock{}} }

// lockUser blocks until no other command of the user is under way. The caller
// calls unlock when its command is done.
func (l *userLocks) lockUser(user trips.Actor) (unlock func()) {
	l.mu.Lock()
	one := l.byUser[user]
	if one == nil {
		one = new(userLock)
		l.byUser[user] = one
	}
	one.users++
	l.mu.Unlock()

	one.mu.Lock()
	return func() {
		one.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(l.byUser, user)
		}
	}
}
