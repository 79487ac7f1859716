package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process"
	"github.com/ridehail/ridehail/lab/process/processtest"
)

// openCluster opens a cluster through lines that a test can make lossy.
func openCluster(t testing.TB, c *process.RedisCluster, through *lossyLines, opts ...Option) *Redis {
	t.Helper()
	a, err := parseAddress(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	if through != nil {
		a.options.Dialer = through.dial
	}
	r := newRedis(a, append([]Option{WithLog(slog.New(slog.DiscardHandler))}, opts...))
	t.Cleanup(func() { _ = r.Close() })
	if err := r.examine(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// lossyLines are connections that lose the reply to the next XADD, and end,
// once they are armed.
type lossyLines struct{ armed atomic.Bool }

func (l *lossyLines) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return &lossyLine{Conn: conn, of: l}, err
}

type lossyLine struct {
	net.Conn
	of    *lossyLines
	loses atomic.Bool
}

func (l *lossyLine) Write(b []byte) (int, error) {
	l.loses.Store(bytes.Contains(b, []byte("xadd")) && l.of.armed.CompareAndSwap(true, false))
	return l.Conn.Write(b)
}

func (l *lossyLine) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if l.loses.Load() {
		_ = l.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

func TestInAClusterACommandWhoseReplyWasLostIsNotRepeated(t *testing.T) {
	slowtest.Require(t)
	lines := new(lossyLines)
	r := openCluster(t, processtest.RedisCluster(t, 3, 0), lines)
	key := r.streamKey("settlements")
	attempts := map[string]func() error{
		"command": func() error { return r.EnqueueJob(t.Context(), "settlements", "1", nil) },
		"pipeline": func() error {
			pipe := r.commands.Pipeline()
			pipe.XAdd(t.Context(), r.newJobEntry("settlements", "1", nil))
			_, err := pipe.Exec(t.Context())
			return err
		},
		"transaction": func() error {
			pipe := r.commands.TxPipeline()
			pipe.XAdd(t.Context(), r.newJobEntry("settlements", "1", nil))
			_, err := pipe.Exec(t.Context())
			return err
		},
	}

	for name, attempt := range attempts {
		for range 5 {
			before, err := r.CountOutstanding(t.Context(), "settlements")
			if err != nil {
				t.Fatal(err)
			}
			lines.armed.Store(true)
			if err := attempt(); err == nil || isRefusal(err) {
				t.Errorf("%s: the lost reply was not noticed: %v", name, err)
			}
			if lines.armed.Swap(false) {
				t.Fatalf("%s: no reply was lost", name)
			}

			waitUntil(t, "the cluster's state to be known again", func() bool {
				return r.commands.XLen(t.Context(), key).Err() == nil
			})
			if after := r.commands.XLen(t.Context(), key).Val(); after != before+1 {
				t.Errorf("%s: %d entries were added, want 1", name, after-before)
			}
		}
	}
}

// TestACommandIsCarriedOutOnceWhileItsSlotMoves has two masters hand the slot of
// the jobs to each other.
func TestACommandIsCarriedOutOnceWhileItsSlotMoves(t *testing.T) {
	slowtest.Require(t)
	c := processtest.RedisCluster(t, 2, 0)
	r := openCluster(t, c, nil)
	queue := slotQueue(t, r, c)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var queued atomic.Int64
	var crowd sync.WaitGroup
	for hand := range 4 {
		crowd.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprint(hand, "-", i)
				pipe := r.commands.Pipeline()
				pipe.XAdd(t.Context(), r.newJobEntry(queue, id+"a", nil))
				r.addPublish(t.Context(), pipe, NodeChannel("x"), Message{})
				r.addPublish(t.Context(), pipe, Everyone, Message{})
				pipe.XAdd(t.Context(), r.newJobEntry(queue, id+"b", nil))
				if _, err := pipe.Exec(t.Context()); err != nil {
					t.Errorf("pipeline: %v", err)
				}
				if err := r.EnqueueJob(t.Context(), queue, id+"c", nil); err != nil {
					t.Error(err)
				}
				if err := r.addDeadLetter(t.Context(), queue, Job{ID: id}, errors.New("declined"), time.Now()); err != nil {
					t.Errorf("script of two keys: %v", err)
				}
				queued.Add(3)
			}
		})
	}

	for turn := range 20 {
		if err := c.MoveSlots(t.Context(), turn%2, 1-turn%2, 1); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	crowd.Wait()
	if n := r.commands.XLen(t.Context(), r.streamKey(queue)).Val(); n != queued.Load() || n < 100 {
		t.Errorf("%d entries of %d jobs", n, queued.Load())
	}
	t.Logf("%d jobs were queued", queued.Load())
}

// slotQueue returns the name of a queue whose slot is the first one of the first
// master, which is moved first.
func slotQueue(t *testing.T, r *Redis, c *process.RedisCluster) string {
	first := redis.NewClient(&redis.Options{Addr: c.Masters()[0]})
	defer first.Close()
	for n := 0; ; n++ {
		name := fmt.Sprint("queue", n)
		slot, err := first.ClusterKeySlot(t.Context(), r.streamKey(name)).Result()
		if err != nil {
			t.Fatal(err)
		}
		if slot == 0 {
			return name
		}
	}
}

func TestAClusterIsFoundByAnyOfItsSeeds(t *testing.T) {
	slowtest.Require(t)
	c := processtest.RedisCluster(t, 3, 1)
	alone := processtest.Redis(t)
	seeds := c.Addresses()
	for address, want := range map[string]string{
		c.URL(): "",
		"redis+cluster://127.0.0.1:1," + seeds[5]: "",
		"redis+cluster://" + seeds[0] + "/0":      "",
		"redis://" + seeds[0]:                     "",
		"redis://" + seeds[5] + "/0":              "",
		"redis://" + seeds[0] + "/1":              "has only the database 0",
		"redis+cluster://" + seeds[0] + "/1":      "has only the database 0",
		"redis+cluster://127.0.0.1:1,127.0.0.1:2": "is it running?",
		"redis+cluster://" + alone.Address:        "belongs to no Redis Cluster",
		"redis+sentinel://" + seeds[0] + "/main":  "is no Sentinel",
		"redis+sentinel://" + seeds[0]:            "name of the master",
		"redis+cluster://,":                       "a host is missing",
		"redis+cluster://:secret@h:x":             "want redis",
		"redis+raft://h:1":                        "want redis",
		"http+cluster://h:1":                      "want redis",
		"redis+sentinel://h:1/main/x":             "want redis",
		"redis+cluster://:secret@h:1/?nonsense=1": "want redis",
	} {
		got := openError(t, address)
		if !strings.Contains(got, want) || want == "" && got != "" || strings.Contains(got, "secret") {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
		if _, err := Open(t.Context(), address); strings.HasPrefix(want, "want redis") != errors.Is(err, ErrAddress) &&
			!strings.Contains(want, "missing") && !strings.Contains(want, "name of") && !strings.Contains(want, "database") {
			t.Errorf("%s: %v wraps ErrAddress: %t", address, err, errors.Is(err, ErrAddress))
		}
	}
}
