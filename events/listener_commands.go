package events

import (
	"maps"
	"slices"
	"time"
)

// takeCommands returns the commands that tell the server what has changed. It
// notes them first, so that their answers find them.
func (k *link) takeCommands() []*command {
	k.l.mu.Lock()
	defer k.l.mu.Unlock()
	var begin, end []Channel
	for _, c := range k.revised {
		s := k.l.followed[c]
		wanted := c == k.echo || s != nil && s.on == k
		switch held := k.held[c]; {
		case wanted && held == nil:
			begin = append(begin, c)
			k.held[c] = &confirmation{}
		case !wanted && held != nil:
			end = append(end, c)
			delete(k.held, c)
		case wanted && held.came && s != nil:
			// It was unfollowed and followed again before the server knew.
			k.oweGapLocked(c)
		}
	}

	k.revised = nil
	was := len(k.sent)
	k.addCommandsLocked(false, end)
	k.addCommandsLocked(true, begin)
	k.tellGapsLocked()
	return slices.Clone(k.sent[was:])
}

// addCommandsLocked adds commands for channels, in a cluster at least one for
// each slot.
func (k *link) addCommandsLocked(subscribe bool, channels []Channel) {
	for _, slot := range k.l.redis.splitBySlot(channels) {
		for some := range slices.Chunk(slot, commandChannels) {
			k.number++
			c := &command{number: k.number, subscribe: subscribe, channels: some}
			for _, channel := range some {
				if !subscribe {
					break
				}
				k.held[channel].number = k.number
				if s := k.l.followed[channel]; s != nil && s.owed == GapReconnected {
					c.regained++
				}
			}
			k.regained += c.regained
			k.sent = append(k.sent, c)
		}
	}
}

// gaps are what the confirmations of one connection have told and the handler
// was not told yet.
type gaps struct {
	subscribed, reconnected []Channel
	since                   time.Time // of the first of subscribed
}

// gapDelay is how long a gap waits for further confirmations at most.
const gapDelay = 20 * time.Millisecond

func (g *gaps) add(why string, c Channel) {
	switch why {
	case GapSubscribed:
		if len(g.subscribed) == 0 {
			g.since = time.Now()
		}
		g.subscribed = append(g.subscribed, c)
	case GapReconnected:
		g.reconnected = append(g.reconnected, c)
	}
}

// tellGapsLocked hands gaps to the handler: those of new channels when no
// confirmation is on its way or it takes long, those of a lost connection when
// all its channels are subscribed again.
func (k *link) tellGapsLocked() {
	g := &k.gaps
	if len(g.reconnected) > 0 && k.regained == 0 {
		if k.server == "" {
			g.reconnected = nil // these are all
		} else {
			k.l.settleLocked(g.reconnected)
		}
		k.l.enqueueGap(GapReconnected, g.reconnected)
		g.reconnected = nil
	}
	if len(g.subscribed) > 0 && (len(k.sent) == 0 || time.Since(g.since) >= gapDelay) {
		k.l.enqueueGap(GapSubscribed, g.subscribed)
		g.subscribed = nil
	}
}

// settledAfter is how long a publisher takes at most to find the new master
// after a failover. Until then it may publish at the former one, which takes
// messages and may lose them.
const settledAfter = 3 * echoInterval

// settleLocked makes a gap of channels of a cluster be told again.
func (l *Listener) settleLocked(channels []Channel) {
	for _, c := range channels {
		l.unsettled[c] = true
	}
	l.settledAt = time.Now().Add(settledAfter)
}

// tellSettled tells again the gap of the channels of settleLocked.
func (l *Listener) tellSettled(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.settledAt) {
		return
	}

	maps.DeleteFunc(l.unsettled, func(c Channel, _ bool) bool { return l.followed[c] == nil })
	if len(l.unsettled) > 0 {
		l.enqueueGap(GapReconnected, slices.Collect(maps.Keys(l.unsettled)))
		clear(l.unsettled)
	}
}
