package events

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Handler receives what a listener hears. Both methods are called from one
// goroutine, in order; after a gap the last messages before it may come again.
// They may call Follow and Unfollow.
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
	// GapSubscribed means that nothing is missed from now on. It follows each
	// Follow of a channel that was not followed, and names the channels. Those
	// that Redis confirmed together share a gap.
	GapSubscribed = "subscribed"
	// GapReconnected follows the loss of a connection, and in a cluster the move
	// of a channel to another server, when all is subscribed again. It names no
	// channels if there is only one server, because they are all. In a cluster it
	// comes once more when the publishers, too, must have found the new server.
	GapReconnected = "reconnected"
	// GapOverflowed means that the handler was too slow. It names the channels of
	// which messages were dropped if they are few.
	GapOverflowed = "overflowed"
)

// ListenerConfig says what a listener hears, and for whom.
type ListenerConfig struct {
	Name    string // in metrics and logs: what road it is
	Node    string // whose NodeChannel it follows from the start, unless Newest is set
	Handler Handler
	// Newest returns true for the channels of which only the newest message
	// matters: it replaces one that waits for the handler, in whose place in the
	// queue it waits. So at most one message of such a channel waits.
	//
	// With Newest, what is dropped is counted and leaves no gap, because newer
	// positions heal it. Without it, a gap follows each drop.
	Newest func(Channel) bool
}

// Listener hands what is published on the channels that it follows to a handler.
// It has connections, a queue and a goroutine of its own, so that one listener's
// flood never delays another's messages.
type Listener struct {
	redis    *Redis
	cfg      ListenerConfig
	queue    *queue
	reassign chan struct{} // holds a signal when channels need a connection

	mu       sync.Mutex // guards all below, and the fields of the links
	followed map[Channel]*subscription
	links    map[string]*link // by server
	waiting  []Channel        // channels that need a connection
	retrying []Channel        // so too, from retryAt on
	retryAt  time.Time
	owners   map[string]owner // in a cluster: of each hash tag in use
	late     int              // subscriptions that are late
	refusal  error            // what a server last answered to a subscription

	unsettled map[Channel]bool // of which a gap is told again at settledAt
	settledAt time.Time
}

// subscription is a channel that is followed.
type subscription struct {
	on   *link  // the connection that it is for; nil: none was chosen yet
	owed string // why a gap must follow its confirmation; "": none must
	late bool   // a connection or a server has failed it, and none serves it yet
}

// NewListener makes a listener. It hears nothing before Run.
func (r *Redis) NewListener(cfg ListenerConfig) *Listener {
	l := &Listener{redis: r, cfg: cfg, queue: newQueue(listenerBacklog, cfg.Newest), reassign: make(chan struct{}, 1),
		followed: map[Channel]*subscription{}, links: map[string]*link{}, owners: map[string]owner{}, unsettled: map[Channel]bool{}}
	if cfg.Newest == nil {
		l.Follow(NodeChannel(cfg.Node))
	}
	return l
}

// Follow makes the listener hear channels. It never blocks and may be called
// from any goroutine. A GapSubscribed tells when nothing more is missed; it
// comes once for channels that are followed already. Channels are a set: one
// Unfollow ends any number of Follow.
func (l *Listener) Follow(channels ...Channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range channels {
		if l.followed[c] == nil {
			l.followed[c] = &subscription{owed: GapSubscribed}
			l.waiting = append(l.waiting, c)
		}
	}
	signalWake(l.reassign)
}

// Unfollow ends Follow. It never blocks and may be called from any goroutine.
// Messages that are on their way may still come.
func (l *Listener) Unfollow(channels ...Channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range channels {
		s := l.followed[c]
		if s == nil {
			continue
		}
		l.setLateLocked(s, false)
		delete(l.followed, c)
		if s.on != nil {
			s.on.reviseLocked(c)
		}
	}
}

// Run hands messages to the handler, on the calling goroutine, until ctx ends.
// It subscribes again when Redis was away. It returns ctx's error. Call it once.
func (l *Listener) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { l.keepSubscribed(ctx) })
	defer running.Wait()
	l.redis.beat.join(l)
	defer l.redis.beat.leave(l)
	for ctx.Err() == nil {
		it, ok := l.queue.take()
		switch {
		case !ok:
			select {
			case <-ctx.Done():
			case <-l.queue.filled:
			}
		case it.gap != nil:
			l.cfg.Handler.OnGap(*it.gap)
		default:
			l.redis.metrics.handled.Inc()
			l.cfg.Handler.OnMessage(it.Message)
		}
	}
	return ctx.Err()
}

// keepSubscribed keeps each channel that is followed with a connection to its
// server until ctx ends.
func (l *Listener) keepSubscribed(ctx context.Context) {
	var links sync.WaitGroup
	defer links.Wait()
	for checked := time.Now(); ctx.Err() == nil; {
		if l.redis.cluster != nil && time.Since(checked) >= echoInterval {
			l.moveChannels(ctx)
			checked = time.Now()
			l.tellSettled(checked)
		}

		wait := time.NewTimer(l.assignChannels(ctx, &links))
		select {
		case <-ctx.Done():
		case <-l.reassign:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// assignChannels gives channels without a connection to that of their server,
// which it makes if needed. It returns when to call it again at the latest.
func (l *Listener) assignChannels(ctx context.Context, running *sync.WaitGroup) time.Duration {
	homeless, wait := l.takeWaiting(time.Now())
	if len(homeless) == 0 {
		return wait
	}

	found, err := l.findServers(ctx, homeless)
	if err != nil {
		l.redis.log.Debug("subscribing later", "err", err)
		l.redis.refreshServers()
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.retryLocked(homeless, retryInterval)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	for _, home := range found {
		k := l.links[home.server]
		if k == nil {
			k = newLink(l, home)
			l.links[home.server] = k
			running.Go(func() { k.run(ctx) })
		}
		for _, c := range home.channels {
			if s := l.followed[c]; s != nil && s.on == nil {
				s.on = k
				k.reviseLocked(c)
			}
		}
	}
	return wait
}

// takeWaiting removes and returns the channels that need a connection now, and
// how long the others wait.
func (l *Listener) takeWaiting(now time.Time) (channels []Channel, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait = echoInterval
	if len(l.retrying) > 0 {
		if left := l.retryAt.Sub(now); left > 0 {
			// A server that fails is not asked again for each new channel.
			return nil, min(left, wait)
		}
	}
	for _, c := range append(l.waiting, l.retrying...) {
		if s := l.followed[c]; s != nil && s.on == nil {
			channels = append(channels, c)
		}
	}
	l.waiting, l.retrying = nil, nil
	return channels, wait
}

// retryLocked puts channels off.
func (l *Listener) retryLocked(channels []Channel, wait time.Duration) time.Duration {
	l.retrying, l.retryAt = append(l.retrying, channels...), time.Now().Add(wait)
	signalWake(l.reassign)
	return wait
}

// loseLocked says that a channel has no connection any more.
func (l *Listener) loseLocked(s *subscription) {
	s.on = nil
	if s.owed == "" {
		s.owed = GapReconnected
	}
	l.setLateLocked(s, true)
}

func (l *Listener) setLateLocked(s *subscription, late bool) {
	switch {
	case late && !s.late:
		l.late++
	case !late && s.late:
		l.late--
	}
	s.late = late
}

// echoes returns the echo channels of the connections.
func (l *Listener) echoes() map[Channel]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[Channel]bool{}
	for _, k := range l.links {
		if k.echo != "" {
			all[k.echo] = true
		}
	}
	return all
}

// expectEcho ends the connections that do not hear an echo very soon.
func (l *Listener) expectEcho() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.links {
		k.extend(recoverySilence)
		signalWake(k.wake)
	}
}

// WaitingMessages returns how many messages wait for the handler.
func (l *Listener) WaitingMessages() int { return l.queue.countMessages() }

// checkHearing returns why this listener may miss messages now, or nil.
func (l *Listener) checkHearing() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	hears := len(l.links) > 0 && l.late == 0
	for _, k := range l.links {
		hears = hears && k.hears.Load()
	}
	switch {
	case hears:
		return nil
	case l.refusal != nil:
		return fmt.Errorf("%w: %w", errNotListening, explainRefusal(l.refusal))
	}
	return errNotListening
}

// enqueueMessage puts a message into the queue, or counts it as dropped.
func (l *Listener) enqueueMessage(m Message) {
	was := l.queue.putMessage(m)
	switch was {
	case queued:
		return
	case overwrote:
		l.redis.metrics.overwritten.WithLabelValues(l.cfg.Name).Inc()
		return
	case droppedAGap:
		l.redis.metrics.gaps.WithLabelValues(GapOverflowed).Inc()
	}
	l.redis.metrics.dropped.WithLabelValues("listener_full").Inc()
}

// enqueueGap puts a gap into the queue.
func (l *Listener) enqueueGap(why string, channels []Channel) {
	if l.queue.putGap(Gap{why, channels}) {
		l.redis.metrics.gaps.WithLabelValues(why).Inc()
	}
}
