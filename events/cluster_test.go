package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process"
	"github.com/ridehail/ridehail/lab/process/processtest"
)

// openExamined is Open of an address that only a test can have.
func openExamined(t testing.TB, a address, opts ...Option) *Redis {
	t.Helper()
	r := newRedis(a, opts)
	t.Cleanup(func() { _ = r.Close() })
	if err := r.examine(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// openCluster opens a cluster through lines that a test can make lossy.
func openCluster(t testing.TB, c *process.RedisCluster, through *lossyLines) *Redis {
	t.Helper()
	a, err := parseAddress(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	if through != nil {
		a.options.Dialer = through.dial
	}
	return openExamined(t, a, WithLog(slog.New(slog.DiscardHandler)))
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
				tx := r.commands.TxPipeline()
				tx.XAdd(t.Context(), r.newJobEntry(queue, id+"d", nil))
				tx.HDel(t.Context(), r.deadIndexKey(queue), "none")
				if _, err := tx.Exec(t.Context()); err != nil {
					t.Errorf("transaction: %v", err)
				}
				queued.Add(4)
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

func TestEveryJobIsDoneWhileTheSlotOfItsQueueMoves(t *testing.T) {
	slowtest.Require(t)
	c := processtest.RedisCluster(t, 2, 0)
	r := openCluster(t, c, nil)
	queue := slotQueue(t, r, c)
	var mu sync.Mutex // guards done
	done, lost := map[string]int{}, make(chan struct{}, 10)
	for _, name := range []string{"a", "b"} {
		worker := &Worker{Redis: r, Stream: queue, Consumer: name, OnQueueLost: func() { lost <- struct{}{} },
			Handle: func(_ context.Context, id string, _ []byte) error {
				mu.Lock()
				defer mu.Unlock()
				done[id]++
				return nil
			}}
		startWork(t, worker.Run)
	}
	receiveFrom(t, "the queue to be made", lost)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	queued := 0
	var crowd sync.WaitGroup
	crowd.Go(func() {
		for ; sleep.For(ctx, time.Millisecond); queued++ {
			if err := r.EnqueueJob(t.Context(), queue, fmt.Sprint(queued), nil); err != nil {
				t.Error(err)
			}
		}
	})
	for turn := range 20 {
		if err := c.MoveSlots(t.Context(), turn%2, 1-turn%2, 1); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	crowd.Wait()

	waitUntil(t, "all jobs to be done", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(done) == queued
	})
	if len(lost) > 0 {
		t.Errorf("the queue was taken for lost %d times", len(lost))
	}
	t.Logf("%d jobs were done", queued)
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

// TestWhenAMasterFailsJobsAndHeartbeatsGoOnWithinThreeSeconds fails the master
// of the jobs and that of the members, and measures
// from when the cluster itself has failed over.
func TestWhenAMasterFailsJobsAndHeartbeatsGoOnWithinThreeSeconds(t *testing.T) {
	slowtest.Require(t)
	c := processtest.RedisCluster(t, 3, 1)
	r := openCluster(t, c, nil)
	done := make(chan string, 10000)
	worker := &Worker{Redis: r, Stream: "settlements", Consumer: "a",
		Handle: func(_ context.Context, id string, _ []byte) error { done <- id; return nil }}
	startWork(t, worker.Run)
	members := NewMembers(r, "a", time.Second) // its heartbeats are sent below
	works := map[string]func() error{
		"jobs":       func() error { return r.EnqueueJob(t.Context(), "settlements", "1", nil) },
		"heartbeats": func() error { return members.sendHeartbeat(t.Context()) },
		"pipelines": func() error {
			pipe := r.commands.Pipeline()
			for n := range 20 {
				r.addPublish(t.Context(), pipe, NodeChannel(fmt.Sprint(n)), Message{})
			}
			_, err := pipe.Exec(t.Context())
			return err
		},
		"readiness": func() error { return r.CheckWritable(t.Context()) },
	}

	for _, way := range []string{"killed", "hung"} {
		for _, key := range []string{r.streamKey("settlements"), r.membersKey()} {
			master, err := r.cluster.MasterForKey(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.Index(c.Masters(), master.Options().Addr)
			fail, repair := c.KillMaster, func(at string) { _ = c.Revive(t.Context(), at) }
			if way == "hung" {
				fail, repair = c.PauseMaster, c.Resume
			}

			began := time.Now()
			former, err := fail(i)
			if err != nil {
				t.Fatal(err)
			}
			var failedOver time.Time
			var team sync.WaitGroup
			team.Go(func() {
				if err := c.AwaitFailover(t.Context(), former); err != nil {
					t.Error(err)
				}
				failedOver = time.Now()
			})
			for what, work := range works {
				team.Go(func() {
					// What still works does so because it is not of this master.
					waitUntil(t, "the cluster to notice", func() bool { return work() != nil || time.Since(began) > time.Second })
					waitUntil(t, what+" to go on", func() bool { return work() == nil })
					t.Logf("%s, %s: %s after %v", way, key, what, time.Since(began))
				})
			}
			team.Wait()
			if err := r.EnqueueJob(t.Context(), "settlements", former, nil); err != nil {
				t.Error(err)
			}
			for receiveFrom(t, "the job to be done", done) != former {
			}
			late := time.Since(failedOver)
			t.Logf("%s, %s: all goes on after %v, which is %v after the cluster failed over", way, key, time.Since(began), late)
			if late > 3*time.Second {
				t.Errorf("%s: that is too late", way)
			}

			repair(former)
			if err := c.AwaitHealthy(t.Context()); err != nil {
				t.Fatal(err)
			}
			waitUntil(t, "the node to be ready", func() bool { return r.CheckWritable(t.Context()) == nil })
		}
	}
}

func TestAChannelOfAClusterIsServedWhereServerOfSays(t *testing.T) {
	slowtest.Require(t)
	r := newClusterRig(t)
	servers, slots := map[string]bool{}, map[string]bool{}
	for n := range 40 {
		c := NodeChannel(fmt.Sprint(n))
		key, client, err := r.serverOf(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		servers[key], slots[channelTag(c)] = true, true

		sub := client.SSubscribe(t.Context(), r.channelName(c))
		if _, err := sub.ReceiveTimeout(t.Context(), waitLimit); err != nil {
			t.Fatal(err)
		}
		if err := r.Publish(t.Context(), c, Message{Topic: "t"}); err != nil {
			t.Fatal(err)
		}
		m, err := sub.ReceiveMessage(t.Context())
		if err != nil || r.channelNamed(m.Channel) != c {
			t.Errorf("on %s came %v, %v", c, m, err)
		}
		_ = sub.Close()
	}
	if len(servers) != 3 || len(slots) < 20 {
		t.Errorf("40 channels are on %d servers and in %d slots", len(servers), len(slots))
	}
}
