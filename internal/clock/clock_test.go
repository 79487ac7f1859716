package clock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSource is a source of the true time whose answers are delayed both ways.
type fakeSource struct {
	ahead     time.Duration // of the test's clock
	there     time.Duration
	back      time.Duration
	err       error
	questions int
	deaf      int // questions that get no answer
}

func (s *fakeSource) Now(context.Context) (time.Time, error) {
	s.questions++
	time.Sleep(s.there)
	at := time.Now().Add(s.ahead)
	time.Sleep(s.back)
	if s.questions <= s.deaf {
		return at, errors.New("what?")
	}
	return at.Round(0), s.err
}

// runFor runs the clock for a while.
func runFor(t *testing.T, c *Clock, s *fakeSource, d time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := c.Run(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func clockError(c *Clock, s *fakeSource) time.Duration {
	return c.Now().Sub(time.Now().Add(s.ahead)).Abs()
}

func TestTwoNodesWithWrongClocksTellTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{ahead: time.Hour, there: time.Millisecond, back: 3 * time.Millisecond}
		for _, skew := range []time.Duration{0, 5 * time.Minute, -5 * time.Minute, 1000 * time.Hour} {
			c := New(skew)
			if wrong := clockError(c, s); wrong < 54*time.Minute {
				t.Errorf("a clock %v off knows the time before it asked", skew)
			}
			if err := c.Sync(t.Context(), s); err != nil {
				t.Fatal(err)
			}

			time.Sleep(time.Minute)
			if wrong := clockError(c, s); wrong > 2*time.Millisecond {
				t.Errorf("a clock %v off is still %v wrong", skew, wrong)
			}
			if c.Offset() > s.ahead-skew+2*time.Millisecond || c.Offset() < s.ahead-skew-2*time.Millisecond {
				t.Errorf("a clock %v off says it is %v off", skew, c.Offset())
			}
		}
	})
}

func TestASlowAnswerDoesNotReplaceAGoodOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{there: time.Millisecond, back: time.Millisecond}
		c := New(-time.Minute)
		if err := c.Sync(t.Context(), s); err != nil {
			t.Fatal(err)
		}

		s.there = 2 * time.Second // a slow line, one way
		runFor(t, c, s, time.Minute)
		if s.questions < syncTries+2 {
			t.Fatalf("asked %d times", s.questions)
		}
		if wrong := clockError(c, s); wrong > 20*time.Millisecond {
			t.Errorf("%v wrong", wrong)
		}
	})
}

func TestASourceThatWasSetToAnotherTimeIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{there: time.Millisecond, back: time.Millisecond}
		c := New(0)
		if err := c.Sync(t.Context(), s); err != nil {
			t.Fatal(err)
		}

		for _, s.ahead = range []time.Duration{time.Hour, -time.Hour} {
			runFor(t, c, s, askInterval+time.Second)
			if wrong := clockError(c, s); wrong > time.Millisecond {
				t.Errorf("%v wrong", wrong)
			}
		}
	})
}

func TestTheUncertaintyGrowsUntilTheNextMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{ahead: time.Hour, there: time.Millisecond, back: 3 * time.Millisecond}
		c := New(0)
		if d, ok := c.Uncertainty(); ok {
			t.Errorf("a clock that never asked is %v uncertain", d)
		}
		if err := c.Sync(t.Context(), s); err != nil {
			t.Fatal(err)
		}

		if d, ok := c.Uncertainty(); d != 2*time.Millisecond || !ok || clockError(c, s) > d {
			t.Errorf("half a round trip of 4 ms is %v (%v)", d, ok)
		}
		time.Sleep(10 * time.Second)
		if d, _ := c.Uncertainty(); d != 4*time.Millisecond {
			t.Errorf("after 10 s of a bad quartz: %v", d)
		}
	})
}

func TestWithoutAnAnswerTheLastOneHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{ahead: time.Minute}
		c := New(0)
		if err := c.Sync(t.Context(), s); err != nil {
			t.Fatal(err)
		}

		s.err = errors.New("gone")
		runFor(t, c, s, time.Hour)
		if wrong := clockError(c, s); wrong != 0 {
			t.Errorf("%v wrong", wrong)
		}
		if err := c.Sync(t.Context(), s); !errors.Is(err, s.err) {
			t.Errorf("a source that is away gives %v", err)
		}
	})
}

func TestOneAnswerIsEnoughToBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{ahead: time.Minute, deaf: syncTries - 1}
		c := New(0)
		if err := c.Sync(t.Context(), s); err != nil || clockError(c, s) != 0 {
			t.Errorf("%v, %v wrong", err, clockError(c, s))
		}
	})
}
