package events

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/sleep"
)

// Handler receives what a listener hears. Both methods are called from one
// goroutine, in order. A slow handler causes drops, each followed by a gap.
type Handler interface {
	OnMessage(Message)
	// OnGap says that messages before this call may have been missed, so that a
	// handler that needs them reads the store again. One comes when the
	// subscription of a channel begins.
	OnGap(Gap)
}

// Gap says on which channels messages may have been missed, and why.
type Gap struct {
	Why      string
	Channels []Channel // nil: all that the listener follows
}

// The reasons of a gap.
const (
	GapSubscribed  = "subscribed"
	GapReconnected = "reconnected"
	GapOverflowed  = "overflowed"
)

// listenerBacklog is how many messages may wait for a slow handler. Further
// ones are dropped and counted.
const listenerBacklog = 8192

// ListenerConfig says what a listener hears, and for whom.
type ListenerConfig struct {
	Name    string // in metrics and logs: what road it is
	Node    string // whose channel the echoes use, and which it follows
	Handler Handler
	// Newest, if set, returns true for the channels of which only the newest
	// message matters: it replaces one that waits for the handler.
	Newest func(Channel) bool
}

// Listener hands what is published on the channels that it follows to a handler.
// It has connections, a queue and a goroutine of its own, so that one listener's
// flood never delays another's messages.
type Listener struct {
	redis *Redis
	cfg   ListenerConfig
	queue chan received
	// recovered holds a signal when connections were given up, Redis can be
	// written, and an echo is on its way.
	recovered chan struct{}
	changed   chan struct{} // holds a signal when other channels are followed

	mu       sync.Mutex // guards followed
	followed map[Channel]bool

	// Of the goroutine in runSubscriptions.
	// confirmed holds the channels subscribed since the last (re)connection.
	confirmed     map[string]bool
	expected      int    // channels that will be confirmed
	hasSubscribed bool   // a subscription was complete before
	pendingGap    string // a gap that found the queue full
}

// NewListener makes a listener that follows the channel of its node.
func (r *Redis) NewListener(cfg ListenerConfig) *Listener {
	return &Listener{redis: r, cfg: cfg, queue: make(chan received, listenerBacklog), confirmed: map[string]bool{},
		recovered: make(chan struct{}, 1), changed: make(chan struct{}, 1), followed: map[Channel]bool{NodeChannel(cfg.Node): true}}
}

// Follow makes the listener hear channels from now on. It never blocks and may
// be called from any goroutine. A gap tells when nothing more is missed.
func (l *Listener) Follow(channels ...Channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range channels {
		l.followed[c] = true
	}
	signalWake(l.changed)
}

// Unfollow ends Follow.
func (l *Listener) Unfollow(channels ...Channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range channels {
		delete(l.followed, c)
	}
	signalWake(l.changed)
}

// channelNames returns the names of the channels to subscribe to.
func (l *Listener) channelNames() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.followed {
		names = append(names, l.redis.channelName(c))
	}
	return names
}

// Run hands messages to the handler, on the calling goroutine, until ctx ends.
// It subscribes again when Redis was away. It returns ctx's error.
func (l *Listener) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { l.runSubscriptions(ctx) })
	running.Go(func() { l.publishEchoes(ctx, l.cfg.Node) })
	defer running.Wait()
	defer l.redis.listening.Store(false)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case it := <-l.queue:
			if it.gap != "" {
				l.cfg.Handler.OnGap(Gap{Why: it.gap})
			} else {
				l.cfg.Handler.OnMessage(it.Message)
			}
		}
	}
}

// A listener tells a quiet channel from a dead connection by an echo, a message
// that its node sends to itself. The library's health check cannot: it only
// needs to write a ping, and the kernel accepts that for a quarter of an hour
// after the other end has silently gone.
const (
	topicEcho    = "echo"
	echoInterval = time.Second
	silenceLimit = 3 * echoInterval

	// After connections were given up, the address may lead to another server,
	// so that the echo must arrive sooner.
	retryInterval   = echoInterval / 4
	recoverySilence = echoInterval / 2
)

// publishEchoes sends a message from the node to itself every echoInterval. It
// checks before that Redis can be written: a message to a replica would return
// to a listener there, although other nodes publish elsewhere.
func (l *Listener) publishEchoes(ctx context.Context, node string) {
	r := l.redis
	known := r.sessions.generation.Load()
	for wait := echoInterval; sleep.For(ctx, wait); {
		wait = echoInterval
		if err := r.CheckWritable(ctx); err != nil {
			wait = retryInterval
		} else if r.sessions.demoted.CompareAndSwap(true, false) {
			// What was published between is lost to a listener that stayed with
			// the former primary, even if it follows the new one now.
			known = r.sessions.generation.Load()
			r.sessions.renewSubscriptions()
		} else if now := r.sessions.generation.Load(); now != known {
			known = now
			signalWake(l.recovered)
		}

		// An error is not needed here: the listener misses the echo.
		_ = r.commands.Publish(ctx, r.channelName(NodeChannel(node)), Message{Topic: topicEcho}.encode()).Err()
	}
}

// CheckListening returns an error unless messages of other nodes reach Listen,
// as far as known. It asks nothing.
func (r *Redis) CheckListening() error {
	if !r.listening.Load() {
		return errors.New("not subscribed to the messages of other nodes")
	}
	return nil
}

// received is a message, or a gap if that is not empty.
type received struct {
	Message
	gap string
}

// runSubscriptions subscribes, and does so again on a new connection when this
// one has ended or gone silent.
func (l *Listener) runSubscriptions(ctx context.Context) {
	for ctx.Err() == nil {
		renewal := l.redis.sessions.renewal()
		names := l.channelNames()
		l.expected = len(names)
		sub := l.redis.commands.Subscribe(ctx, names...)
		l.readMessages(ctx, sub, renewal)
		l.redis.listening.Store(false)
		_ = sub.Close() // it may be broken already
		clear(l.confirmed)
	}
}

// readMessages handles what arrives until ctx ends, the connection ends, a
// renewal is due, or nothing has arrived for silenceLimit.
func (l *Listener) readMessages(ctx context.Context, sub *redis.PubSub, renewal <-chan struct{}) {
	in := sub.ChannelWithSubscriptions(redis.WithChannelSize(1024), redis.WithChannelHealthCheckInterval(time.Second))
	silence := time.NewTimer(silenceLimit)
	defer silence.Stop()
	for {
		var out chan received
		if l.pendingGap != "" {
			out = l.queue
		}

		select {
		case <-ctx.Done():
			return
		case <-renewal:
			return
		case <-l.changed:
			return
		case out <- received{gap: l.pendingGap}:
			l.pendingGap = ""
		case v, ok := <-in:
			if !ok {
				return
			}
			silence.Reset(silenceLimit)
			l.handleReply(v)
		case <-l.recovered:
			silence.Reset(recoverySilence)
		case <-silence.C:
			l.redis.log.Debug("no echo from Redis; subscribing again")
			l.redis.sessions.renewSubscriptions()
			return
		}
	}
}

// handleReply takes a message or the confirmation of a subscription.
func (l *Listener) handleReply(v any) {
	switch v := v.(type) {
	case *redis.Subscription:
		l.confirmChannel(v.Channel)
	case *redis.Message:
		m, err := decodeMessage([]byte(v.Payload))
		if err != nil {
			l.redis.metrics.dropped.WithLabelValues("malformed").Inc()
			return
		}
		m.Channel = l.redis.channelNamed(v.Channel)
		l.redis.metrics.countReceived(m.Channel, len(v.Payload))
		l.redis.listening.Store(true)
		if m.Topic != topicEcho {
			l.enqueueMessage(m)
		}
	}
}

// confirmChannel counts confirmations. When every channel has one, the
// subscription is complete; each complete one but the first follows a broken
// connection.
func (l *Listener) confirmChannel(channel string) {
	if l.confirmed[channel] {
		// The connection before broke while it was subscribing.
		clear(l.confirmed)
	}
	l.confirmed[channel] = true
	if len(l.confirmed) < l.expected {
		return
	}

	clear(l.confirmed)
	l.redis.listening.Store(true)
	why := GapReconnected
	if !l.hasSubscribed {
		l.hasSubscribed, why = true, GapSubscribed
	}

	l.enqueueGap(why)
}

// enqueueMessage puts a message into the queue. When the queue is full it drops
// the message and leaves a gap.
func (l *Listener) enqueueMessage(m Message) {
	if l.pendingGap == "" {
		select {
		case l.queue <- received{Message: m}:
			return
		default:
			l.enqueueGap(GapOverflowed)
		}
	}

	l.redis.metrics.dropped.WithLabelValues("listener_full").Inc()
}

// enqueueGap puts a gap into the queue, or remembers it until there is room.
func (l *Listener) enqueueGap(why string) {
	l.redis.metrics.gaps.WithLabelValues(why).Inc()
	select {
	case l.queue <- received{gap: why}:
	default:
		l.pendingGap = why
	}
}
