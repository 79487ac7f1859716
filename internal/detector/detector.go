// Package detector tells the dead from the slow, as far as that can be told: it
// judges silence. It knows no drivers and no sockets. It holds two ways to
// measure how suspicious a peer's silence is, the grades by which this service
// acts on silence, and a guard against taking our own pause for everybody's
// death.
package detector

import "time"

// Grades of silence. Each costs the driver more than the one before, and waits
// longer for it, because a stalled link looks the same as a dead phone.
const (
	// no new offers; costs an offer that would likely have expired
	SuspectAfter = 3 * time.Second
	// a driver without a trip leaves the maps and is not counted as available
	OfflineAfter = 10 * time.Second
	// on a trip the rider is told how old the position is; the trip goes on
	CommsLostAfter = 20 * time.Second
)

// Detector accrues suspicion of one peer: it turns silence into a number, and
// whoever asks decides which number is too much for them. It is not safe for
// concurrent use.
type Detector interface {
	// Heard notes a sign of life by the time at which it arrived, on our clock.
	Heard(at time.Time)
	// Suspicion grows while the peer is silent. It is 0 before the peer was
	// ever heard.
	Suspicion(now time.Time) float64
	// Reaches says when the suspicion will reach a level if nothing more is
	// heard; zero before the peer was heard.
	Reaches(level float64) time.Time
}

// Fixed is the detector with fixed timeouts: the suspicion is the silence in
// seconds. The zero value is ready.
type Fixed struct{ heard time.Time }

// Heard notes a sign of life.
func (f *Fixed) Heard(at time.Time) { f.heard = at }

// Suspicion is the silence in seconds.
func (f *Fixed) Suspicion(now time.Time) float64 {
	if f.heard.IsZero() {
		return 0
	}
	return max(0, now.Sub(f.heard).Seconds())
}

// Reaches says when the silence will have lasted that many seconds.
func (f *Fixed) Reaches(seconds float64) time.Time {
	if f.heard.IsZero() {
		return time.Time{}
	}
	return f.heard.Add(time.Duration(seconds * float64(time.Second)))
}
