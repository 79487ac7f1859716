package dispatch

import (
	"fmt"
	"sync"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// Inbox keeps the offers in the hands of the drivers connected to one node. It
// is safe for many goroutines and blocks on nothing but its lock. Expired
// offers are gone for every caller, and are swept as new ones come.
type Inbox struct {
	now func() time.Time

	mu     sync.Mutex
	offers map[string]Offer
	// offers that were here, and until when that is remembered
	recentIDs map[string]time.Time
	sweepAt   int // sweepAt expired offers when there are this many
	forgetAt  int // forgetAt those gone long ago when there are this many
}

// rememberFor is how long it is known that an offer was here, after it was
// taken or dropped.
const rememberFor = 5 * time.Minute

// minSweepSize keeps small inboxes from being swept at every Put.
const minSweepSize = 64

func NewInbox(now func() time.Time) *Inbox {
	return &Inbox{now: now, offers: map[string]Offer{}, recentIDs: map[string]time.Time{}, sweepAt: minSweepSize, forgetAt: minSweepSize}
}

// Put keeps an offer until it is taken, dropped or expires. It voids an older
// dispatcher's offers of the same trip, and does nothing when the offer is
// itself the older one.
func (b *Inbox) Put(o Offer) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if len(b.offers) >= b.sweepAt {
		b.sweepLocked()
	}

	for id, held := range b.offers {
		if held.Trip.ID != o.Trip.ID {
			continue
		}
		if held.Epoch > o.Epoch {
			return
		}
		if held.Epoch < o.Epoch {
			b.removeLocked(id)
		}
	}

	b.offers[o.ID] = o
}

// Take hands the offer to the driver it was made to, once; ErrOfferGone to
// anyone else and at any later time.
func (b *Inbox) Take(d trips.DriverID, offerID string) (Offer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	o, ok := b.offers[offerID]
	if !ok || o.Driver != d {
		return Offer{}, fmt.Errorf("offer %.64q: %w", offerID, ErrOfferGone)
	}

	b.removeLocked(offerID)
	if b.isExpired(o) {
		return Offer{}, fmt.Errorf("offer %.64q expired: %w", offerID, ErrOfferGone)
	}
	return o, nil
}

// Drop forgets an offer and returns it if it was still there.
func (b *Inbox) Drop(offerID string) (Offer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.offers[offerID]
	if ok {
		b.removeLocked(offerID)
	}
	return o, ok
}

// Knows says whether an offer is here or was, for some minutes after it went:
// then no other node ever had it.
func (b *Inbox) Knows(offerID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, here := b.offers[offerID]
	_, was := b.recentIDs[offerID]
	return here || was
}

func (b *Inbox) removeLocked(offerID string) {
	delete(b.offers, offerID)
	b.recentIDs[offerID] = b.now().Add(rememberFor)
	if len(b.recentIDs) >= b.forgetAt {
		b.forgetOldLocked()
	}
}

func (b *Inbox) forgetOldLocked() {
	now := b.now()
	for id, until := range b.recentIDs {
		if !now.Before(until) {
			delete(b.recentIDs, id)
		}
	}

	b.forgetAt = max(minSweepSize, 2*len(b.recentIDs))
}

// Held returns the offers in a driver's hands, so that a phone that reconnects
// sees them again.
func (b *Inbox) Held(d trips.DriverID) []Offer {
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

func (b *Inbox) sweepLocked() {
	for id, o := range b.offers {
		if b.isExpired(o) {
			b.removeLocked(id)
		}
	}

	b.sweepAt = max(minSweepSize, 2*len(b.offers))
}
