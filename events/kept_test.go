package events

import (
	"slices"
	"testing"
	"time"
)

func TestWhatIsKeptIsFoundByAllUntilItsTime(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		now := time.Now()
		for text, until := range map[string]time.Duration{"an hour": time.Hour, "a minute": time.Minute} {
			if err := r.AddExpiring(t.Context(), "things", text, now.Add(until)); err != nil {
				t.Fatal(err)
			}
		}

		list, err := r.openNode(t).ListUnexpired(t.Context(), "things", now)
		if err != nil || !slices.Equal(list, []string{"a minute", "an hour"}) {
			t.Errorf("another node finds %v, %v", list, err)
		}

		for range 2 {
			// The first call deletes the expired text.
			list, err := r.ListUnexpired(t.Context(), "things", now.Add(time.Minute))
			if err != nil || !slices.Equal(list, []string{"an hour"}) {
				t.Errorf("a minute later %v are kept, %v", list, err)
			}
		}

		if n := r.commands.ZCard(t.Context(), r.expiringKey("things")).Val(); n != 1 {
			t.Errorf("%d are stored", n)
		}
		r.proxy.takeDown()
		if _, err := r.ListUnexpired(t.Context(), "things", now); err == nil {
			t.Error("without Redis nothing is said to be kept")
		}
		r.proxy.bringUp()
	})
}
