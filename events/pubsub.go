package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/location"
)

// Message is what nodes tell each other now: it reaches whoever listens, at
// most once.
type Message struct {
	Topic   string // without a line break
	Region  location.Region
	Payload []byte
}

// Handler receives what a listener hears. Both methods are called from one
// goroutine, in order; a slow handler causes drops, each followed by a Gap.
type Handler interface {
	Message(Message)
	// Gap says that messages before this call may have been missed: whoever
	// needs them reads the store again. The first call comes when the
	// subscription begins.
	Gap(why string)
}

// The reasons of a Gap.
const (
	GapSubscribed  = "subscribed"
	GapReconnected = "reconnected"
	GapOverflowed  = "overflowed"
)

// listenerBacklog is how many messages may wait for a slow handler.
const listenerBacklog = 8192

// Publish tells every node that listens to the message's region.
func (r *Redis) Publish(ctx context.Context, m Message) error {
	return r.publishOn(ctx, r.regionChannel(string(m.Region)), m)
}

// PublishTo tells one node. It is not an error when that node is gone.
func (r *Redis) PublishTo(ctx context.Context, node string, m Message) error {
	return r.publishOn(ctx, r.nodeChannel(node), m)
}

func (r *Redis) publishOn(ctx context.Context, channel string, m Message) error {
	if err := r.commands.Publish(ctx, channel, m.encode()).Err(); err != nil {
		return fmt.Errorf("publish %s: %w", m.Topic, err)
	}
	r.metrics.published.WithLabelValues(m.Topic).Inc()
	return nil
}

// encode is topic, line break, region, line break, payload.
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

// Listen hands the messages of the regions and those for the node to h until
// ctx ends; it heals by itself when Redis goes away and comes back. It returns
// ctx's error.
func (r *Redis) Listen(ctx context.Context, node string, regions []location.Region, h Handler) error {
	channels := []string{r.nodeChannel(node)}
	for _, region := range regions {
		channels = append(channels, r.regionChannel(string(region)))
	}
	ears := listener{redis: r, channels: channels, queue: make(chan received, listenerBacklog), confirmed: map[string]bool{}}
	var team sync.WaitGroup
	team.Go(func() { ears.runSubscriptions(ctx) })
	team.Go(func() { r.publishEchoes(ctx, node) })
	defer team.Wait()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case it := <-ears.queue:
			if it.gap != "" {
				h.Gap(it.gap)
			} else {
				h.Message(it.Message)
			}
		}
	}
}

// A listener tells that nobody speaks from that nobody gets through by an echo:
// what its own node says to itself. The library's health check does not: it is
// content when a ping could be written, which a connection whose other end has
// silently gone allows for a quarter of an hour.
const (
	topicEcho    = "echo"
	echoInterval = time.Second
	silenceLimit = 3 * echoInterval
)

func (r *Redis) publishEchoes(ctx context.Context, node string) {
	for sleep(ctx, echoInterval) {
		// its absence is what counts
		_ = r.commands.Publish(ctx, r.nodeChannel(node), Message{Topic: topicEcho}.encode()).Err()
	}
}

// listener stands between go-redis, whose own channel drops without telling,
// and the handler. It belongs to the goroutine in listen.
type listener struct {
	redis         *Redis
	channels      []string
	queue         chan received
	confirmed     map[string]bool // channels confirmed since the last (re)connection
	hasSubscribed bool
	pendingGap    string // a gap that found the queue full
}

type received struct {
	Message
	gap string
}

// runSubscriptions subscribes, and again on another connection whenever this one went
// deaf.
func (l *listener) runSubscriptions(ctx context.Context) {
	for ctx.Err() == nil {
		sub := l.redis.commands.Subscribe(ctx, l.channels...)
		l.readMessages(ctx, sub)
		_ = sub.Close() // it is given up in any case
		clear(l.confirmed)
	}
}

// readMessages takes what arrives until ctx ends or nothing arrives any more.
func (l *listener) readMessages(ctx context.Context, sub *redis.PubSub) {
	in := sub.ChannelWithSubscriptions(redis.WithChannelSize(1024), redis.WithChannelHealthCheckInterval(time.Second))
	deaf := time.NewTimer(silenceLimit)
	defer deaf.Stop()
	for {
		var out chan received
		if l.pendingGap != "" {
			out = l.queue
		}

		select {
		case <-ctx.Done():
			return
		case out <- received{gap: l.pendingGap}:
			l.pendingGap = ""
		case v, ok := <-in:
			if !ok {
				return
			}
			deaf.Reset(silenceLimit)
			l.handleReply(v)
		case <-deaf.C:
			l.redis.log.Debug("nothing is heard from Redis, subscribing again")
			return
		}
	}
}

func (l *listener) handleReply(v any) {
	switch v := v.(type) {
	case *redis.Subscription:
		l.confirmChannel(v.Channel)
	case *redis.Message:
		m, err := decodeMessage([]byte(v.Payload))
		if err != nil {
			l.redis.metrics.dropped.WithLabelValues("malformed").Inc()
			return
		}
		if m.Topic != topicEcho {
			l.enqueueMessage(m)
		}
	}
}

// confirmChannel counts confirmations: when all channels have one, a subscription
// is complete, and every one but the first comes after a broken connection.
func (l *listener) confirmChannel(channel string) {
	if l.confirmed[channel] { // the round before broke off half-way
		clear(l.confirmed)
	}
	l.confirmed[channel] = true
	if len(l.confirmed) < len(l.channels) {
		return
	}

	clear(l.confirmed)
	why := GapReconnected
	if !l.hasSubscribed {
		l.hasSubscribed, why = true, GapSubscribed
	}

	l.enqueueGap(why)
}

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

// enqueueGap puts a gap into the queue, or owes it until there is room.
func (l *listener) enqueueGap(why string) {
	l.redis.metrics.gaps.WithLabelValues(why).Inc()
	select {
	case l.queue <- received{gap: why}:
	default:
		l.pendingGap = why
	}
}
