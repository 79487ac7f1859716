package sleep

import (
	"syscall"
	"time"
)

// Precisely sleeps until a moment, in the kernel. The runtime's timers of an
// idle process are up to a millisecond late. It takes a thread while it sleeps,
// and no context ends it: it is for few goroutines and short waits.
func Precisely(until time.Time) {
	for wait := time.Until(until); wait > 0; wait = time.Until(until) {
		ts := syscall.NsecToTimespec(int64(wait))
		_ = syscall.Nanosleep(&ts, nil) // the loop continues after a signal
	}
}
