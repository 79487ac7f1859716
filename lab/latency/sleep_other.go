//go:build !linux

package latency

import "time"

// sleepUntil sleeps; where the runtime's timers are late the updates are, and
// count as such.
func sleepUntil(due time.Time) { time.Sleep(time.Until(due)) }
