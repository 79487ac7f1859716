// Package detector tells the dead from the slow, as far as that can be told: by
// how long a peer has been silent. It holds the fixed timeouts by which this
// service acts on silence, and a guard against taking our own pause for the
// death of all peers. It knows no drivers and no sockets.
package detector

import "time"

// Grades of silence. Each costs the driver more than the one before, and waits longer for it, because a stalled link
// looks the same as a dead phone.
const (
	SuspectAfter   = 3 * time.Second  // no new offers; costs an offer that would likely have expired
	OfflineAfter   = 10 * time.Second // a driver without a trip leaves the maps and is not counted as available
	CommsLostAfter = 20 * time.Second // on a trip the rider is told how old the position is; the trip goes on
)
