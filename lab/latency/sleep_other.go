//go:build !linux

package latency

import "time"

// sleepUntil may be late, which counts as latency.
func sleepUntil(due time.Time) { time.Sleep(time.Until(due)) }
