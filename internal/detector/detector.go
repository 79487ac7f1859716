// Package detector tells dead peers from slow ones by their silence, as far as
// that is possible. It knows no drivers and no sockets. It holds two ways to
// measure suspicion, the grades by which this service acts on silence, and a
// guard against taking this node's own pause for the silence of all peers.
package detector

import "time"

// Grades of silence. Each costs the driver more than the one before and takes
// longer to reach, because a stalled link looks the same as a dead phone.
const (
	// SuspectAfter ends new offers to the driver. A wrong verdict costs an
	// offer that would likely have expired.
	SuspectAfter = 3 * time.Second
	// OfflineAfter takes a driver without a trip off the maps and out of the
	// count of available drivers.
	OfflineAfter = 10 * time.Second
	// CommsLostAfter tells the rider of a trip how old the driver's position
	// is. The trip goes on.
	CommsLostAfter = 20 * time.Second
)

// Detector turns the silence of one peer into a number; the caller decides at
// which number to act. It is not safe for concurrent use.
type Detector interface {
	// Heard notes a sign of life by the time at which it arrived, on this
	// node's clock.
	Heard(at time.Time)
	// Suspicion returns a number that grows while the peer is silent. It is 0
	// before the peer was ever heard.
	Suspicion(now time.Time) float64
	// Reaches returns when the suspicion will reach a level if nothing more is
	// heard; the zero time before the peer was heard.
	Reaches(level float64) time.Time
}

// Fixed is the detector with fixed timeouts: its suspicion is the silence in
// seconds. The zero value is ready.
type Fixed struct{ heard time.Time }

// Heard notes a sign of life.
func (f *Fixed) Heard(at time.Time) { f.heard = at }

// Suspicion returns the silence in seconds.
func (f *Fixed) Suspicion(now time.Time) float64 {
	if f.heard.IsZero() {
		return 0
	}
	return max(0, now.Sub(f.heard).Seconds())
}

// Reaches returns when the silence will have lasted that many seconds.
func (f *Fixed) Reaches(seconds float64) time.Time {
	if f.heard.IsZero() {
		return time.Time{}
	}
	return f.heard.Add(time.Duration(seconds * float64(time.Second)))
}
