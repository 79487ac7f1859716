package location

import (
	"math/bits"
	"sync/atomic"
)

// Flags is a set of reasons to doubt that a driver's phone is where it claims
// to be. A flag refuses no fix and disconnects no driver. It is evidence for a
// person to look at.
type Flags uint16

const (
	FlagTeleport      Flags = 1 << iota // A run of Teleport refusals.
	FlagFuture                          // A run of Future refusals.
	FlagJump                            // Too far away after a silence.
	FlagSpeed                           // Too fast for a car, and no error.
	FlagAcceleration                    // Claimed speeds jump repeatedly.
	FlagContradiction                   // Movement contradicts claimed speeds.
	FlagFrozen                          // Claims to drive, repeats one place.
	FlagSmooth                          // Lacks the jitter of every receiver.
	FlagReplay                          // Repeats an earlier drive's movements.
	flagsEnd
)

// FlagNames lists the names of the flags in the order of their bits.
var FlagNames = [...]string{"teleport", "future", "jump", "speed", "acceleration", "contradiction", "frozen", "smooth", "replay"}

// Names returns the names of the flags in the set.
func (f Flags) Names() (names []string) {
	for f &= flagsEnd - 1; f != 0; f &= f - 1 {
		names = append(names, FlagNames[bits.TrailingZeros16(uint16(f))])
	}
	return names
}

// DriveFingerprints remembers stretches of past drives, so that a recorded
// drive is recognised when it is played back. It is a hash table of fixed size
// without a lock: a newer stretch overwrites an older one in the same slot. It
// is safe for concurrent use.
//
// A stretch is a few consecutive movements, rounded and hashed. Only stretches
// whose hash is divisible by sampleModulus are kept. So a drive and its copy
// yield the same sample, wherever the copy begins. This is the "0 mod p"
// selection in S. Schleimer, D. Wilkerson and A. Aiken, Winnowing: Local
// Algorithms for Document Fingerprinting, SIGMOD 2003.
type DriveFingerprints struct {
	// Each page is allocated when it is first needed.
	pages []atomic.Pointer[[pageSize]atomic.Uint64]
}

const pageSize = 4096

// NewDriveFingerprints returns a table for at least n stretches of 8 bytes
// each. A driving car leaves about one stretch in eight fixes.
func NewDriveFingerprints(n int) *DriveFingerprints {
	return &DriveFingerprints{make([]atomic.Pointer[[pageSize]atomic.Uint64], 1<<bits.Len(uint(max(n, 1)-1)/pageSize))}
}

// recordAndCheck stores a stretch and reports whether it was already there.
func (p *DriveFingerprints) recordAndCheck(hash uint64) bool {
	at := hash / sampleModulus
	page := &p.pages[at/pageSize%uint64(len(p.pages))]
	slots := page.Load()
	if slots == nil {
		page.CompareAndSwap(nil, new([pageSize]atomic.Uint64))
		slots = page.Load()
	}

	slot := &slots[at%pageSize]
	if slot.Load() == hash {
		return true
	}

	slot.Store(hash)
	return false
}
