package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridehail/ridehail/xray"
)

// breakage is a fault that breaks nothing but itself.
type breakage struct {
	broken   atomic.Bool
	measured atomic.Int64 // its effect
	left     atomic.Int64 // of the backlog
}

func (b *breakage) fault(lasts time.Duration) *fault {
	return &fault{id: "test", name: "Test", station: "redis", lasts: lasts,
		begin:   func(context.Context) error { b.broken.Store(true); return nil },
		end:     func() error { b.broken.Store(false); return nil },
		measure: func(_ context.Context, f *figures) { f.rows = int(b.left.Load()); f.refused = b.measured.Load() },
		effect: func(e episode) string {
			if e.now.refused == 0 {
				return ""
			}
			return fmt.Sprintf("%d are refused.", e.now.refused)
		},
		recovery: func(e episode) (string, bool) {
			return fmt.Sprintf("%d of %d wait.", e.now.rows, e.atEnd.rows), e.now.rows == 0
		},
	}
}

func (b *breakage) desk(t *testing.T, lasts time.Duration) *Desk {
	d := newDesk(slog.New(slog.DiscardHandler), checkEvery, []*fault{b.fault(lasts)})
	t.Cleanup(d.Close)
	return d
}

func switchOn(t *testing.T, d *Desk, page string) xray.Fault {
	t.Helper()
	f, err := d.SwitchOn(t.Context(), "test", page, false)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// pass lets time go by, and everything settle.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestAFaultEndsAfterFiveMinutesThoughItsPageIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breakage
		d := b.desk(t, 0)
		switchOn(t, d, "a")

		for range 29 { // each 10 s
			pass(10 * time.Second)
			if _, err := d.SwitchOn(t.Context(), "test", "a", true); err != nil || !b.broken.Load() {
				t.Fatalf("off before its time, or %v", err)
			}
		}
		pass(11 * time.Second)
		if b.broken.Load() || d.Faults()[0].On {
			t.Error("on after five minutes")
		}
		if _, err := d.SwitchOn(t.Context(), "test", "a", true); !errors.Is(err, errOver) || b.broken.Load() {
			t.Errorf("a page that only keeps it: %v", err)
		}
	})
}

func TestAFaultEndsWhenItsPageIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breakage
		d := b.desk(t, 0)
		switchOn(t, d, "a")
		pass(20 * time.Second)

		if f := switchOn(t, d, "b"); f.By != "a" { // another page keeps nothing on
			t.Errorf("it is on by %q", f.By)
		}
		pass(9 * time.Second)
		if !b.broken.Load() {
			t.Error("off before its page was gone for 30 s")
		}
		pass(2 * time.Second)
		if b.broken.Load() {
			t.Error("on 31 s after its page was gone")
		}
	})
}

func TestAnyPageSwitchesOffAndAShortFaultEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breakage
		d := b.desk(t, time.Second)
		switchOn(t, d, "a")
		if f, err := d.SwitchOff("test"); err != nil || f.On || b.broken.Load() {
			t.Errorf("%+v, %v", f, err)
		}

		switchOn(t, d, "b")
		pass(1500 * time.Millisecond)
		if b.broken.Load() {
			t.Error("on for longer than it lasts")
		}
	})
}

func TestASentenceComesWithTheEffectAndStaysUntilTheBacklogIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breakage
		d := b.desk(t, 0)
		expect := func(want string) {
			t.Helper()
			pass(300 * time.Millisecond)
			if said := d.Faults()[0].Sentence; said != want {
				t.Errorf("it says %q, want %q", said, want)
			}
		}

		switchOn(t, d, "a")
		expect("")
		b.measured.Store(3)
		expect("3 are refused.")

		b.left.Store(5)
		d.SwitchAllOff()
		expect("5 of 5 wait.")
		b.left.Store(2)
		expect("2 of 5 wait.")
		b.left.Store(0)
		expect("0 of 5 wait.")
		pass(shownFor)
		expect("")
	})
}

func TestAFaultThatWasNotFeltSaysNothingAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breakage
		d := b.desk(t, 0)
		switchOn(t, d, "a")
		pass(time.Second)
		d.SwitchAllOff()
		pass(time.Second)
		if said := d.Faults()[0].Sentence; said != "" {
			t.Errorf("it says %q", said)
		}
	})
}

func TestAClosedDeskMendsAndBreaksNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breakage
		d := b.desk(t, 0)
		if d.WasOn(time.Minute) {
			t.Error("nothing was on")
		}
		switchOn(t, d, "a")
		d.Close()
		if b.broken.Load() || !d.WasOn(time.Minute) {
			t.Error("closing the desk mends, and is remembered")
		}
		if _, err := d.SwitchOn(t.Context(), "test", "a", false); !errors.Is(err, errClosed) || b.broken.Load() {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhatCannotBeBrokenIsMendedAgain(t *testing.T) {
	ended := 0
	d := newDesk(slog.New(slog.DiscardHandler), checkEvery, []*fault{
		{id: "stuck", begin: func(context.Context) error { return errors.New("stuck") }, end: func() error { ended++; return nil },
			measure: func(context.Context, *figures) {}},
		{id: "none", impossible: "there is none"},
	})
	defer d.Close()

	if _, err := d.SwitchOn(t.Context(), "stuck", "a", false); err == nil || ended != 1 || d.Faults()[0].On {
		t.Errorf("%v, mended %d times", err, ended)
	}
	if _, err := d.SwitchOn(t.Context(), "none", "a", false); !errors.Is(err, errImpossible) {
		t.Errorf("got %v", err)
	}
	if f := d.Faults()[1]; f.Possible || f.Why != "there is none" {
		t.Errorf("%+v", f)
	}
}
