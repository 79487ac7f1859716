package events

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// TopicWake is the topic of a wake-up, which one node sends to another: a shard
// of the outbox has news for it. Its handler calls Relay.Wake.
const TopicWake = "wake"

// Wake says that a shard may have news for this node. It never blocks and may be
// called from many goroutines. It is a hint: without it the relay polls.
func (rl *Relay) Wake() {
	rl.waker.wasAsked.Store(true)
	signalWake(rl.waker.local)
}

// WakeHolder says that a message of the region was committed. It wakes the relay
// of this node or tells the one that holds the region's shard. It never blocks
// and may be called from many goroutines. It is a hint.
func (rl *Relay) WakeHolder(region location.Region) {
	rl.waker.wakeHolder(trips.ShardOf(region, len(rl.shards)))
}

// relayWaker passes wake-ups on to the holders of shards. Wake-ups for one node
// merge while the last one is on its way.
type relayWaker struct {
	redis *Redis
	node  string
	// wished names the node that should hold a shard, for a shard without a
	// holder.
	wished func(shard int) string

	local    chan struct{} // holds at most one wake-up of this node
	wasAsked atomic.Bool   // one of them came from another node
	remote   chan struct{} // holds a signal when a shard is in waiting

	mu      sync.Mutex // guards all below
	holders []string   // of each shard, as the database said last
	waiting []bool     // shards whose holder must still be woken
}

func newRelayWaker(r *Redis, node string, wished func(int) string, shards int) *relayWaker {
	return &relayWaker{redis: r, node: node, wished: wished, local: make(chan struct{}, 1), remote: make(chan struct{}, 1),
		holders: make([]string, shards), waiting: make([]bool, shards)}
}

// signalWake puts a wake-up into the channel unless one is there already.
func signalWake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (w *relayWaker) noteHolders(holders []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	copy(w.holders, holders)
}

func (w *relayWaker) holderOf(shard int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holders[shard]
}

// wakeHolder wakes the relay that holds a shard.
func (w *relayWaker) wakeHolder(shard int) {
	if w.holderOf(shard) == w.node {
		signalWake(w.local)
		return
	}

	w.mu.Lock()
	w.waiting[shard] = true
	w.mu.Unlock()
	signalWake(w.remote)
}

// start sends wake-ups to other nodes until ctx ends or stop is called. stop
// waits for that.
func (w *relayWaker) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var sender sync.WaitGroup
	sender.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.remote:
				w.sendWakes(ctx)
			}
		}
	})
	return func() { cancel(); sender.Wait() }
}

// sendWakes sends one message to each node that holds a shard in waiting. An
// error only costs the time until that node's next poll.
func (w *relayWaker) sendWakes(ctx context.Context) {
	var messages []Addressed
	for _, node := range w.takeWaiting() {
		if node == w.node {
			signalWake(w.local) // it has got the shard meanwhile, or soon will
			continue
		}
		messages = append(messages, Addressed{NodeChannel(node), Message{Topic: TopicWake}})
	}

	if len(messages) > 0 {
		_ = w.redis.PublishAll(ctx, messages)
	}
}

// takeWaiting returns the nodes to be woken, each once.
func (w *relayWaker) takeWaiting() (nodes []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for shard, holder := range w.holders {
		if !w.waiting[shard] {
			continue
		}
		w.waiting[shard] = false
		if holder == "" {
			holder = w.wished(shard)
		}
		if holder != "" && !slices.Contains(nodes, holder) {
			nodes = append(nodes, holder)
		}
	}
	return nodes
}
