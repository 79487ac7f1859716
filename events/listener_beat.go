package events

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

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

// beat sends the echoes of all listeners that run. The connections of several
// listeners to one server hear the same echo. Its zero value is ready.
type beat struct {
	mu        sync.Mutex // guards all below
	name      string     // of this client, in the names of its echo channels
	listeners map[*Listener]bool
	stop      func() // ends the echoes; nil while no listener runs
}

// join makes the echoes of a listener begin.
func (b *beat) join(l *Listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners == nil {
		b.listeners = map[*Listener]bool{}
	}
	b.listeners[l] = true
	if b.stop != nil {
		return
	}

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.redis.publishEchoes(ctx) })
	b.stop = func() { cancel(); running.Wait() }
}

// leave ends join, and waits for the last echo after the last listener.
func (b *beat) leave(l *Listener) {
	b.mu.Lock()
	delete(b.listeners, l)
	stop := func() {}
	if len(b.listeners) == 0 {
		stop, b.stop = b.stop, nil
	}
	b.mu.Unlock()
	stop()
}

// running returns the listeners that run.
func (b *beat) running() []*Listener {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]*Listener, 0, len(b.listeners))
	for l := range b.listeners {
		all = append(all, l)
	}
	return all
}

// echoes returns the echo channels that connections wait for.
func (b *beat) echoes() map[Channel]bool {
	all := map[Channel]bool{}
	for _, l := range b.running() {
		maps.Copy(all, l.echoes())
	}
	return all
}

// channel returns one of this client's echo channels.
func (b *beat) channel(number int) Channel {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.name == "" {
		b.name = rand.Text()
	}
	return Channel(fmt.Sprintf("echo:%s:%d", b.name, number))
}

// publishEchoes sends the echoes every echoInterval until ctx ends.
func (r *Redis) publishEchoes(ctx context.Context) {
	if r.cluster != nil {
		r.publishEchoesInCluster(ctx)
		return
	}

	known := r.sessions.generation.Load()
	for wait := echoInterval; sleep.For(ctx, wait); {
		wait = echoInterval
		// A message to a replica would return to a listener there, although other
		// nodes publish elsewhere.
		if err := r.CheckWritable(ctx); err != nil {
			wait = retryInterval
		} else if r.sessions.demoted.CompareAndSwap(true, false) {
			// What was published between is lost to a listener that stayed with
			// the former primary, even if it follows the new one now.
			known = r.sessions.generation.Load()
			r.renewSubscriptions()
		} else if now := r.sessions.generation.Load(); now != known {
			known = now
			for _, l := range r.beat.running() {
				l.expectEcho()
			}
		}
		for c := range r.beat.echoes() {
			r.publishEcho(ctx, c)
		}
	}
}

// publishEchoesInCluster sends each server its echo. A server that does not
// answer delays only its own: what the listeners hear from the others must not
// seem to end with it.
//
// It also tries each server by a write, which finds one that has become a
// replica: that would take messages and pass them on, or lose them in silence if
// it is cut off.
func (r *Redis) publishEchoesInCluster(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		for wait := echoInterval; sleep.For(ctx, wait); {
			wait = echoInterval
			if err := r.CheckWritable(ctx); err != nil { // it looked up the servers
				wait = retryInterval
			}
		}
	})
	for sleep.For(ctx, echoInterval) {
		for c := range r.beat.echoes() {
			running.Go(func() { r.publishEcho(ctx, c) })
		}
	}
}

// publishEcho sends an echo, or gives up before the next is due.
func (r *Redis) publishEcho(ctx context.Context, c Channel) {
	ctx, cancel := context.WithTimeout(ctx, echoInterval)
	defer cancel()
	pipe := r.commands.Pipeline()
	r.addPublish(ctx, pipe, c, Message{Topic: topicEcho})
	// An error is not needed here: the listener misses the echo.
	_, _ = pipe.Exec(ctx)
}

// renewSubscriptions makes all subscriptions anew. In a cluster only those move
// whose channel has another server now: the others were never with the server
// that could not serve.
func (r *Redis) renewSubscriptions() {
	if r.cluster != nil {
		r.refreshServers()
		return
	}
	r.sessions.renewSubscriptions()
}

var errNotListening = errors.New("not subscribed to the messages of other nodes")

// CheckListening returns an error unless messages of other nodes reach every
// listener that runs, as far as known. It asks nothing.
func (r *Redis) CheckListening() error {
	all := r.beat.running()
	for _, l := range all {
		if err := l.checkHearing(); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		return errNotListening
	}
	return nil
}
