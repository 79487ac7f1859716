package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func spawnAlways(f func()) bool { go f(); return true }

// echoNames answers each query with a trip of the user's name.
func echoNames(of []trips.ResumeQuery) ([]resumeState, error) {
	out := make([]resumeState, len(of))
	for i, a := range of {
		out[i].Trip.ID = trips.TripID(a.Who.ID)
	}
	return out, nil
}

// askAll lets n phones ask at once and returns how many got their own answer,
// and the last error.
func askAll(t *testing.T, b *resumeBatcher, n int) (right int, err error) {
	var mu sync.Mutex
	var team sync.WaitGroup
	for i := range n {
		team.Go(func() {
			who := trips.Rider(trips.RiderID(fmt.Sprint("r", i)))
			got, e := b.askState(t.Context(), trips.ResumeQuery{Who: who})
			mu.Lock()
			defer mu.Unlock()
			if e != nil {
				err = e
			} else if string(got.Trip.ID) == who.ID {
				right++
			}
		})
	}

	team.Wait()
	return right, err
}

func TestThousandsWhoConnectTogetherShareAFewReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int32
		b := newResumeBatcher(func(of []trips.ResumeQuery) ([]resumeState, error) {
			reads.Add(1)
			time.Sleep(5 * time.Millisecond)
			return echoNames(of)
		}, spawnAlways)
		if right, err := askAll(t, b, 5000); right != 5000 || err != nil {
			t.Fatalf("%d were answered: %v", right, err)
		}
		if n := reads.Load(); n < 10 || n > 20 {
			t.Errorf("%d reads", n)
		}

		synctest.Wait()
		if b.working || len(b.slots) > 0 {
			t.Error("it works, though no phone waits")
		}
	})
}

func TestAStreamOfPhonesCostsABoundedNumberOfReadsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int32
		b := newResumeBatcher(func(of []trips.ResumeQuery) ([]resumeState, error) { reads.Add(1); return echoNames(of) }, spawnAlways)

		var phones sync.WaitGroup
		var slowest atomic.Int64
		for range 2000 { // 500 a second
			phones.Go(func() {
				began := time.Now()
				if _, err := b.askState(t.Context(), trips.ResumeQuery{}); err != nil {
					t.Error(err)
				}
				slowest.Store(max(slowest.Load(), int64(time.Since(began))))
			})

			time.Sleep(2 * time.Millisecond)
		}

		phones.Wait()
		if n := reads.Load(); n > 4*resumesPerSec+resumesBurst+1 {
			t.Errorf("%d reads in 4 s", n)
		}
		if s := time.Duration(slowest.Load()); s > time.Second/resumesPerSec {
			t.Errorf("one waited %v", s)
		}
	})
}

func TestAReadThatHangsDoesNotHoldUpWhoComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int32
		b := newResumeBatcher(func(of []trips.ResumeQuery) (got []resumeState, err error) {
			if reads.Add(1) == 1 {
				time.Sleep(5 * time.Second)
				return nil, context.DeadlineExceeded
			}
			return echoNames(of)
		}, spawnAlways)

		var first sync.WaitGroup
		first.Go(func() {
			if _, err := b.askState(t.Context(), trips.ResumeQuery{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first one got %v", err)
			}
		})

		synctest.Wait()
		began := time.Now()
		if right, err := askAll(t, b, 100); right != 100 || err != nil || time.Since(began) > time.Second {
			t.Errorf("%d were answered after %v: %v", right, time.Since(began), err)
		}

		first.Wait()
	})
}

func TestAPhoneThatGaveUpIsNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		b := newResumeBatcher(func(of []trips.ResumeQuery) ([]resumeState, error) {
			asked.Add(int32(len(of)))
			return echoNames(of)
		}, spawnAlways)
		b.pace.AllowN(time.Now(), resumesBurst)
		ctx, cancel := context.WithCancel(t.Context())

		var phones sync.WaitGroup
		phones.Go(func() {
			if _, err := b.askState(ctx, trips.ResumeQuery{}); !errors.Is(err, context.Canceled) {
				t.Errorf("it got %v", err)
			}
		})

		synctest.Wait()
		cancel()
		phones.Wait()
		if _, err := askAll(t, b, 1); err != nil || asked.Load() != 1 {
			t.Errorf("%d were asked for: %v", asked.Load(), err)
		}
	})
}

func TestANodeThatHasStoppedWelcomesNoPhone(t *testing.T) {
	b := newResumeBatcher(echoNames, func(func()) bool { return false })
	if _, err := b.askState(t.Context(), trips.ResumeQuery{}); !errors.Is(err, errDraining) {
		t.Errorf("it says %v", err)
	}
}

func TestAPhoneThatMissedNothingCostsNoReadOfItsOwn(t *testing.T) {
	c := newTestNode(t, nil)
	id := c.openTrip("r")
	c.moveTrip("d", id, trips.KindReserved)
	c.sendChat(trips.Driver("d"), id, "one")
	c.connectPhone(trips.Rider("r"), asProto, nil).awaitWelcome()

	var reads atomic.Int32
	c.store.onRead = func() { reads.Add(1) }

	p := c.connectPhone(trips.Rider("r"), asProto, &wire.Resume{Epoch: epoch, TripId: string(id), TripSeq: 2, ChatSeq: 1})
	if w := p.awaitWelcome(); !w.Recovered {
		t.Errorf("welcome %v", w)
	}

	// The one that it shares with others who connect.
	if n := reads.Load(); n > 1 {
		t.Errorf("%d reads", n)
	}
}

func TestAfterAGapOnlyThoseWhoMissedSomethingReadTheStore(t *testing.T) {
	var asked atomic.Int32
	c := newSpiedNode(t, func(phones int) { asked.Add(int32(phones)) })

	c.startRunning()
	id := c.openTrip("r")
	c.moveTrip("d", id, trips.KindReserved)
	busy := c.connectPhone(trips.Rider("r"), asProto, nil)
	busy.awaitWelcome()
	for i := range 5 {
		c.connectPhone(trips.Rider(trips.RiderID(fmt.Sprint("idle", i))), asProto, nil).awaitWelcome()
	}
	c.loseMessages(loseAll)
	before := asked.Load()
	c.moveTrip("d", id, trips.KindArrived)
	c.g.OnGap()
	if seqs := busy.awaitEvents(1); !sameUpTo(seqs, 3, 3) {
		t.Errorf("saw events %v", seqs)
	}

	c.awaitCondition("all were asked for", func() bool { return asked.Load() >= before+6 })
}
