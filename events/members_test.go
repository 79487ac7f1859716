package events

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/sleep"
)

func TestNodesSeeEachOtherComeAndGo(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		const ttl = 400 * time.Millisecond
		a, b := NewMembers(r.Redis, "a", ttl), NewMembers(r.openNode(t), "b", ttl)
		if !a.OwnsRegion("anything") || !b.OwnsRegion("anything") {
			t.Error("a node alone owns everything")
		}

		startWork(t, a.Run)
		stop := startWork(t, b.Run)
		both := func() bool { return len(a.AliveNodes()) == 2 && len(b.AliveNodes()) == 2 }
		waitUntil(t, "both to see both", both)
		if a.OwnsRegion("x") == b.OwnsRegion("x") {
			t.Error("a region needs exactly one owner")
		}
		r.deleteKeys(t)

		for range 10 {
			if !both() {
				t.Fatal("a flush made a node forget the other")
			}
			time.Sleep(ttl / 20)
		}

		r.proxy.takeDown()
		time.Sleep(2 * ttl) // longer than any heartbeat lives
		if !both() {
			t.Error("without Redis the last view must stand")
		}

		r.proxy.bringUp()
		waitUntil(t, "both again", both)
		stop()
		waitUntil(t, "b to be gone", func() bool { return slices.Equal(a.AliveNodes(), []string{"a"}) })
	})
}

// TestANodeOfAnEarlierBuildIsKnownWhileItIsAlive has a node of an earlier build,
// which beats in one set only. Its name may be that of a node of this build that
// was there before.
func TestANodeOfAnEarlierBuildIsKnownWhileItIsAlive(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		const ttl = 400 * time.Millisecond
		a, b := NewMembers(r.Redis, "a", ttl), NewMembers(r.openNode(t), "b", ttl)
		startWork(t, a.Run)
		stop := startWork(t, b.Run)
		waitUntil(t, "both to see each other", func() bool { return len(a.AliveNodes()) == 2 && len(b.AliveNodes()) == 2 })
		if a.HasEarlierBuild() {
			t.Error("both are of this build")
		}

		beat := func(ctx context.Context) error {
			for {
				now, err := r.commands.Time(ctx).Result()
				if err == nil {
					r.commands.ZAdd(ctx, r.membersKey(), redis.Z{Score: float64(now.UnixMilli()), Member: "b"})
				}
				if !sleep.For(ctx, ttl/8) {
					return ctx.Err()
				}
			}
		}
		stop()
		stop = startWork(t, beat)
		waitUntil(t, "the earlier build to be known", a.HasEarlierBuild)

		r.deleteKeys(t)
		for range 10 {
			if !a.HasEarlierBuild() {
				t.Fatal("a flush made a node forget that the other is of an earlier build")
			}
			time.Sleep(ttl / 20)
		}

		r.proxy.takeDown()
		time.Sleep(2 * ttl) // longer than any heartbeat lives
		if !a.HasEarlierBuild() {
			t.Error("without Redis the last view must stand")
		}
		r.proxy.bringUp()

		stop()
		waitUntil(t, "the earlier build to be gone", func() bool { return !a.HasEarlierBuild() && len(a.AliveNodes()) == 1 })
	})
}
