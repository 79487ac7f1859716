// Package accrual holds failure detectors that turn a peer's silence into a
// growing suspicion: fixed timeouts and phi-accrual. The service itself uses
// fixed timeouts only, see package detector; the lab shows why.
package accrual

import "time"

// Detector accrues suspicion of one peer: it turns silence into a number, and
// the caller decides which number is too much. It is not safe for concurrent
// use.
type Detector interface {
	// RecordHeartbeat notes a sign of life by the time at which it arrived, on our clock.
	RecordHeartbeat(at time.Time)
	// Suspicion grows while the peer is silent. It is 0 before the peer was
	// ever heard.
	Suspicion(now time.Time) float64
	// ReachesAt says when the suspicion will reach a level if nothing more is
	// heard; zero before the peer was heard.
	ReachesAt(level float64) time.Time
}

// Fixed is the detector with fixed timeouts: the suspicion is the silence in
// seconds. The zero value is ready.
type Fixed struct{ heard time.Time }

// RecordHeartbeat notes a sign of life.
func (f *Fixed) RecordHeartbeat(at time.Time) { f.heard = at }

// Suspicion is the silence in seconds.
func (f *Fixed) Suspicion(now time.Time) float64 {
	if f.heard.IsZero() {
		return 0
	}
	return max(0, now.Sub(f.heard).Seconds())
}

// ReachesAt says when the silence will have lasted that many seconds.
func (f *Fixed) ReachesAt(seconds float64) time.Time {
	if f.heard.IsZero() {
		return time.Time{}
	}
	return f.heard.Add(time.Duration(seconds * float64(time.Second)))
}
