package process_test

import (
	"testing"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process/processtest"
)

func TestARedisClusterFailsOverAndMovesSlots(t *testing.T) {
	slowtest.Require(t)
	c := processtest.RedisCluster(t, 3, 1)
	if got := c.Masters(); len(got) != 3 || len(c.Addresses()) != 6 {
		t.Fatalf("masters %v of %v", got, c.Addresses())
	}

	if err := c.MoveSlots(t.Context(), 0, 1, 20); err != nil {
		t.Fatal(err)
	}
	// Two of the keys share a slot. It moves to the next master, and to the one
	// after that.
	for range 2 {
		if err := c.MoveSlotsOf(t.Context(), "{settlements}", "{settlements}:dead", "{members}"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.AwaitHealthy(t.Context()); err != nil {
		t.Fatal(err)
	}

	killed, err := c.KillMaster(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitFailover(t.Context(), killed); err != nil {
		t.Fatal(err)
	}
	if err := c.Revive(t.Context(), killed); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitHealthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.Masters(); len(got) != 3 {
		t.Errorf("masters %v", got)
	}
}
