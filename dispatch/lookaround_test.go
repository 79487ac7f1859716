package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// askedNodes are other nodes, who know drivers that the town does not.
type askedNodes struct {
	mu    sync.Mutex // guards below
	knows metresOf
	fleet *fakeFleet
	asked []string
	late  []string // nodes that never answer
}

// answer is a Config.LookAround.
func (n *askedNodes) answer(_ context.Context, areas []sharedstate.Area) (l LookedAround) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range areas {
		n.asked = append(n.asked, fmt.Sprint(a.Metres))
		n.fleet.mu.Lock()
		for id, metres := range n.knows {
			if metres <= a.Metres && a.FreeOnly {
				n.fleet.metres[id] = metres
			}
		}
		n.fleet.mu.Unlock()
	}
	return LookedAround{Asked: []string{"n2", "n3"}, Late: n.late}
}

func (n *askedNodes) wantAsked(t *testing.T, want string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := fmt.Sprint(n.asked); got != want {
		t.Errorf("asked for %s metres, want %s", got, want)
	}
	n.asked = nil
}

func TestOtherNodesAreAskedForDriversFirstNearThenFar(t *testing.T) {
	for name, policy := range map[string]func(*Config){"one by one": func(*Config) {}, "in windows": withWindows} {
		t.Run(name, func(t *testing.T) {
			others := &askedNodes{knows: metresOf{"near": 300, "far": 9000}}
			runInTown(t, metresOf{}, func(w *testTown) {
				w.requestTrip("r1", true)
				w.wantOffered("near")
				if w.cfg.Policy.Window > 0 {
					others.wantAsked(t, "[3000 12000]") // one is few for a window
					return
				}
				others.wantAsked(t, "[3000]")

				w.requestTrip("r2", true)
				w.advance(DefaultWindow)
				w.wantOffered("near", "far")
				others.wantAsked(t, "[3000 12000]")
			}, policy, func(c *Config) {
				others.fleet = c.Drivers.(*fakeFleet)
				c.LookAround = others.answer
			})
		})
	}
}

func TestADriverWhomAnotherNodeWasFasterToAskIsAskedAgainSoon(t *testing.T) {
	runInTown(t, metresOf{"a": 300}, func(w *testTown) {
		w.requestTrip("r1", true)
		w.wantOffered("a")
		w.dispatcher.OnDriverBusy("an old offer", "a")
		w.advance(time.Millisecond)
		w.wantOffered("a")
		w.dispatcher.OnDriverBusy(w.lastOffer().ID, "a")
		w.advance(time.Millisecond)
		if w.fleet.isHeld("a") {
			t.Error("the driver is held still")
		}
		w.wantWithdrawn()
		w.advance(2 * time.Second)
		w.wantOffered("a", "a")
		w.acceptOffer(w.lastOffer(), true)
		w.wantSearches(0)
	})
}

func TestABusyDriverCountsAsNoOffer(t *testing.T) {
	runInTown(t, metresOf{"a": 300}, func(w *testTown) {
		id := w.requestTrip("r1", true)
		for range 5 {
			w.dispatcher.OnDriverBusy(w.lastOffer().ID, "a")
			w.advance(2 * time.Second)
		}
		if now, err := w.store.Trip(t.Context(), id); err != nil || now.State != trips.Requested {
			t.Errorf("the trip is %s, %v", now.State, err)
		}
	}, func(c *Config) { c.MaxOffers = 2 })
}
