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

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 15 * time.Second

// rig is a Redis, embedded or real, behind a wire that a test can cut.
type rig struct {
	wire   *cable
	prefix string
	url    string
	*Redis
}

// onBoth runs the story on the embedded server and on the real one.
func onBoth(t *testing.T, story func(t *testing.T, r *rig)) {
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

func newRig(t *testing.T, url string) *rig {
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}

	r := &rig{wire: newCable(t, o.Addr), prefix: "ridehail-test:" + uuid.NewString() + ":"}
	r.url = r.wire.url(o.DB)
	r.Redis = r.open(t)
	t.Cleanup(func() { r.flush(t) })
	return r
}

// open is another node's way to the same server.
func (r *rig) open(t *testing.T) *Redis {
	t.Helper()
	n, err := Open(t.Context(), r.url, WithPrefix(r.prefix), WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// flush loses all the keys of this test, as FLUSHALL would.
func (r *rig) flush(t *testing.T) {
	keys, err := r.do.Keys(context.Background(), r.prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}

	if len(keys) > 0 {
		if err := r.do.Del(context.Background(), keys...).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// run starts long work; the returned function ends it and waits. The test's end
// does too.
func run(t *testing.T, work func(context.Context) error) (stop func()) {
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

// within waits for a condition that no signal announces.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %v in vain: %s", patience, what)
		panic("unreachable")
	}
}

// cable is a TCP connection that can be cut, or unplugged for a while.
type cable struct {
	ln   net.Listener
	to   string
	work sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]*atomic.Bool // true: what is written to it gets lost
	down  bool
}

func newCable(t *testing.T, to string) *cable {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	c := &cable{ln: ln, to: to, conns: map[net.Conn]*atomic.Bool{}}
	c.work.Go(c.accept)
	t.Cleanup(func() { _ = ln.Close(); c.unplug(); c.work.Wait() })
	return c
}

func (c *cable) url(db int) string { return fmt.Sprintf("redis://%s/%d", c.ln.Addr(), db) }

func (c *cable) accept() {
	for {
		near, err := c.ln.Accept()
		if err != nil {
			return
		}

		far, err := net.Dial("tcp", c.to)
		silent := new(atomic.Bool)
		if err != nil || !c.keep(near, far, silent) {
			_ = near.Close()
			continue
		}

		c.work.Go(func() { _, _ = io.Copy(valve{near, silent}, far); _ = near.Close(); _ = far.Close() })
		c.work.Go(func() { _, _ = io.Copy(valve{far, silent}, near); _ = near.Close(); _ = far.Close() })
	}
}

// valve swallows what is written to it once it is shut.
type valve struct {
	net.Conn
	shut *atomic.Bool
}

func (v valve) Write(b []byte) (int, error) {
	if v.shut.Load() {
		return len(b), nil
	}
	return v.Conn.Write(b)
}

// silence makes all connections carry nothing any more without ending them; new
// ones work at once.
func (c *cable) silence() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, shut := range c.conns {
		shut.Store(true)
	}
}

func (c *cable) keep(near, far net.Conn, silent *atomic.Bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.down {
		_ = far.Close()
		return false
	}
	c.conns[near], c.conns[far] = silent, silent
	return true
}

// cut ends all connections; new ones work at once.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

func (c *cable) unplug() { c.set(true); c.cut() }
func (c *cable) plug()   { c.set(false) }

func (c *cable) set(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}
