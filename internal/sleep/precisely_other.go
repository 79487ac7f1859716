//go:build !linux

package sleep

import "time"

// Precisely sleeps until a moment. It may be a millisecond late.
func Precisely(until time.Time) { time.Sleep(time.Until(until)) }
