package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// TestMain ignores the library's dialer, which ends within a second after its
// pool was closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(clusterEnder{m}, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

const waitLimit = 15 * time.Second

// rig is a Redis, embedded, real or a cluster, behind a proxy whose connections a test can
// cut.
type rig struct {
	proxy  *testProxy
	prefix string
	url    string
	seeds  *address // of a cluster; otherwise nil
	*Redis
}

// runOnBoth runs the story on the embedded server and on the real one.
func runOnBoth(t *testing.T, story func(t *testing.T, r *rig)) {
	t.Run("embedded", func(t *testing.T) {
		mini := miniredis.RunT(t)
		story(t, newRig(t, "redis://"+mini.Addr()+"/0"))
	})

	t.Run("real", func(t *testing.T) {
		url := os.Getenv("RIDEHAIL_TEST_REDIS")
		if url == "" && os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
			t.Fatal("RIDEHAIL_TEST_REDIS is not set and must be")
		}
		if url == "" {
			t.Skip("set RIDEHAIL_TEST_REDIS=redis://HOST:PORT/DB to run this on a real Redis too")
		}
		story(t, newRig(t, url))
	})
}

func newRig(t testing.TB, url string) *rig {
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}

	r := &rig{proxy: newTestProxy(t, o.Addr), prefix: "ridehail-test:" + uuid.NewString() + ":"}
	r.url = r.proxy.url(o.DB)
	r.Redis = r.openNode(t)
	t.Cleanup(func() { r.deleteKeys(t) })
	return r
}

// openNode returns another node's client of the same server.
func (r *rig) openNode(t testing.TB) *Redis {
	t.Helper()
	opts := []Option{WithPrefix(r.prefix), WithLog(slog.New(slog.DiscardHandler))}
	if r.seeds != nil {
		return openExamined(t, *r.seeds, opts...)
	}
	n, err := Open(t.Context(), r.url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// deleteKeys deletes all keys of this test, as FLUSHALL would.
func (r *rig) deleteKeys(t testing.TB) {
	if r.cluster != nil {
		r.deleteClusterKeys(t)
		return
	}
	keys, err := r.commands.Keys(context.Background(), r.prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}

	if len(keys) > 0 {
		if err := r.commands.Del(context.Background(), keys...).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// startWork starts long work. The returned function ends it and waits; so does
// the end of the test.
func startWork(t testing.TB, work func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("long work ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// waitUntil waits for a condition that no signal announces.
func waitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(waitLimit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", waitLimit, what)
		}
	}
}

func receiveFrom[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(waitLimit):
		t.Fatalf("waited %v in vain: %s", waitLimit, what)
		panic("unreachable")
	}
}

// testProxy is a TCP proxy whose connections can be cut, muted, or refused for
// a while.
type testProxy struct {
	ln   net.Listener
	work sync.WaitGroup

	mu    sync.Mutex // guards all below
	to    string
	conns map[net.Conn]*atomic.Bool // true: what is written to it gets lost
	down  bool
	hangs bool // new connections are muted too
	// others are those before the servers of a cluster. What is done to this one
	// is done to them.
	others map[string]*testProxy
}

func newTestProxy(t testing.TB, to string) *testProxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	c := &testProxy{ln: ln, to: to, conns: map[net.Conn]*atomic.Bool{}}
	c.work.Go(c.acceptConns)
	t.Cleanup(func() { _ = ln.Close(); c.takeDown(); c.work.Wait() })
	return c
}

func (c *testProxy) url(db int) string { return fmt.Sprintf("redis://%s/%d", c.ln.Addr(), db) }

func (c *testProxy) acceptConns() {
	for {
		near, err := c.ln.Accept()
		if err != nil {
			return
		}

		far, err := net.Dial("tcp", c.target())
		silent := new(atomic.Bool)
		if err != nil || !c.trackConns(near, far, silent) {
			_ = near.Close()
			continue
		}

		c.work.Go(func() { _, _ = io.Copy(mutedConn{near, silent}, far); _ = near.Close(); _ = far.Close() })
		c.work.Go(func() { _, _ = io.Copy(mutedConn{far, silent}, near); _ = near.Close(); _ = far.Close() })
	}
}

func (c *testProxy) target() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.to
}

// switchTo leads new connections to another server, as a virtual address that
// moves. Those of before stay with theirs.
func (c *testProxy) switchTo(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to = address
}

// mutedConn swallows what is written to it once it is muted.
type mutedConn struct {
	net.Conn
	muted *atomic.Bool
}

func (v mutedConn) Write(b []byte) (int, error) {
	if v.muted.Load() {
		return len(b), nil
	}
	return v.Conn.Write(b)
}

// muteAll makes all connections carry nothing any more without ending them. New
// ones work at once.
func (c *testProxy) muteAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, shut := range c.conns {
		shut.Store(true)
	}
	for _, o := range c.others {
		o.muteAll()
	}
}

// hang makes connections carry nothing any more, and new ones too until wake.
func (c *testProxy) hang() {
	c.setHangs(true)
	c.muteAll()
}

func (c *testProxy) wake() { c.setHangs(false) }

func (c *testProxy) setHangs(hangs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hangs = hangs
}

func (c *testProxy) trackConns(near, far net.Conn, silent *atomic.Bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.down {
		_ = far.Close()
		return false
	}
	silent.Store(c.hangs)
	c.conns[near], c.conns[far] = silent, silent
	return true
}

// cutAll ends all connections. New ones work at once.
func (c *testProxy) cutAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
	for _, o := range c.others {
		o.cutAll()
	}
}

func (c *testProxy) takeDown() { c.setDown(true); c.cutAll() }
func (c *testProxy) bringUp()  { c.setDown(false) }

func (c *testProxy) setDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
	for _, o := range c.others {
		o.setDown(down)
	}
}
