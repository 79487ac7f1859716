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

func always(f func()) bool { go f(); return true }

// echo answers everybody with a trip of their own name.
func echo(of []trips.ResumeQuery) ([]resumeState, error) {
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
			got, e := b.ask(t.Context(), trips.ResumeQuery{Who: who})
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
			return echo(of)
		}, always)
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
		b := newResumeBatcher(func(of []trips.ResumeQuery) ([]resumeState, error) { reads.Add(1); return echo(of) }, always)

		var phones sync.WaitGroup
		var slowest atomic.Int64
		for range 2000 { // 500 a second
			phones.Go(func() {
				began := time.Now()
				if _, err := b.ask(t.Context(), trips.ResumeQuery{}); err != nil {
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
			return echo(of)
		}, always)

		var first sync.WaitGroup
		first.Go(func() {
			if _, err := b.ask(t.Context(), trips.ResumeQuery{}); !errors.Is(err, context.DeadlineExceeded) {
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
			return echo(of)
		}, always)
		b.pace.AllowN(time.Now(), resumesBurst)
		ctx, cancel := context.WithCancel(t.Context())

		var phones sync.WaitGroup
		phones.Go(func() {
			if _, err := b.ask(ctx, trips.ResumeQuery{}); !errors.Is(err, context.Canceled) {
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

func TestANodeThatIsOverWelcomesNobody(t *testing.T) {
	b := newResumeBatcher(echo, func(func()) bool { return false })
	if _, err := b.ask(t.Context(), trips.ResumeQuery{}); !errors.Is(err, errDraining) {
		t.Errorf("it says %v", err)
	}
}

func TestAPhoneThatMissedNothingCostsNoReadOfItsOwn(t *testing.T) {
	c := newTown(t, nil)
	id := c.request("r")
	c.step("d", id, trips.KindReserved)
	c.say(trips.Driver("d"), id, "one")
	c.connect(trips.Rider("r"), asProto, nil).welcome()

	var reads atomic.Int32
	c.store.onRead = func() { reads.Add(1) }

	p := c.connect(trips.Rider("r"), asProto, &wire.Resume{Epoch: epoch, TripId: string(id), TripSeq: 2, ChatSeq: 1})
	if w := p.welcome(); !w.Recovered {
		t.Errorf("welcome %v", w)
	}

	// the one that it shares with others who connect
	if n := reads.Load(); n > 1 {
		t.Errorf("%d reads", n)
	}
}

func TestAfterAGapOnlyThoseWhoMissedSomethingReadTheStore(t *testing.T) {
	var asked atomic.Int32
	c := newSpiedTown(t, func(phones int) { asked.Add(int32(phones)) })

	c.runs()
	id := c.request("r")
	c.step("d", id, trips.KindReserved)
	busy := c.connect(trips.Rider("r"), asProto, nil)
	busy.welcome()
	for i := range 5 {
		c.connect(trips.Rider(trips.RiderID(fmt.Sprint("idle", i))), asProto, nil).welcome()
	}
	c.lose(nothing)
	before := asked.Load()
	c.step("d", id, trips.KindArrived)
	c.g.Gap()
	if seqs := busy.events(1); !sameUpTo(seqs, 3, 3) {
		t.Errorf("saw events %v", seqs)
	}

	c.until("all were asked for", func() bool { return asked.Load() >= before+6 })
}
