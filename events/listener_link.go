package events

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// link is a listener's connection to one server. Two goroutines use it: run
// writes, read reads. The library would subscribe anew by itself on a new
// connection, where in a cluster its one command for all channels fails. So a
// link ends with its connection, and the listener makes another.
type link struct {
	l       *Listener
	server  string
	client  *redis.Client
	renewal <-chan struct{} // closed when it must end
	wake    chan struct{}   // holds a signal when run has something to do

	hears  atomic.Bool  // all was subscribed once
	silent atomic.Int64 // when it ends unless something arrives, in Unix nanoseconds

	// Guarded by l.mu:
	echo     Channel                   // proves that the connection works; "": none for now
	revised  []Channel                 // followed or unfollowed since the last command
	held     map[Channel]*confirmation // what the server was told to subscribe
	sent     []*command                // what the server has not answered yet, in order
	number   int                       // of the last command
	regained int                       // channels in sent that a lost connection had
	gaps     gaps
}

// command is one SUBSCRIBE or UNSUBSCRIBE.
type command struct {
	number    int
	subscribe bool
	channels  []Channel
	answered  int // of the channels
	regained  int // of the channels, those that a lost connection had
}

// confirmation is what the server said of a channel.
type confirmation struct {
	number int // of the command that subscribes
	came   bool
}

// commandChannels is how many channels one command has at most. The connection
// is locked while a command is written.
const commandChannels = 1000

// newLink makes the link for channels. Its first command subscribes the echo.
func newLink(l *Listener, h *home) *link {
	k := &link{l: l, server: h.server, client: h.client, renewal: l.redis.sessions.renewal(), echo: h.echo,
		wake: make(chan struct{}, 1), held: map[Channel]*confirmation{}}
	k.extend(silenceLimit)
	k.reviseLocked(h.echo)
	return k
}

// extend makes the link end after a silence from now on.
func (k *link) extend(silence time.Duration) { k.silent.Store(time.Now().Add(silence).UnixNano()) }

// reviseLocked makes run compare what is followed with what was told the server.
func (k *link) reviseLocked(c Channel) {
	k.revised = append(k.revised, c)
	signalWake(k.wake)
}

// run keeps the server told of what is followed, until the connection ends or
// falls silent, subscriptions must be renewed, or ctx ends.
func (k *link) run(ctx context.Context) {
	sub := k.client.Subscribe(ctx) // connects with the first command
	var reading sync.WaitGroup
	ended := make(chan struct{})
	defer k.l.onLinkEnded(k)
	defer reading.Wait()
	defer sub.Close()

	silence := time.NewTimer(silenceLimit)
	defer silence.Stop()
	for connected := false; ; {
		for _, c := range k.takeCommands() {
			if err := k.send(ctx, sub, c); err != nil {
				k.l.redis.log.Debug("cannot subscribe", "road", k.l.cfg.Name, "server", k.server, "err", err)
				return
			}
			if !connected {
				connected, ctx = true, withoutDialing(ctx)
				reading.Go(func() { defer close(ended); k.read(ctx, sub) })
			}
		}

		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-k.renewal:
			return
		case <-k.wake:
		case <-silence.C:
		}
		left := time.Until(time.Unix(0, k.silent.Load()))
		if left <= 0 {
			k.l.redis.log.Debug("no echo from Redis; subscribing again", "road", k.l.cfg.Name, "server", k.server)
			k.l.redis.renewSubscriptions()
			return
		}
		silence.Reset(left)
	}
}

// send writes a command.
func (k *link) send(ctx context.Context, sub *redis.PubSub, c *command) error {
	names := make([]string, len(c.channels))
	for i, channel := range c.channels {
		names[i] = k.l.redis.channelName(channel)
	}

	switch sharded := k.l.redis.cluster != nil; {
	case sharded && c.subscribe:
		return sub.SSubscribe(ctx, names...)
	case sharded:
		return sub.SUnsubscribe(ctx, names...)
	case c.subscribe:
		return sub.Subscribe(ctx, names...)
	}
	return sub.Unsubscribe(ctx, names...)
}

// read handles what arrives until the connection ends.
func (k *link) read(ctx context.Context, sub *redis.PubSub) {
	for {
		v, err := sub.Receive(ctx)
		if isRefusal(err) {
			err = k.onRefusal(err)
		}
		if err == nil {
			k.extend(silenceLimit)
			err = k.onReply(v)
		}
		if err != nil {
			k.l.redis.log.Debug("a subscription ended", "road", k.l.cfg.Name, "server", k.server, "err", err)
			return
		}
	}
}

// onReply takes a message, or the answer for one channel of a command.
func (k *link) onReply(v any) error {
	switch v := v.(type) {
	case *redis.Subscription:
		return k.onConfirmation(v.Kind, k.l.redis.channelNamed(v.Channel))
	case *redis.Message:
		from := k.l.redis.channelNamed(v.Channel)
		k.l.redis.metrics.countReceived(from, len(v.Payload))
		m, err := decodeMessage(v.Payload)
		if err != nil {
			k.l.redis.metrics.dropped.WithLabelValues("malformed").Inc()
			return nil
		}
		if m.Topic != topicEcho && k.serves(from) {
			m.Channel, m.ReceivedAt = from, k.l.redis.tracer.Now()
			k.l.enqueueMessage(m)
		}
	}
	return nil
}

// serves reports whether a channel is heard on this connection. In a cluster it
// may have moved to another one, which hears the same messages: a former master
// that has become a replica repeats what its master publishes.
func (k *link) serves(c Channel) bool {
	if k.server == "" {
		return true
	}
	k.l.mu.Lock()
	defer k.l.mu.Unlock()
	s := k.l.followed[c]
	return s != nil && s.on == k
}

var errConfused = errors.New("an answer to no command")

// onConfirmation takes the answer for one channel of the oldest command. An end
// that no command asked for means that the channel has another server now.
func (k *link) onConfirmation(kind string, channel Channel) error {
	k.l.mu.Lock()
	defer k.l.mu.Unlock()
	subscribed := !strings.HasSuffix(kind, "unsubscribe")
	if len(k.sent) == 0 || k.sent[0].subscribe != subscribed || k.sent[0].channels[k.sent[0].answered] != channel {
		if subscribed {
			return errConfused
		}
		k.onTakenAwayLocked(channel)
		return nil
	}

	c := k.sent[0]
	c.answered++
	if c.answered == len(c.channels) {
		k.popLocked()
	}
	if len(k.sent) == 0 {
		k.hears.Store(true)
	}
	if held := k.held[channel]; subscribed && held != nil && held.number == c.number {
		held.came = true
		k.oweGapLocked(channel)
	}
	k.tellGapsLocked()
	return nil
}

// popLocked removes the oldest command.
func (k *link) popLocked() {
	k.regained -= k.sent[0].regained
	k.sent = k.sent[1:]
}

// oweGapLocked notes the gap that a channel needs after its confirmation.
func (k *link) oweGapLocked(c Channel) {
	s := k.l.followed[c]
	if s == nil || s.on != k {
		return
	}
	k.gaps.add(s.owed, c)
	s.owed = ""
	k.l.setLateLocked(s, false)
	if k.l.late == 0 {
		k.l.refusal = nil
	}
}

// onTakenAwayLocked looks for the new server of a channel.
func (k *link) onTakenAwayLocked(c Channel) {
	held := k.held[c]
	if held == nil || !held.came {
		return // the answer to a command under way will tell
	}
	delete(k.held, c)
	k.releaseLocked(c)
	k.l.retryLocked([]Channel{c}, movedInterval)
	k.l.redis.refreshServers()
}

// releaseLocked leaves a channel without a connection.
func (k *link) releaseLocked(c Channel) {
	if c == k.echo {
		k.echo = ""
	} else if s := k.l.followed[c]; s != nil && s.on == k {
		k.l.loseLocked(s)
	}
}

// movedInterval is how long the servers are given to say where a channel went.
const movedInterval = 50 * time.Millisecond

// onRefusal takes an error instead of the answers to the oldest command. In a
// cluster that may mean that these channels have another server. The only server
// there is gets a new connection.
func (k *link) onRefusal(err error) error {
	k.l.mu.Lock()
	defer k.l.mu.Unlock()
	k.l.refusal = err
	if k.l.redis.cluster == nil || len(k.sent) == 0 || k.sent[0].answered > 0 {
		return err
	}

	c := k.sent[0]
	k.popLocked()
	if !c.subscribe {
		return nil
	}
	for _, channel := range c.channels {
		if held := k.held[channel]; held != nil && held.number == c.number {
			delete(k.held, channel)
			k.releaseLocked(channel)
		}
	}

	wait := retryInterval
	if hasAnyPrefix(err, "MOVED ") {
		wait = movedInterval
	}
	k.l.retryLocked(c.channels, wait)
	k.l.redis.refreshServers()
	k.tellGapsLocked()
	return nil
}

// onLinkEnded leaves the channels of a link to a new one. One that never worked
// is followed by the next a little later.
func (l *Listener) onLinkEnded(k *link) {
	l.redis.refreshServers()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.links, k.server)
	var lost []Channel
	for c, s := range l.followed {
		if s.on == k {
			l.loseLocked(s)
			lost = append(lost, c)
		}
	}

	if k.hears.Load() {
		l.waiting = append(l.waiting, lost...)
		signalWake(l.reassign)
	} else {
		l.retryLocked(lost, redialInterval)
	}
}

// redialInterval is the wait after a connection that never worked.
const redialInterval = 100 * time.Millisecond
