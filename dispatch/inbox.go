package dispatch

import (
	"fmt"
	"sync"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// Inbox keeps the offers that the drivers connected to one node have in hand.
// It is safe for concurrent use and never blocks. No method returns an expired
// offer. Put removes expired offers now and then, so that memory stays bounded.
type Inbox struct {
	now func() time.Time // Fixed at creation.

	mu        sync.Mutex // Guards all below.
	offers    map[string]Offer
	recentIDs map[string]time.Time // Offers that left: when to forget.
	sweepAt   int                  // Put removes expired offers at this many.
	forgetAt  int                  // Old recentIDs are forgotten at this many.
}

// rememberFor is how long the inbox remembers the id of an offer that left it.
const rememberFor = 5 * time.Minute

// minSweepSize keeps small inboxes from being swept at every Put.
const minSweepSize = 64

// NewInbox returns an empty inbox that reads the time from now.
func NewInbox(now func() time.Time) *Inbox {
	return &Inbox{now: now, offers: map[string]Offer{}, recentIDs: map[string]time.Time{}, sweepAt: minSweepSize, forgetAt: minSweepSize}
}

// Put keeps an offer until it is taken, dropped or expires. It removes and
// returns offers of the same trip by an older dispatcher. It ignores an offer
// that is itself the older one, and returns it.
func (b *Inbox) Put(o Offer) (older []Offer) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if len(b.offers) >= b.sweepAt {
		b.sweepExpiredLocked()
	}

	for id, held := range b.offers {
		if held.Trip.ID != o.Trip.ID {
			continue
		}
		if held.Epoch > o.Epoch {
			return append(older, o)
		}
		if held.Epoch < o.Epoch {
			b.removeOfferLocked(id)
			older = append(older, held)
		}
	}

	b.offers[o.ID] = o
	return older
}

// OffersFrom returns the offers that a node's dispatcher made.
func (b *Inbox) OffersFrom(node string) (made []Offer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.offers {
		if o.Node == node && !b.isExpired(o) {
			made = append(made, o)
		}
	}
	return made
}

// Take removes and returns the offer, if it was made to driver d and has not
// expired. Otherwise it returns ErrOfferGone.
func (b *Inbox) Take(d trips.DriverID, offerID string) (Offer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	o, ok := b.offers[offerID]
	if !ok || o.Driver != d {
		return Offer{}, fmt.Errorf("offer %.64q: %w", offerID, ErrOfferGone)
	}

	b.removeOfferLocked(offerID)
	if b.isExpired(o) {
		return Offer{}, fmt.Errorf("offer %.64q expired: %w", offerID, ErrOfferGone)
	}
	return o, nil
}

// Drop removes an offer, and returns it if it was still there.
func (b *Inbox) Drop(offerID string) (Offer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.offers[offerID]
	if ok {
		b.removeOfferLocked(offerID)
	}
	return o, ok
}

// HasSeen reports whether an offer is here, or was here in the last few
// minutes. Then no other node ever had it.
func (b *Inbox) HasSeen(offerID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, here := b.offers[offerID]
	_, was := b.recentIDs[offerID]
	return here || was
}

// removeOfferLocked removes an offer and remembers its id.
func (b *Inbox) removeOfferLocked(offerID string) {
	delete(b.offers, offerID)
	b.recentIDs[offerID] = b.now().Add(rememberFor)
	if len(b.recentIDs) >= b.forgetAt {
		b.forgetOldLocked()
	}
}

// forgetOldLocked forgets the ids that were remembered long enough.
func (b *Inbox) forgetOldLocked() {
	now := b.now()
	for id, until := range b.recentIDs {
		if !now.Before(until) {
			delete(b.recentIDs, id)
		}
	}

	b.forgetAt = max(minSweepSize, 2*len(b.recentIDs))
}

// OffersOf returns the offers that a driver has in hand, so that a phone that
// reconnects sees them again.
func (b *Inbox) OffersOf(d trips.DriverID) []Offer {
	b.mu.Lock()
	defer b.mu.Unlock()

	var held []Offer
	for _, o := range b.offers {
		if o.Driver == d && !b.isExpired(o) {
			held = append(held, o)
		}
	}
	return held
}

func (b *Inbox) isExpired(o Offer) bool { return !b.now().Before(o.ExpiresAt) }

// sweepExpiredLocked removes expired offers.
func (b *Inbox) sweepExpiredLocked() {
	for id, o := range b.offers {
		if b.isExpired(o) {
			b.removeOfferLocked(id)
		}
	}

	b.sweepAt = max(minSweepSize, 2*len(b.offers))
}
