//go:build !unix

package doors

import "time"

// processCPU returns 0: this system does not say.
func processCPU() time.Duration { return 0 }
