package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
)

// Message is news between nodes. It reaches each listener at most once.
type Message struct {
	Topic   string // without a line break
	Region  location.Region
	Payload []byte
}

// Handler receives what a listener hears. Both methods are called from one
// goroutine, in order. A slow handler causes drops, each followed by a gap.
type Handler interface {
	OnMessage(Message)
	// OnGap says that messages before this call may have been missed, so that a
	// handler that needs them reads the store again. The first call comes when
	// the subscription begins.
	OnGap(why string)
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

// Publish sends a message to every node that listens to its region.
func (r *Redis) Publish(ctx context.Context, m Message) error {
	return r.publishOn(ctx, r.regionChannel(string(m.Region)), m)
}

// PublishToNode sends a message to one node. It is not an error when that node
// is gone.
func (r *Redis) PublishToNode(ctx context.Context, node string, m Message) error {
	return r.publishOn(ctx, r.nodeChannel(node), m)
}

func (r *Redis) publishOn(ctx context.Context, channel string, m Message) error {
	if err := r.commands.Publish(ctx, channel, m.encode()).Err(); err != nil {
		return fmt.Errorf("publish %s: %w", m.Topic, err)
	}
	r.metrics.published.WithLabelValues(m.Topic).Inc()
	return nil
}

// encode returns topic, line break, region, line break, payload.
func (m Message) encode() []byte {
	b := make([]byte, 0, len(m.Topic)+len(m.Region)+len(m.Payload)+2)
	b = append(append(b, m.Topic...), '\n')
	b = append(append(b, m.Region...), '\n')
	return append(b, m.Payload...)
}

var errNotMessage = errors.New("not a message between nodes")

func decodeMessage(b []byte) (Message, error) {
	topic, rest, ok := bytes.Cut(b, []byte{'\n'})
	region, payload, ok2 := bytes.Cut(rest, []byte{'\n'})
	if !ok || !ok2 {
		return Message{}, errNotMessage
	}
	return Message{Topic: string(topic), Region: location.Region(region), Payload: payload}, nil
}

// Listen hands the messages of the regions and those sent to the node to h, on
// the calling goroutine, until ctx ends. It subscribes again when Redis was
// away. It returns ctx's error.
func (r *Redis) Listen(ctx context.Context, node string, regions []location.Region, h Handler) error {
	channels := []string{r.nodeChannel(node)}
	for _, region := range regions {
		channels = append(channels, r.regionChannel(string(region)))
	}
	l := listener{redis: r, channels: channels, queue: make(chan received, listenerBacklog), confirmed: map[string]bool{},
		recovered: make(chan struct{}, 1)}
	var running sync.WaitGroup
	running.Go(func() { l.runSubscriptions(ctx) })
	running.Go(func() { l.publishEchoes(ctx, node) })
	defer running.Wait()
	defer r.listening.Store(false)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case it := <-l.queue:
			if it.gap != "" {
				h.OnGap(it.gap)
			} else {
				h.OnMessage(it.Message)
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
func (l *listener) publishEchoes(ctx context.Context, node string) {
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
		_ = r.commands.Publish(ctx, r.nodeChannel(node), Message{Topic: topicEcho}.encode()).Err()
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

// listener stands between go-redis, whose own channel drops without notice, and
// the handler. Its later fields belong to the goroutine in runSubscriptions.
type listener struct {
	redis    *Redis
	channels []string
	queue    chan received
	// recovered holds a signal when connections were given up, Redis can be
	// written, and an echo is on its way.
	recovered chan struct{}
	// confirmed holds the channels subscribed since the last (re)connection.
	confirmed     map[string]bool
	hasSubscribed bool   // a subscription was complete before
	pendingGap    string // a gap that found the queue full
}

// received is a message, or a gap if that is not empty.
type received struct {
	Message
	gap string
}

// runSubscriptions subscribes, and does so again on a new connection when this
// one has ended or gone silent.
func (l *listener) runSubscriptions(ctx context.Context) {
	for ctx.Err() == nil {
		renewal := l.redis.sessions.renewal()
		sub := l.redis.commands.Subscribe(ctx, l.channels...)
		l.readMessages(ctx, sub, renewal)
		l.redis.listening.Store(false)
		_ = sub.Close() // it may be broken already
		clear(l.confirmed)
	}
}

// readMessages handles what arrives until ctx ends, the connection ends, a
// renewal is due, or nothing has arrived for silenceLimit.
func (l *listener) readMessages(ctx context.Context, sub *redis.PubSub, renewal <-chan struct{}) {
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
func (l *listener) handleReply(v any) {
	switch v := v.(type) {
	case *redis.Subscription:
		l.confirmChannel(v.Channel)
	case *redis.Message:
		l.redis.metrics.countReceived(strings.TrimPrefix(v.Channel, l.redis.prefix), len(v.Payload))
		m, err := decodeMessage([]byte(v.Payload))
		if err != nil {
			l.redis.metrics.dropped.WithLabelValues("malformed").Inc()
			return
		}
		l.redis.listening.Store(true)
		if m.Topic != topicEcho {
			l.enqueueMessage(m)
		}
	}
}

// confirmChannel counts confirmations. When every channel has one, the
// subscription is complete; each complete one but the first follows a broken
// connection.
func (l *listener) confirmChannel(channel string) {
	if l.confirmed[channel] {
		// The connection before broke while it was subscribing.
		clear(l.confirmed)
	}
	l.confirmed[channel] = true
	if len(l.confirmed) < len(l.channels) {
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
func (l *listener) enqueueMessage(m Message) {
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
func (l *listener) enqueueGap(why string) {
	l.redis.metrics.gaps.WithLabelValues(why).Inc()
	select {
	case l.queue <- received{gap: why}:
	default:
		l.pendingGap = why
	}
}
