package events

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/trips"
)

// pair is two servers and an address that leads to the primary.
type pair struct {
	t                testing.TB
	primary, replica *pairServer
	address          *testProxy
}

type pairServer struct {
	*processtest.Server
	admin administrator
}

func newPair(t testing.TB) *pair {
	p := &pair{t: t, primary: startPairServer(t), replica: startPairServer(t)}
	p.replica.admin.follow(p.primary.Address)
	p.address = newTestProxy(t, p.primary.Address)
	return p
}

func startPairServer(t testing.TB) *pairServer {
	s := processtest.Redis(t, "--save", "", "--repl-diskless-sync-delay", "0")
	return &pairServer{s, newAdministrator(t, s.Address)}
}

// failOver makes the replica the primary in the way that is named, and returns
// when that was so. Connections of before stay with the former primary.
func (p *pair) failOver(way string) time.Time {
	p.t.Helper()
	p.primary, p.replica = p.replica, p.primary
	former := p.replica
	switch way {
	case "killed":
		former.Kill()
	case "hung":
		former.Pause()
	case "without replicas":
		former.admin.do("CONFIG SET min-replicas-to-write 1")
	}

	p.primary.admin.do("REPLICAOF NO ONE")
	if way == "demoted" {
		former.admin.do("REPLICAOF " + strings.ReplaceAll(p.primary.Address, ":", " "))
	}
	p.address.switchTo(p.primary.Address)
	return time.Now()
}

// repair makes the former primary a replica.
func (p *pair) repair(way string) {
	p.t.Helper()
	former := p.replica
	switch way {
	case "killed":
		former.Start()
	case "hung":
		former.Resume()
	}
	former.admin.do("CONFIG SET min-replicas-to-write 0")
	former.admin.follow(p.primary.Address)
}

// city is two nodes that reach Redis through the pair's address, and an outbox
// that gets an event every 10 ms. One node relays and does the jobs,
// the other one listens.
type city struct {
	*pair
	relaying, listening *Redis
	box                 *memoryOutbox
	relay               *Relay

	mu    sync.Mutex   // guards all below
	heard []int        // numbers of trips as they were heard, and gaps
	done  map[int]bool // trips whose job was done
}

// gapHeard stands among the numbers that were heard.
const gapHeard = -1

func (c *city) OnMessage(m Message) {
	var trip int
	_, _ = fmt.Sscan(string(m.Payload), &trip)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, trip)
}

func (c *city) OnGap(Gap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, gapHeard)
}

func (c *city) doJob(_ context.Context, id string, _ []byte) error {
	trip, err := strconv.Atoi(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[trip] = true
	return err
}

func newCity(t testing.TB) *city {
	c := &city{pair: newPair(t), box: new(memoryOutbox), done: map[int]bool{}}
	c.relaying, c.listening = c.openNode(), c.openNode()
	c.relay = NewRelay(c.relaying, c.box, RelayConfig{Node: "a", Streams: map[trips.Kind]string{trips.KindCompleted: "settlements"}})
	worker := &Worker{Redis: c.relaying, Stream: "settlements", Consumer: "a", Handle: c.doJob}

	startListening(t, c.relaying, "a", "here")
	startWork(t, newRegionListener(c.listening, "b", c, "here").Run)
	startWork(t, NewMembers(c.relaying, "a", 4*time.Second).Run)
	startWork(t, NewMembers(c.listening, "b", 4*time.Second).Run)
	startWork(t, worker.Run)
	startWork(t, c.relay.Run)
	startWork(t, c.moveTrips)
	c.awaitTrips(c.countTrips())
	return c
}

func (c *city) openNode() *Redis {
	r, err := Open(c.t.Context(), c.address.url(0), WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = r.Close() })

	// As after a busy hour, the pool holds many connections.
	var busy sync.WaitGroup
	for range 12 {
		busy.Go(func() {
			_ = r.commands.XRead(c.t.Context(), &redis.XReadArgs{Streams: []string{"none", "$"}, Block: 100 * time.Millisecond}).Err()
		})
	}
	busy.Wait()
	return r
}

// moveTrips moves a trip every 10 ms, and completes every fifth one.
func (c *city) moveTrips(ctx context.Context) error {
	for trip := 1; sleep.For(ctx, 10*time.Millisecond); trip++ {
		kind := trips.KindReserved
		if trip%5 == 0 {
			kind = trips.KindCompleted
		}
		c.box.addMessage(kind, strconv.Itoa(trip), 1)
		c.relay.Wake()
	}
	return ctx.Err()
}

func (c *city) countTrips() int {
	c.box.mu.Lock()
	defer c.box.mu.Unlock()
	return int(c.box.next)
}

// awaitTrips waits until a trip with a higher number was heard of and one's job
// was done, and returns when.
func (c *city) awaitTrips(after int) (heardAt, doneAt time.Time) {
	c.t.Helper()
	waitUntil(c.t, "trips to be heard of and their jobs to be done", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if heardAt.IsZero() && len(c.heard) > 0 && slices.Max(c.heard) > after {
			heardAt = time.Now()
		}
		if doneAt.IsZero() && len(c.done) > 0 && slices.Max(slices.Collect(maps.Keys(c.done))) > after {
			doneAt = time.Now()
		}
		return !heardAt.IsZero() && !doneAt.IsZero()
	})
	return heardAt, doneAt
}

// awaitWrites waits until both nodes can write, and returns when.
func (c *city) awaitWrites() time.Time {
	c.t.Helper()
	for _, r := range []*Redis{c.relaying, c.listening} {
		waitUntil(c.t, "a write", func() bool {
			return r.AddExpiring(c.t.Context(), "something", "text", time.Now().Add(time.Hour)) == nil
		})
	}
	return time.Now()
}

// checkHeard shows that every trip up to the newest was heard of, or that a gap
// says that it may have been missed.
func (c *city) checkHeard() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()

	missing, newest, afterGap := map[int]bool{}, 0, true
	for _, trip := range c.heard {
		if trip == gapHeard {
			clear(missing)
			afterGap = true
			continue
		}
		for n := newest + 1; n < trip && !afterGap; n++ {
			missing[n] = true
		}
		delete(missing, trip)
		newest, afterGap = max(newest, trip), false
	}
	if len(missing) > 0 {
		c.t.Errorf("of %d trips %d were missed without a gap, as %v", newest, len(missing), slices.Sorted(maps.Keys(missing)))
	}
}

// recovery is how long after the replica became the primary everything worked.
type recovery struct{ write, publish, queue time.Duration }

// failOver fails over and returns when everything worked again.
func (c *city) failOver(way string) recovery {
	c.t.Helper()
	c.awaitTrips(c.countTrips())
	began := c.pair.failOver(way)
	trip := c.countTrips()
	write := c.awaitWrites()
	heard, done := c.awaitTrips(trip)
	return recovery{write.Sub(began), heard.Sub(began), done.Sub(began)}
}

var waysToFail = []string{"demoted", "killed", "hung", "without replicas"}

func TestAfterAFailoverEverythingWorksWithinThreeSeconds(t *testing.T) {
	slowtest.Require(t)
	for _, way := range waysToFail {
		t.Run(way, func(t *testing.T) {
			c := newCity(t)
			for range 2 {
				r := c.failOver(way)
				t.Logf("writes after %v, events after %v, jobs after %v", r.write, r.publish, r.queue)
				if limit := 3 * time.Second; r.write > limit || r.publish > limit || r.queue > limit {
					t.Errorf("that is over %v", limit)
				}
				c.awaitTrips(c.countTrips())
				c.checkHeard()
				c.repair(way)
			}
		})
	}
}

func TestABatchThatAReplicaTakesIsNotPublished(t *testing.T) {
	server, primary := processtest.Redis(t), processtest.Redis(t)
	r, err := Open(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })

	// News of a ride, without a job: all that is sent is PUBLISH.
	box := &memoryOutbox{}
	box.addMessage(trips.KindReserved, "trip", 1)
	messages, _ := box.PendingMessages(t.Context(), 1)
	rl := NewRelay(r, box, RelayConfig{Node: "a"})

	admin := newAdministrator(t, server.Address)
	admin.follow(primary.Address)
	if err := rl.publishBatch(t.Context(), messages); err == nil {
		t.Error("a batch was published by a replica")
	}
	admin.do("REPLICAOF NO ONE")
	if err := rl.publishBatch(t.Context(), messages); err != nil {
		t.Errorf("the server takes writes again: %v", err)
	}
}

// BenchmarkFailover fails over ten times in each way and prints how long it
// takes until writes, events and jobs work again.
func BenchmarkFailover(b *testing.B) {
	tries := 10
	if testing.Short() {
		tries = 1
	}
	for _, way := range waysToFail {
		b.Run(way, func(b *testing.B) {
			c := newCity(b)
			var write, publish, queue []float64
			for b.Loop() {
				for range tries {
					r := c.failOver(way)
					write, publish, queue = append(write, r.write.Seconds()), append(publish, r.publish.Seconds()), append(queue, r.queue.Seconds())
					c.repair(way)
				}
			}

			b.ReportMetric(0, "ns/op") // a repair is not what is measured
			for what, seconds := range map[string][]float64{"write": write, "event": publish, "job": queue} {
				slices.Sort(seconds)
				b.ReportMetric(seconds[len(seconds)/2], "median-s-to-"+what)
				b.ReportMetric(seconds[len(seconds)-1], "max-s-to-"+what)
			}
		})
	}
}
