package doors

import (
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
)

// screen is what a rider sees: always the newest position that came.
type screen struct {
	onShow func(seq uint32, taken, shown time.Time) // may be nil

	mu       sync.Mutex // guards all below
	from     uint32     // positions up to this number belong to no measurement
	last     uint32
	shows    []show
	requests int
	polledAt time.Time // when the last answer to a poll came
}

// show is one position on the screen.
type show struct {
	taken time.Time // when the driver's phone took it
	shown time.Time
}

// beginAfter forgets what was shown and counts positions with higher numbers
// only.
func (s *screen) beginAfter(after uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from, s.last, s.shows, s.requests, s.polledAt = after, max(s.last, after), nil, 0, time.Time{}
}

// showNewest takes a position that has come.
func (s *screen) showNewest(seq uint32, taken, shown time.Time) {
	s.mu.Lock()
	isNew := seq > s.last
	if isNew {
		s.last = seq
		if seq > s.from {
			s.shows = append(s.shows, show{taken, shown})
		}
	}
	s.mu.Unlock()

	if isNew && s.onShow != nil {
		s.onShow(seq, taken, shown)
	}
}

func (s *screen) newestShown() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *screen) countRequest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
}

func (s *screen) notePoll(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polledAt = at
}

// age is how old a picture was over some time.
type age struct {
	total float64 // seconds times seconds
	over  float64 // seconds
	worst float64
}

// ageUntil returns how old the picture was from the first position to the end,
// or to the last poll, if the rider polls: the picture's age grows evenly and
// falls when a newer position comes (the "age of information").
func (s *screen) ageUntil(end time.Time) (a age) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.polledAt.IsZero() {
		end = s.polledAt
	}

	for i, now := range s.shows {
		next := end
		if i+1 < len(s.shows) {
			next = s.shows[i+1].shown
		}
		young, old := now.shown.Sub(now.taken).Seconds(), next.Sub(now.taken).Seconds()
		if old <= young {
			a.worst = max(a.worst, young)
			continue
		}
		a.total += (young + old) / 2 * (old - young)
		a.over += old - young
		a.worst = max(a.worst, old)
	}
	return a
}

// agePoints is the picture's age over time, in seconds.
func (s *screen) agePoints(begun, end time.Time) (points []plot.Point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, now := range s.shows {
		if i > 0 {
			points = append(points, plot.Point{X: now.shown.Sub(begun).Seconds(), Y: now.shown.Sub(s.shows[i-1].taken).Seconds()})
		}
		points = append(points, plot.Point{X: now.shown.Sub(begun).Seconds(), Y: now.shown.Sub(now.taken).Seconds()})
	}
	if n := len(s.shows); n > 0 && end.After(s.shows[n-1].shown) {
		points = append(points, plot.Point{X: end.Sub(begun).Seconds(), Y: end.Sub(s.shows[n-1].taken).Seconds()})
	}
	return points
}
