package broken

import "sync"

// NewestWins keeps one message: the newest. That is right for positions. For
// events and chat it is wrong, for each of them says something of its own.
type NewestWins[T any] struct {
	mu      sync.Mutex
	message T
	waits   bool
}

// Put overwrites a message that was not taken yet.
func (n *NewestWins[T]) Put(message T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.message, n.waits = message, true
}

// Take returns the message if there is one.
func (n *NewestWins[T]) Take() (message T, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ok, n.waits = n.waits, false
	return n.message, ok
}
