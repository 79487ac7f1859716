package sleep

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestASleepLastsAsLongAsItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !For(t.Context(), time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("slept for %v", time.Since(began))
		}
		if !Until(t.Context(), began.Add(3*time.Minute)) || time.Since(began) != 3*time.Minute {
			t.Errorf("slept until %v", time.Since(began))
		}
	})
}

func TestASleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if For(ctx, time.Minute) || time.Since(began) != time.Second {
			t.Errorf("slept on for %v", time.Since(began))
		}
	})
}

func TestAPreciseSleepNeverEndsEarly(t *testing.T) {
	for _, d := range []time.Duration{-time.Second, 0, 100 * time.Microsecond, 3 * time.Millisecond} {
		until := time.Now().Add(d)
		if Precisely(until); time.Now().Before(until) {
			t.Errorf("%v: it ended %v too early", d, time.Until(until))
		}
	}
}

func TestAnEndedContextWinsOverAMomentThatHasCome(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()

	for _, d := range []time.Duration{-time.Hour, 0, 1} {
		if For(ended, d) || Until(ended, time.Now().Add(d)) {
			t.Errorf("%v: true after the end", d)
		}
		if !For(t.Context(), d) {
			t.Errorf("%v: false before the end", d)
		}
	}
}
