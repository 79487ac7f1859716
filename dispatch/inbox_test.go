package dispatch

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/trips"
)

type manualClock struct{ at time.Time }

func (c *manualClock) now() time.Time { return c.at }

func offerFor(id string, d trips.DriverID, trip trips.TripID, epoch uint64, until time.Time) Offer {
	return Offer{ID: id, Driver: d, Trip: trips.Trip{ID: trip}, Epoch: epoch, ExpiresAt: until}
}

func TestOfferIsTakenOnceByTheDriverItWasMadeTo(t *testing.T) {
	c := &manualClock{time.Unix(1000, 0)}
	b := NewInbox(c.now)
	b.Put(offerFor("o1", "d1", "t1", 1, c.at.Add(time.Second)))
	if _, err := b.Take("d2", "o1"); !errors.Is(err, ErrOfferGone) {
		t.Errorf("a stranger took the offer: %v", err)
	}
	if held := b.OffersOf("d1"); len(held) != 1 {
		t.Errorf("held %v", held)
	}
	if o, err := b.Take("d1", "o1"); err != nil || o.Trip.ID != "t1" {
		t.Errorf("took %+v, %v", o, err)
	}
	if _, err := b.Take("d1", "o1"); !errors.Is(err, ErrOfferGone) {
		t.Errorf("taken twice: %v", err)
	}
}

func TestExpiredAndDroppedOffersAreGone(t *testing.T) {
	c := &manualClock{time.Unix(1000, 0)}
	b := NewInbox(c.now)
	b.Put(offerFor("o1", "d1", "t1", 1, c.at.Add(time.Second)))
	b.Put(offerFor("o2", "d1", "t2", 1, c.at.Add(time.Minute)))
	c.at = c.at.Add(time.Second)
	if _, err := b.Take("d1", "o1"); !errors.Is(err, ErrOfferGone) {
		t.Errorf("an expired offer was taken: %v", err)
	}
	if o, ok := b.Drop("o2"); !ok || o.ID != "o2" {
		t.Errorf("dropped %+v, %v", o, ok)
	}
	if _, ok := b.Drop("o2"); ok || len(b.OffersOf("d1")) != 0 {
		t.Error("a dropped offer is still there")
	}
}

func TestNewDispatchersOfferVoidsTheOldOnes(t *testing.T) {
	c := &manualClock{time.Unix(1000, 0)}
	b := NewInbox(c.now)
	b.Put(offerFor("new", "d1", "t1", 2, c.at.Add(time.Minute)))
	b.Put(offerFor("old", "d2", "t1", 1, c.at.Add(time.Minute)))
	if _, err := b.Take("d2", "old"); !errors.Is(err, ErrOfferGone) {
		t.Errorf("an older dispatcher's offer was kept: %v", err)
	}
	b.Put(offerFor("newest", "d3", "t1", 3, c.at.Add(time.Minute)))
	if _, err := b.Take("d1", "new"); !errors.Is(err, ErrOfferGone) {
		t.Errorf("a voided offer was taken: %v", err)
	}
}

func TestExpiredOffersAreSwept(t *testing.T) {
	c := &manualClock{time.Unix(1000, 0)}
	b := NewInbox(c.now)
	for i := range 10_000 {
		id := fmt.Sprint(i)
		b.Put(offerFor(id, "d", trips.TripID(id), 1, c.at.Add(time.Second)))
		c.at = c.at.Add(100 * time.Millisecond)
	}

	if n := len(b.offers); n > 2*minSweepSize {
		t.Errorf("%d offers kept of 10 live ones", n)
	}
}

func TestRacingTakesHaveOneWinner(t *testing.T) {
	b := NewInbox(time.Now)
	b.Put(offerFor("o", "d", "t", 1, time.Now().Add(time.Minute)))

	var won atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := b.Take("d", "o"); err == nil {
				won.Add(1)
			}
		})
	}

	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d winners", won.Load())
	}
}

func TestAnInboxKnowsForSomeMinutesWhatWasInIt(t *testing.T) {
	c := &manualClock{time.Unix(1000, 0)}
	b := NewInbox(c.now)
	until := c.at.Add(15 * time.Second)
	b.Put(offerFor("taken", "d1", "t1", 1, until))
	b.Put(offerFor("dropped", "d1", "t2", 1, until))
	b.Put(offerFor("void", "d1", "t3", 1, until))
	b.Put(offerFor("newer", "d1", "t3", 2, until))
	b.Put(offerFor("expired", "d1", "t4", 1, until))
	_, _ = b.Take("d1", "taken")
	b.Drop("dropped")
	all := []string{"taken", "dropped", "void", "newer", "expired"}
	know := func(want bool) {
		t.Helper()
		for _, id := range all {
			if b.HasSeen(id) != want {
				t.Errorf("knows %s: %v", id, !want)
			}
		}
	}

	know(true)
	if b.HasSeen("another") {
		t.Error("knows what was never here")
	}
	c.at = c.at.Add(time.Minute)
	b.sweepExpiredLocked() // No other goroutine uses the inbox.
	know(true)
	c.at = c.at.Add(rememberFor)
	b.forgetOldLocked()
	know(false)
	if len(b.recentIDs) != 0 {
		t.Errorf("%d offers are remembered for ever", len(b.recentIDs))
	}
}
