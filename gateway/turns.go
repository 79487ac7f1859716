package gateway

import (
	"sync"

	"github.com/ridehail/ridehail/trips"
)

// turns lets each user do one command at a time, over all their connections. So a phone that lost its connection and
// sends a command again hears what became of the first one, which may still be under way.
type turns struct {
	mu sync.Mutex // guards below
	of map[trips.Actor]*turn
}

type turn struct {
	mu    sync.Mutex
	users int // that hold it or wait for it; guarded by turns.mu
}

// take waits for the user's turn; call what it returns when the command is done.
func (t *turns) take(user trips.Actor) (done func()) {
	t.mu.Lock()
	one := t.of[user]
	if one == nil {
		one = new(turn)
		t.of[user] = one
	}
	one.users++
	t.mu.Unlock()
	one.mu.Lock()
	return func() {
		one.mu.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(t.of, user)
		}
	}
}
