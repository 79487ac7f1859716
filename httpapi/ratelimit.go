package httpapi

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/ridehail/ridehail/trips"
)

const (
	userRate    = 20 // requests a second per user
	userBurst   = 40
	maxUsers    = 20_000 // remembered
	forgetAfter = time.Minute
)

// userLimiter bounds the rate of each user's requests. It remembers a bounded
// number of users; one forgotten early only gets a fresh burst.
type userLimiter struct {
	now func() time.Time

	mu    sync.Mutex // guards below
	users map[trips.Actor]*limitedUser
}

type limitedUser struct {
	limit *rate.Limiter
	seen  time.Time
}

func newUserLimiter(now func() time.Time) *userLimiter {
	return &userLimiter{now: now, users: map[trips.Actor]*limitedUser{}}
}

// allow takes one request of the user's rate; false when there is none left.
func (l *userLimiter) allow(who trips.Actor) bool {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()

	u, ok := l.users[who]
	if !ok {
		l.makeRoomLocked(now)
		u = &limitedUser{limit: rate.NewLimiter(userRate, userBurst)}
		l.users[who] = u
	}

	u.seen = now
	return u.limit.AllowN(now, 1)
}

// makeRoomLocked forgets users long silent, and when there are none, the first
// tenth that comes.
func (l *userLimiter) makeRoomLocked(now time.Time) {
	if len(l.users) < maxUsers {
		return
	}

	for who, u := range l.users {
		if now.Sub(u.seen) > forgetAfter {
			delete(l.users, who)
		}
	}

	for who := range l.users {
		if len(l.users) < maxUsers*9/10 {
			return
		}
		delete(l.users, who)
	}
}
