package gateway

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/ridehail/ridehail/trips"
)

const (
	httpRate   = 20 // requests a second per user
	httpBurst  = 40
	maxPaced   = 20_000 // users remembered
	forgetPace = time.Minute
)

// pace bounds how often each user asks over HTTP. It remembers a bounded number of users; one forgotten early only
// gets a fresh burst.
type pace struct {
	now func() time.Time

	mu    sync.Mutex
	users map[trips.Actor]*paced
}

type paced struct {
	limit *rate.Limiter
	seen  time.Time
}

func newPace(now func() time.Time) *pace {
	return &pace{now: now, users: map[trips.Actor]*paced{}}
}

func (p *pace) allow(who trips.Actor) bool {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.users[who]
	if !ok {
		p.makeRoomLocked(now)
		u = &paced{limit: rate.NewLimiter(httpRate, httpBurst)}
		p.users[who] = u
	}
	u.seen = now
	return u.limit.AllowN(now, 1)
}

// makeRoomLocked forgets users long silent, and when there are none, the first tenth that comes.
func (p *pace) makeRoomLocked(now time.Time) {
	if len(p.users) < maxPaced {
		return
	}
	for who, u := range p.users {
		if now.Sub(u.seen) > forgetPace {
			delete(p.users, who)
		}
	}
	for who := range p.users {
		if len(p.users) < maxPaced*9/10 {
			return
		}
		delete(p.users, who)
	}
}
