// Package detector tells the dead from the slow, as far as that can be told: by
// how long a peer has been silent. It holds the fixed timeouts by which this
// service acts on silence, and a guard against taking our own pause for the
// death of all peers. It knows no drivers and no sockets.
package detector

import "time"

// Grades of silence. Each costs the driver more than the one before and takes
// longer to reach, because a stalled link looks the same as a dead phone.
const (
	// SuspectAfter ends new offers to the driver. A wrong verdict costs an
	// offer that would likely have expired.
	SuspectAfter = 3 * time.Second
	// OfflineAfter takes a driver without a trip off the maps and out of the
	// count of available drivers.
	OfflineAfter = 10 * time.Second
	// CommsLostAfter tells the rider of a trip how old the driver's position
	// is. The trip goes on.
	CommsLostAfter = 20 * time.Second
)
