package storm

import (
	"fmt"
	"math"
	"syscall"

	"github.com/ridehail/ridehail/lab/finding"
)

// otherFiles is more than a run opens besides the sockets of phones.
const otherFiles = 200

// openFileLimit returns how many files this process may have open. Go has
// raised that to the hard limit at the start.
func openFileLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxUint64 // the run will tell
	}
	return uint64(limit.Cur)
}

// checkOpenFiles returns an error if the limit is too low for both ends of each
// phone's socket.
func checkOpenFiles(phones int, limit uint64) error {
	need := uint64(2*phones + otherFiles)
	if need <= limit {
		return nil
	}
	return fmt.Errorf("%w: %d phones and their node need %d open files, and this process may have %d: take fewer --phones, or raise the limit (ulimit -n)",
		finding.ErrUsage, phones, need, limit)
}
