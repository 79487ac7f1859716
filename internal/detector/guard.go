package detector

import (
	"sync"
	"time"
)

const (
	// BeatInterval is how often a Guard's RecordBeat should be called.
	BeatInterval = 100 * time.Millisecond
	// LateAfter is the time between two beats from which on this node counts as
	// paused: stopped, collecting garbage, starved of the processor, or with
	// its clock set forward. Shorter breaks are well below the shortest grade.
	LateAfter = time.Second
	// pausesKept bounds the memory. A pause lasts LateAfter at least, so that
	// more of them do not fit into the longest grade.
	pausesKept = int(CommsLostAfter/LateAfter) + 1
)

// Guard knows when this node itself was paused. During a pause no peer is
// heard, and their silence is this node's own. So a verdict needs a silence
// during which the node was listening all the time. The idea that a detector
// must doubt itself first is Lifeguard's (Dadgar, Phillips, Currey: "Lifeguard:
// Local Health Awareness for More Accurate Failure Detection", 2017), which
// stretches timeouts by a score of its own health; here watching our own beats
// is enough.
//
// Before the first beat the zero value counts every silence in full. Its
// methods may be called from many goroutines.
type Guard struct {
	mu     sync.RWMutex
	last   time.Time // the last beat
	pauses []pause   // oldest first
}

// pause is the time from the last beat before a pause to the first one after
// it.
type pause struct{ from, to time.Time }

// RecordBeat notes that this node runs, and returns how long it was paused
// before; 0 when it was not.
func (g *Guard) RecordBeat(now time.Time) (paused time.Duration) {
	// Silence is measured by the wall clock, so its jumps count as pauses too.
	now = now.Round(0)
	g.mu.Lock()
	defer g.mu.Unlock()

	if isLate(g.last, now) {
		paused = now.Sub(g.last)
		if len(g.pauses) == pausesKept {
			g.pauses = g.pauses[:copy(g.pauses, g.pauses[1:])]
		}
		g.pauses = append(g.pauses, pause{g.last, now})
	}

	g.last = now
	return paused
}

// isLate reports whether the node was paused between two beats.
func isLate(last, now time.Time) bool { return !last.IsZero() && now.Sub(last) > LateAfter }

// SilenceCutoff returns a time: a peer last heard before it has been silent for
// at least that long while this node listened. For that long after a pause the
// cutoff stays where it was when the pause began. So no peer becomes silent
// before a full period of listening, and one that was silent before stays so.
func (g *Guard) SilenceCutoff(now time.Time, silence time.Duration) time.Time {
	now = now.Round(0)
	g.mu.RLock()
	defer g.mu.RUnlock()

	if isLate(g.last, now) {
		// The pause has just ended, and RecordBeat was not called yet.
		now = g.last
	}
	for i := len(g.pauses) - 1; i >= 0 && now.Sub(g.pauses[i].to) < silence; i-- {
		now = g.pauses[i].from
	}

	return now.Add(-silence)
}
