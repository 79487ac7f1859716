package latency

import (
	"syscall"
	"time"
)

// sleepUntil sleeps in the kernel. The runtime's timers of an idle process are
// a millisecond late, which would count as latency of the node.
func sleepUntil(due time.Time) {
	for wait := time.Until(due); wait > 0; wait = time.Until(due) {
		ts := syscall.NsecToTimespec(int64(wait))
		_ = syscall.Nanosleep(&ts, nil) // the loop continues after a signal
	}
}
