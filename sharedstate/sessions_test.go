package sharedstate

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/ridehail/ridehail/trips"
)

func TestASessionWatchesOneDriver(t *testing.T) {
	r := NewSessions[int]()
	rider := trips.Rider("r")
	if _, ok := r.Watch(1, "a"); ok {
		t.Fatal("a session that never came watches")
	}
	if others := r.Add(rider, 1); len(others) != 0 {
		t.Fatalf("others: %v", others)
	}
	if others := r.Add(rider, 2); len(others) != 1 || others[0] != 1 {
		t.Fatalf("others: %v", others)
	}

	r.Watch(1, "a")
	if before, ok := r.Watch(1, "b"); before != "a" || !ok || r.IsWatched("a") || !r.IsWatched("b") {
		t.Fatalf("the session watched %q", before)
	}
	r.Watch(2, "b")
	if a, b := r.Watchers("a", nil), r.Watchers("b", nil); len(a) != 0 || len(b) != 2 {
		t.Fatalf("a has %v, b has %v", a, b)
	}
	if r.Remove(trips.Rider("x"), 1) || !r.Remove(rider, 1) || r.Remove(rider, 1) {
		t.Fatal("a session goes once, by its own user")
	}
	if b := r.Watchers("b", nil); len(b) != 1 || r.Len() != 1 || len(r.OfUser(rider, nil)) != 1 {
		t.Fatalf("b has %v, %d sessions", b, r.Len())
	}
	if err := r.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
}

func TestSessionsComeAndGoAtOnce(t *testing.T) {
	r := NewSessions[int]()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 3))
			for range 2000 {
				s := rng.IntN(40)
				user, d := trips.Rider(trips.RiderID(rune('a'+s%7))), trips.DriverID(rune('a'+rng.IntN(5)))
				switch rng.IntN(6) {
				case 0:
					r.Add(user, s)
				case 1:
					r.Remove(user, s)
				case 2, 3:
					r.Watch(s, d)
				case 4:
					r.Unwatch(s)
				case 5:
					r.Watchers(d, nil)
				}
			}
		})
	}

	wg.Wait()
	if err := r.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
}
