package events

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// TopicWake is the topic of what the relay of one node sends to that of another.
// Its handler calls Relay.OnWake with the payload: empty where a shard of the
// outbox has news, else the node that waits for a shard.
const TopicWake = "wake"

// OnWake takes a message of another node's relay. It never blocks and may be
// called from many goroutines.
func (rl *Relay) OnWake(payload []byte) {
	if len(payload) == 0 {
		rl.Wake()
		return
	}
	rl.waker.noteAsker(string(payload))
}

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

// relayWaker sends to the holders of shards: wake-ups, and requests to give a
// shard up. What is for one node merges while the last message is on its way.
type relayWaker struct {
	redis *Redis
	node  string
	// wished names the node that should hold a shard, for a shard without a
	// holder.
	wished func(shard int) string

	local    chan struct{} // holds at most one wake-up of this node
	wasAsked atomic.Bool   // one of them came from another node
	remote   chan struct{} // holds a signal when a shard is in waiting

	mu      sync.Mutex           // guards all below
	holders []string             // of each shard, as the database said last
	waiting []bool               // shards whose holder must still be woken
	asking  []string             // nodes that must still be asked for a shard
	askedAt map[string]time.Time // when a node last asked this one
}

func newRelayWaker(r *Redis, node string, wished func(int) string, shards int) *relayWaker {
	return &relayWaker{redis: r, node: node, wished: wished, local: make(chan struct{}, 1), remote: make(chan struct{}, 1),
		holders: make([]string, shards), waiting: make([]bool, shards), askedAt: map[string]time.Time{}}
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

// askFor asks the holders of shards that this node should hold to give them up.
func (w *relayWaker) askFor(wished []int) {
	w.mu.Lock()
	w.asking = w.asking[:0]
	for _, shard := range wished {
		if holder := w.holders[shard]; holder != "" && holder != w.node && !slices.Contains(w.asking, holder) {
			w.asking = append(w.asking, holder)
		}
	}
	isAsking := len(w.asking) > 0
	w.mu.Unlock()
	if isAsking {
		signalWake(w.remote)
	}
}

// noteAsker notes that a node waits for a shard.
func (w *relayWaker) noteAsker(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.askedAt[node] = time.Now()
}

// hasAsked reports whether a node asked less than a time ago.
func (w *relayWaker) hasAsked(node string, within time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.askedAt, func(_ string, at time.Time) bool { return time.Since(at) >= within })
	_, asked := w.askedAt[node]
	return asked
}

// start sends to other nodes until ctx ends or stop is called. stop waits for
// that.
func (w *relayWaker) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var sender sync.WaitGroup
	sender.Go(func() { _ = w.run(ctx) }) // the context's error
	return func() { cancel(); sender.Wait() }
}

// run sends until ctx ends, and returns its error.
func (w *relayWaker) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.remote:
			w.sendWakes(ctx)
		}
	}
}

// sendWakes wakes each node that holds a shard in waiting, and asks those that
// must be asked. An error only costs the time until that node's next look.
func (w *relayWaker) sendWakes(ctx context.Context) {
	var messages []Addressed
	woken, asked := w.takeWaiting()
	for _, node := range asked {
		messages = append(messages, Addressed{NodeChannel(node), Message{Topic: TopicWake, Payload: []byte(w.node)}})
	}
	for _, node := range woken {
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

// takeWaiting returns the nodes to be woken and those to be asked, each once.
func (w *relayWaker) takeWaiting() (woken, asked []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked, w.asking = w.asking, nil
	for shard, holder := range w.holders {
		if !w.waiting[shard] {
			continue
		}
		w.waiting[shard] = false
		if holder == "" {
			holder = w.wished(shard)
		}
		if holder != "" && !slices.Contains(woken, holder) {
			woken = append(woken, holder)
		}
	}
	return woken, asked
}
