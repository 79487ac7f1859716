package detector

import (
	"sync"
	"time"
)

const (
	// BeatEvery is how often a Guard wants to be told that we are awake.
	BeatEvery = 100 * time.Millisecond
	// LateAfter is the time between two beats from which on we were away:
	// stopped, collecting garbage, starved of the processor, or set to another
	// time. Shorter breaks are well below the shortest grade.
	LateAfter = time.Second
	// pausesKept bounds the memory. A pause lasts LateAfter at least, so that
	// more of them do not fit into the longest grade.
	pausesKept = int(CommsLostAfter/LateAfter) + 1
)

// Guard knows when we ourselves were away. While we are away nobody is heard,
// and everybody's silence is our own; so a verdict needs a silence of which we
// heard every moment. The idea that a detector must doubt itself first is
// Lifeguard's (Dadgar, Phillips, Currey: "Lifeguard: Local Health Awareness for
// More Accurate Failure Detection", 2017), which stretches timeouts by a score
// of its own health; here the watch over our own ticks is enough.
//
// The zero value vouches for nothing and takes every silence at its word, until
// the first beat.
type Guard struct {
	mu     sync.RWMutex
	last   time.Time // the last beat
	pauses []pause   // oldest first
}

// pause is the time from the last beat before we were away to the first one
// after.
type pause struct{ from, to time.Time }

// Beat says that we are awake, and returns how long we were away before; 0 when
// we were not.
func (g *Guard) Beat(now time.Time) (away time.Duration) {
	// silence is measured on the wall's clock, and so are its jumps
	now = now.Round(0)
	g.mu.Lock()
	defer g.mu.Unlock()

	if isLate(g.last, now) {
		away = now.Sub(g.last)
		if len(g.pauses) == pausesKept {
			g.pauses = g.pauses[:copy(g.pauses, g.pauses[1:])]
		}
		g.pauses = append(g.pauses, pause{g.last, now})
	}

	g.last = now
	return away
}

func isLate(last, now time.Time) bool { return !last.IsZero() && now.Sub(last) > LateAfter }

// Cutoff returns the time such that whoever was last heard before it has been
// silent for at least that long, and heard by us all the while. For that long
// after a pause it stays where it was when the pause began: nobody is found
// silent anew before a full period of listening, and who was found silent
// before stays so.
func (g *Guard) Cutoff(now time.Time, silence time.Duration) time.Time {
	now = now.Round(0)
	g.mu.RLock()
	defer g.mu.RUnlock()

	if isLate(g.last, now) {
		now = g.last // we are only just back, and no beat has told yet
	}
	for i := len(g.pauses) - 1; i >= 0 && now.Sub(g.pauses[i].to) < silence; i-- {
		now = g.pauses[i].from
	}

	return now.Add(-silence)
}
