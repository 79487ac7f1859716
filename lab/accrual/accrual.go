// Package accrual holds failure detectors that turn a peer's silence into a
// growing suspicion: fixed timeouts and phi-accrual. The service itself uses
// fixed timeouts only (package detector); the lab shows why.
package accrual

import "time"

// Detector accrues suspicion of one peer: it turns silence into a number, and
// the caller decides which number is too much. It is not safe for concurrent
// use.
type Detector interface {
	// RecordHeartbeat records a sign of life that arrived at a time of our
	// clock.
	RecordHeartbeat(at time.Time)
	// Suspicion returns a number that grows while the peer is silent. It is 0
	// before the first heartbeat.
	Suspicion(now time.Time) float64
	// ReachesAt returns when the suspicion will reach a level if no more
	// heartbeats come. It is zero before the first heartbeat.
	ReachesAt(level float64) time.Time
}

// Fixed is the detector with fixed timeouts: the suspicion is the silence in
// seconds. The zero value is ready.
type Fixed struct{ heard time.Time }

// RecordHeartbeat records a sign of life.
func (f *Fixed) RecordHeartbeat(at time.Time) { f.heard = at }

// Suspicion returns the silence in seconds.
func (f *Fixed) Suspicion(now time.Time) float64 {
	if f.heard.IsZero() {
		return 0
	}
	return max(0, now.Sub(f.heard).Seconds())
}

// ReachesAt returns when the silence will have lasted that many seconds.
func (f *Fixed) ReachesAt(seconds float64) time.Time {
	if f.heard.IsZero() {
		return time.Time{}
	}
	return f.heard.Add(time.Duration(seconds * float64(time.Second)))
}
