package events

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process"
)

// runOnAll runs the story on a cluster too.
func runOnAll(t *testing.T, story func(t *testing.T, r *rig)) {
	runOnBoth(t, story)
	t.Run("cluster", func(t *testing.T) {
		slowtest.Require(t)
		story(t, newClusterRig(t))
	})
}

// sharedCluster is the cluster of all stories. It lasts as long as the process.
var sharedCluster struct {
	sync.Mutex
	*process.RedisCluster
	end func()
}

// clusterEnder ends the shared cluster after all tests.
type clusterEnder struct{ goleak.TestingM }

func (c clusterEnder) Run() int {
	code := c.TestingM.Run()
	if sharedCluster.end != nil {
		sharedCluster.end()
	}
	return code
}

func shareCluster(t testing.TB) *process.RedisCluster {
	t.Helper()
	sharedCluster.Lock()
	defer sharedCluster.Unlock()
	if sharedCluster.RedisCluster != nil {
		return sharedCluster.RedisCluster
	}

	if err := process.MissingRedis(); err != nil && os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
		t.Fatal(err)
	} else if err != nil {
		t.Skip(err)
	}
	dir, guard, err := process.NewFolder("ridehail-test")
	if err != nil {
		t.Fatal(err)
	}
	c, err := process.StartRedisCluster(t.Context(), dir, guard, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	sharedCluster.RedisCluster = c
	sharedCluster.end = func() { _ = c.Close(); _ = guard.Close(); _ = os.RemoveAll(dir) }
	return c
}

// newClusterRig returns a rig whose proxy stands before each server.
func newClusterRig(t testing.TB) *rig {
	a, err := parseAddress(shareCluster(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := &testProxy{others: map[string]*testProxy{}}
	a.options.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, proxy.before(t, address))
	}

	r := &rig{proxy: proxy, prefix: "ridehail-test:" + uuid.NewString() + ":", seeds: &a}
	r.Redis = r.openNode(t)
	t.Cleanup(func() { r.deleteKeys(t) })
	return r
}

// before returns the address of a proxy before a server of a cluster.
func (c *testProxy) before(t testing.TB, address string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.others[address] == nil {
		c.others[address] = newTestProxy(t, address)
		c.others[address].setDown(c.down)
	}
	return c.others[address].ln.Addr().String()
}

func (r *rig) deleteClusterKeys(t testing.TB) {
	err := r.cluster.ForEachMaster(context.Background(), func(ctx context.Context, master *redis.Client) error {
		for _, key := range master.Keys(ctx, r.prefix+"*").Val() {
			_ = master.Del(ctx, key).Err()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
