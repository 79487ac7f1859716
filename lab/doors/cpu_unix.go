//go:build unix

package doors

import (
	"syscall"
	"time"
)

// processCPU returns the processor time that this process has used, in its own
// code and in the kernel.
func processCPU() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
