package node

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/trips"
)

// newsLinger is how long the node goes on to hear a user's news after their
// last session, so that a phone that comes back soon costs nothing.
const newsLinger = 5 * time.Second

// follower is the part of events.Listener that userNews needs.
type follower interface {
	Follow(...events.Channel)
	Unfollow(...events.Channel)
}

// userNews follows the channels of the users who have sessions here. Its
// methods never block and may be called from any goroutine.
type userNews struct {
	listener follower
	// isListening returns false while no confirmation can be expected soon.
	isListening func() bool

	mu     sync.Mutex // guards below
	byUser map[trips.Actor]*followedUser
	// The users without a session here, and since when.
	left map[trips.Actor]time.Time
}

// followedUser is a user whose channel is followed.
type followedUser struct {
	sessions    int
	confirmed   chan struct{} // closed when no news is missed any more
	isConfirmed bool          // confirmed is closed
}

func newUserNews(listener follower, isListening func() bool) *userNews {
	return &userNews{listener: listener, isListening: isListening, byUser: map[trips.Actor]*followedUser{},
		left: map[trips.Actor]time.Time{}}
}

// joinUser follows the news of a user who has one more session here. The
// channel is closed when none is missed any more. It is nil while nothing is
// heard of other nodes: the gap that ends that time heals it.
func (u *userNews) joinUser(user trips.Actor) (confirmed <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()

	f := u.byUser[user]
	if f == nil {
		f = &followedUser{confirmed: make(chan struct{})}
		u.byUser[user] = f
		u.listener.Follow(events.UserChannel(user))
	}
	f.sessions++
	delete(u.left, user)

	if !f.isConfirmed && !u.isListening() {
		return nil
	}
	return f.confirmed
}

// leaveUser ends joinUser.
func (u *userNews) leaveUser(user trips.Actor) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if f := u.byUser[user]; f != nil {
		if f.sessions--; f.sessions == 0 {
			u.left[user] = time.Now()
		}
	}
}

// hasSession reports whether a user has a session here.
func (u *userNews) hasSession(user trips.Actor) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.byUser[user]
	return f != nil && f.sessions > 0
}

// confirmUsers takes note that the channels of these users are subscribed; nil:
// those of all.
func (u *userNews) confirmUsers(users []trips.Actor) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if users == nil {
		users = slices.Collect(maps.Keys(u.byUser))
	}
	for _, user := range users {
		if f := u.byUser[user]; f != nil && !f.isConfirmed {
			f.isConfirmed = true
			close(f.confirmed)
		}
	}
}

// run forgets, once a second, the users who left, until ctx ends.
func (u *userNews) run(ctx context.Context) error {
	return sleep.Every(ctx, time.Second, func(context.Context) { u.forgetLeft() })
}

// forgetLeft stops following the users who left newsLinger ago.
func (u *userNews) forgetLeft() {
	u.mu.Lock()
	defer u.mu.Unlock()

	before := time.Now().Add(-newsLinger)
	var over []events.Channel
	for user, at := range u.left {
		if !at.After(before) {
			delete(u.left, user)
			delete(u.byUser, user)
			over = append(over, events.UserChannel(user))
		}
	}
	if len(over) > 0 {
		u.listener.Unfollow(over...)
	}
}

// count returns how many users' channels are followed.
func (u *userNews) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.byUser)
}
