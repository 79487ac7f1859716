package events

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process"
	"github.com/ridehail/ridehail/lab/process/processtest"
)

// ledger holds what was published on each channel to what was heard.
type ledger struct {
	mu      sync.Mutex // guards all below
	sent    map[Channel][]bool
	heard   map[Channel]int
	missing map[Channel]map[int]bool // heard a later one
	gapAt   map[Channel]int          // how many messages were sent when a gap came
	named   map[Channel]int          // by gaps
	again   map[Channel]bool         // a gap came after the last message
	wrong   []string
}

func newLedger(channels []Channel) *ledger {
	g := &ledger{sent: map[Channel][]bool{}, heard: map[Channel]int{}, missing: map[Channel]map[int]bool{}, gapAt: map[Channel]int{}, named: map[Channel]int{}, again: map[Channel]bool{}}
	for _, c := range channels {
		g.heard[c], g.missing[c] = -1, map[int]bool{}
	}
	return g
}

func (g *ledger) OnMessage(m Message) {
	var n int
	_, _ = fmt.Sscan(string(m.Payload), &n)
	g.mu.Lock()
	defer g.mu.Unlock()
	last, ok := g.heard[m.Channel]
	if !ok {
		return
	}
	if n <= last && g.again[m.Channel] {
		return
	} else if n <= last {
		g.wrong = append(g.wrong, fmt.Sprintf("%s %d after %d", m.Channel, n, last))
		return
	}
	for skipped := last + 1; skipped < n; skipped++ {
		g.missing[m.Channel][skipped] = true
	}
	g.heard[m.Channel], g.again[m.Channel] = n, false
}

func (g *ledger) OnGap(gap Gap) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gap.Channels == nil {
		gap.Channels = slices.Collect(maps.Keys(g.heard))
	}
	for _, c := range gap.Channels {
		g.named[c]++
		g.again[c] = true
		g.gapAt[c] = len(g.sent[c])
	}
}

// forgetGaps returns how many channels gaps have named since the last call.
func (g *ledger) forgetGaps() (named int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	named = len(g.named)
	clear(g.named)
	return named
}

// publish sends numbered messages to the channels in turn until ctx ends. What
// an error came for may have been sent or not.
func (g *ledger) publish(ctx context.Context, r *Redis, channels []Channel) {
	const batch = 20
	for at := 0; sleep.For(ctx, 5*time.Millisecond); at = (at + batch) % len(channels) {
		var messages []Addressed
		g.mu.Lock()
		for _, c := range channels[at:min(at+batch, len(channels))] {
			messages = append(messages, Addressed{c, Message{Topic: "trip", Payload: fmt.Appendf(nil, "%d", len(g.sent[c]))}})
			g.sent[c] = append(g.sent[c], false)
		}
		g.mu.Unlock()
		if r.PublishAll(context.WithoutCancel(ctx), messages) != nil {
			continue
		}

		g.mu.Lock()
		for _, m := range messages {
			g.sent[m.To][len(g.sent[m.To])-1] = true
		}
		g.mu.Unlock()
	}
}

// publishOnce sends one more message to each channel.
func (g *ledger) publishOnce(t *testing.T, r *Redis, channels []Channel) {
	t.Helper()
	for _, c := range channels {
		waitUntil(t, "a message to be sent", func() bool {
			g.mu.Lock()
			n := len(g.sent[c])
			g.sent[c] = append(g.sent[c], false)
			g.mu.Unlock()
			err := r.Publish(t.Context(), c, Message{Topic: "trip", Payload: fmt.Appendf(nil, "%d", n)})
			g.mu.Lock()
			defer g.mu.Unlock()
			g.sent[c][n] = err == nil
			return err == nil
		})
	}
}

// check shows that each message that was surely sent was heard, or is older than
// a gap of its channel.
func (g *ledger) check(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	sent, lost, told := 0, 0, 0
	for c, numbers := range g.sent {
		for n, surely := range numbers {
			if !surely {
				continue
			}
			sent++
			missed := g.missing[c][n] || n > g.heard[c]
			if missed && n < g.gapAt[c] {
				told++
			} else if missed {
				lost++
				if lost <= 5 {
					t.Errorf("%s %d was not heard, and no gap told; last heard %d of %d", c, n, g.heard[c], len(numbers))
				}
			}
		}
	}
	t.Logf("%d messages sent, %d missed with a gap, %d without", sent, told, lost)
	if len(g.wrong) > 0 {
		t.Errorf("%d messages came late or twice without a gap, as %s", len(g.wrong), g.wrong[0])
	}
}

// TestInAClusterNothingIsMissedWithoutAGap publishes on 1,000 channels of all
// slots while masters die, hang and hand slots to each other.
func TestInAClusterNothingIsMissedWithoutAGap(t *testing.T) {
	slowtest.Require(t)
	c := processtest.RedisCluster(t, 3, 1)
	listening, publishing := openCluster(t, c, nil), openCluster(t, c, nil)
	users := numberedUsers(1000)
	g := newLedger(users)
	l := listening.NewListener(ListenerConfig{Name: "news", Node: "a", Handler: g})
	began := time.Now()
	l.Follow(users...)
	startWork(t, l.Run)
	startWork(t, publishing.NewListener(ListenerConfig{Name: "news", Node: "b", Handler: newLedger(nil)}).Run) // as each node has one
	awaitNamed(t, g, len(users))
	t.Logf("followed within %v, on %d connections", time.Since(began), len(l.links))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var publisher sync.WaitGroup
	publisher.Go(func() { g.publish(ctx, publishing, users) })
	hears := func() bool { return listening.CheckListening() == nil && l.isSettled() }
	waitUntil(t, "all connections", hears)
	g.forgetGaps()

	steps := []struct {
		name string
		do   func() error
		most int // channels that gaps may name
	}{
		{"nothing", func() error { return nil }, 0},
		{"slots move", func() error { return c.MoveSlots(t.Context(), 0, 1, 400) }, 100},
		{"a master is killed", func() error { return failOverMaster(t, c, c.KillMaster, 2) }, 600},
		{"a master hangs", func() error { return failOverMaster(t, c, c.PauseMaster, 1) }, 600},
	}
	for _, step := range steps {
		began := time.Now()
		if err := step.do(); err != nil {
			t.Fatal(step.name, err)
		}
		acted := time.Now()
		g.awaitAll(t, users)
		heard := time.Now()
		waitUntil(t, "all connections", hears)
		g.awaitAll(t, users) // the gaps before these messages were told
		named := g.forgetGaps()
		t.Logf("%s: %v, everything heard again %v later, gaps named %d channels", step.name, acted.Sub(began), heard.Sub(acted), named)
		if named > step.most || step.most > 0 && named == 0 {
			t.Errorf("%s: gaps named %d channels, want at most %d", step.name, named, step.most)
		}
	}

	stop()
	publisher.Wait()
	g.publishOnce(t, publishing, users) // the last ones surely arrive
	g.awaitAll(t, users)
	g.check(t)
}

// TestAServerThatHangsCostsNoOtherItsSubscriptions has a quiet cluster, in which
// only echoes tell a channel without messages from a dead connection.
func TestAServerThatHangsCostsNoOtherItsSubscriptions(t *testing.T) {
	slowtest.Require(t)
	r := newClusterRig(t)
	users := numberedUsers(100)
	g := newLedger(users)
	l := r.NewListener(ListenerConfig{Name: "news", Node: "a", Handler: g})
	l.Follow(users...)
	startWork(t, l.Run)
	awaitNamed(t, g, len(users))
	hears := func() bool { return r.CheckListening() == nil }
	waitUntil(t, "all connections", hears)
	g.forgetGaps()

	hung, _, err := r.serverOf(t.Context(), users[0])
	if err != nil {
		t.Fatal(err)
	}
	its := 0
	for _, c := range append(users, NodeChannel("a")) {
		if server, _, _ := r.serverOf(t.Context(), c); server == hung {
			its++
		}
	}
	before := r.proxy.others[hung]
	before.hang()
	waitUntil(t, "the silence to be noticed", func() bool { return !hears() })
	time.Sleep(silenceLimit + 2*echoInterval) // the others would seem silent by now
	before.wake()

	waitUntil(t, "all connections again", hears)
	time.Sleep(silenceLimit) // so too
	if named := g.forgetGaps(); named != its {
		t.Errorf("gaps named %d channels, the server that hung has %d of %d", named, its, len(users)+1)
	}
}

// isSettled reports whether all gaps were told.
func (l *Listener) isSettled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.unsettled) == 0
}

// failOverMaster loses a master and waits until another one has its slots.
func failOverMaster(t *testing.T, c *process.RedisCluster, lose func(int) (string, error), i int) error {
	former, err := lose(i)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	if err := c.AwaitFailover(ctx, former); err != nil {
		return err
	}
	c.Resume(former)
	return nil
}

// awaitAll waits until each channel was heard with a message that was sent after
// this call, or with the last one there is.
func (g *ledger) awaitAll(t *testing.T, channels []Channel) {
	t.Helper()
	g.mu.Lock()
	want := map[Channel]int{}
	for _, c := range channels {
		want[c] = len(g.sent[c]) - 1
	}
	g.mu.Unlock()
	waitUntil(t, "each channel to be heard", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		for c, n := range want {
			if g.heard[c] >= n {
				delete(want, c)
			}
		}
		return len(want) == 0
	})
}

// awaitNamed waits until gaps have named so many channels.
func awaitNamed(t *testing.T, g *ledger, channels int) {
	t.Helper()
	waitUntil(t, "gaps of all channels", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.named) >= channels
	})
}
