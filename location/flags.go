package location

import (
	"math/bits"
	"sync/atomic"
)

// Flags is a set of reasons to doubt that a driver's phone is where it says. A
// flag refuses no fix and cuts nobody off: it is evidence for a person to look
// at.
type Flags uint16

const (
	// fixes refused as Teleport, one after the other
	FlagTeleport Flags = 1 << iota
	// fixes refused as Future, one after the other
	FlagFuture
	FlagJump  // after a silence, farther away than a road allows
	FlagSpeed // faster than a car goes on roads, for longer than an error lasts
	// says speeds that follow each other as no car's do, again and again
	FlagAcceleration
	// moves much farther, or for long much less, than its own speeds say
	FlagContradiction
	FlagFrozen // says that it drives and stays on exactly the same coordinates
	FlagSmooth // moves without the jitter that every receiver has
	FlagReplay // moves exactly as somebody moved before
	flagsEnd
)

// FlagNames are the names of the flags, in the order of their bits.
var FlagNames = [...]string{"teleport", "future", "jump", "speed", "acceleration", "contradiction", "frozen", "smooth", "replay"}

// Names lists the names of the flags in the set.
func (f Flags) Names() (names []string) {
	for f &= flagsEnd - 1; f != 0; f &= f - 1 {
		names = append(names, FlagNames[bits.TrailingZeros16(uint16(f))])
	}
	return names
}

// Footprints remembers stretches of what drivers drove, so that a recorded
// drive is known when it comes again. It is a table of fixed size without a
// lock: a newer stretch takes an older one's place. It is safe for concurrent
// use.
//
// A stretch is a few movements in a row, rounded and hashed; of all stretches
// those are kept whose hash is divisible by a number, so that the same ones are
// chosen of a drive and of its copy, wherever the copy begins (0 mod p
// selection, in Schleimer, Wilkerson and Aiken, Winnowing: local algorithms for
// document fingerprinting, SIGMOD 2003).
type Footprints struct {
	pages []atomic.Pointer[[pageSize]atomic.Uint64]
} // made when first needed

const pageSize = 4096

// NewFootprints makes a table for at least n stretches, 8 bytes each. A car on
// the road leaves one in some eight fixes.
func NewFootprints(n int) *Footprints {
	return &Footprints{make([]atomic.Pointer[[pageSize]atomic.Uint64], 1<<bits.Len(uint(max(n, 1)-1)/pageSize))}
}

// recordAndCheck keeps a stretch and says whether it was there.
func (p *Footprints) recordAndCheck(hash uint64) bool {
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
