package events

import (
	"context"
	"fmt"
	"maps"

	"github.com/redis/go-redis/v9"
)

// splitBySlot returns the channels of each slot.
func (r *Redis) splitBySlot(channels []Channel) [][]Channel {
	if r.cluster == nil {
		return [][]Channel{channels}
	}
	index, slots := map[string]int{}, [][]Channel(nil)
	for _, c := range channels {
		tag := channelTag(c)
		i, ok := index[tag]
		if !ok {
			i = len(slots)
			index[tag], slots = i, append(slots, nil)
		}
		slots[i] = append(slots[i], c)
	}
	return slots
}

// owner is the server of a hash tag, as a channel of that tag has it.
type owner struct {
	server string
	of     Channel
}

// home is a server and the channels that need a connection to it.
type home struct {
	server   string
	client   *redis.Client
	echo     Channel // only if there is no connection yet
	channels []Channel
}

// findServers returns the servers of channels.
func (l *Listener) findServers(ctx context.Context, channels []Channel) (map[string]*home, error) {
	found := map[string]*home{}
	owners := map[string]owner{}
	for _, c := range channels {
		server, client, err := l.redis.serverOf(ctx, c)
		if err != nil {
			return nil, err
		}
		if found[server] == nil {
			found[server] = &home{server: server, client: client}
		}
		found[server].channels = append(found[server].channels, c)
		if l.redis.cluster != nil {
			owners[channelTag(c)] = owner{server, c}
		}
	}

	for server, h := range found {
		if l.hasLink(server) {
			continue
		}
		var err error
		if h.echo, err = l.redis.chooseEcho(ctx, server); err != nil {
			return nil, err
		}
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.owners, owners)
	return found, nil
}

func (l *Listener) hasLink(server string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.links[server] != nil
}

// moveChannels takes channels from the connections to servers that are not
// theirs any more.
func (l *Listener) moveChannels(ctx context.Context) {
	l.mu.Lock()
	owners, links := maps.Clone(l.owners), maps.Clone(l.links)
	l.mu.Unlock()

	moved := map[string]owner{}
	for tag, was := range owners {
		if now, _, err := l.redis.serverOf(ctx, was.of); err == nil && now != was.server {
			moved[tag] = owner{now, was.of}
		}
	}
	for _, k := range links {
		k.keepEcho(ctx)
	}
	if len(moved) == 0 {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.owners, moved)
	for c, s := range l.followed {
		if now, ok := moved[channelTag(c)]; ok && s.on != nil && s.on.server != now.server {
			s.on.reviseLocked(c)
			l.loseLocked(s)
			l.waiting = append(l.waiting, c)
		}
	}
}

// keepEcho chooses another echo channel if this one is not the server's any
// more. A server that has none ends the link.
func (k *link) keepEcho(ctx context.Context) {
	k.l.mu.Lock()
	was := k.echo
	k.l.mu.Unlock()
	if was != "" {
		if now, _, err := k.l.redis.serverOf(ctx, was); err != nil || now == k.server {
			return
		}
	}

	echo, err := k.l.redis.chooseEcho(ctx, k.server)
	k.l.mu.Lock()
	defer k.l.mu.Unlock()
	if err != nil {
		k.extend(0)
		signalWake(k.wake)
		return
	}
	k.echo = echo
	k.reviseLocked(was)
	k.reviseLocked(echo)
}

// chooseEcho returns an echo channel that a server publishes.
func (r *Redis) chooseEcho(ctx context.Context, server string) (Channel, error) {
	// The channels have few hash tags, so that of many names some are here, or no
	// channel is.
	const names = 4096
	for number := range names {
		c := r.beat.channel(number)
		found, _, err := r.serverOf(ctx, c)
		if err != nil {
			return "", err
		}
		if found == server {
			return c, nil
		}
	}
	return "", fmt.Errorf("no channel belongs to %s", server)
}
