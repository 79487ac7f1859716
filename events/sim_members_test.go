package events

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

const (
	simTTL = 4 * time.Second // as a node has it
	// settled is when all nodes agree, after the last that could keep them from
	// it: the time a heartbeat lives, as much again in which those who were cut
	// off trust what they knew, the next heartbeat and its round trips.
	settled = 2*simTTL + simTTL/4 + 2*time.Second
)

// league is some nodes that own regions.
type league struct {
	*world
	regions []location.Region

	mu    sync.Mutex // guards all below
	nodes map[string]*member
	calm  time.Time // since when wires are whole; zero while they are not
	// since when nodes do not come or go either; zero while they do
	healed time.Time
	stir   time.Time // when something last happened to a process
	// since when
	orphan map[location.Region]time.Time
}

type member struct {
	*machine
	*Members
}

// Ownership only saves work, so two nodes may both believe in it for a while;
// but not for longer than they must, and no region is without a node that looks
// after it.
func TestSimulatedNodesAgreeWhoOwnsWhat(t *testing.T) {
	simulate(t, 20, func(w *world) {
		l := &league{world: w, nodes: map[string]*member{}, orphan: map[location.Region]time.Time{}}
		for i := range 7 {
			l.regions = append(l.regions, location.Region(fmt.Sprintf("85%02x", i)))
		}

		// Redis's clock is not ours
		w.jump(w.between(-5*time.Minute, 5*time.Minute))
		names := []string{"a", "b", "c"}
		for _, name := range names {
			l.join(name)
		}
		w.wg.Go(l.watch)

		for range 2 {
			l.trouble(names)
			l.heal(names)
			l.rest()
		}
	})
}

func (l *league) join(name string) {
	m := l.boot(name)
	n := &member{m, NewMembers(m.r, name, simTTL)}
	m.run(n.Members.Run)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[name] = n
}

// part makes a node end, with a word to the others or without; nil when it has
// already.
func (l *league) part(name string, end func(*machine)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.nodes[name]; n != nil {
		delete(l.nodes, name)
		end(n.machine)
	}
}

func (l *league) each(do func(*member)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.nodes {
		do(n)
	}
}

// trouble is a time in which everything fails that may, or only processes do.
func (l *league) trouble(names []string) {
	wires := l.chance(.6)
	l.mu.Lock()
	l.healed = time.Time{}
	if wires {
		l.calm = time.Time{}
	}
	l.mu.Unlock()

	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		longest := []time.Duration{time.Second, 6 * time.Second, 3 * settled}[l.number(3)]
		time.Sleep(l.between(longest/10, longest))
		name := names[l.number(len(names))]
		l.mu.Lock()
		l.stir = time.Now()
		n := l.nodes[name]
		l.mu.Unlock()

		switch what := l.number(10); {
		case n == nil:
			l.join(name)
		case what < 2:
			l.part(name, (*machine).die)
		case what < 3:
			l.part(name, (*machine).end)
		case what < 6:
			n.pause(l.between(100*time.Millisecond, 15*time.Second))
		case wires && what < 7:
			n.cut(l.between(time.Second, 15*time.Second))
		case wires && what < 8:
			l.each(func(n *member) { n.trouble(.4 * float64(l.number(2))) })
		case wires && what < 9:
			l.jump(l.between(-2*time.Second, 2*time.Second))
		case wires:
			l.forget()
		}
	}
}

// heal brings all nodes back and ends all faults.
func (l *league) heal(names []string) {
	for _, name := range names {
		l.mu.Lock()
		n := l.nodes[name]
		l.mu.Unlock()
		if n == nil {
			l.join(name)
			continue
		}
		n.recover()
	}

	l.mu.Lock()
	l.calm, l.healed = time.Now(), time.Now()
	l.mu.Unlock()
	time.Sleep(settled)
}

// rest is a time in which watch lets nothing pass, whatever Redis forgets, and
// although nodes stop for a moment. A stop may cost a heartbeat that was under
// way and make the next one late, so that two in a row would be too much.
func (l *league) rest() {
	for range 4 {
		if l.chance(.5) {
			l.each(func(n *member) { n.pause(l.between(0, simTTL/3)) })
		} else {
			l.forget()
		}

		time.Sleep(l.between(2*simTTL, 3*simTTL))
	}
}

// watch looks at all regions at all times.
func (l *league) watch() {
	for l.ctx.Err() == nil {
		time.Sleep(200 * time.Millisecond)
		l.look(time.Now())
	}
}

func (l *league) look(now time.Time) {
	flushed := l.lastFlush()
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.calm.IsZero() {
		clear(l.orphan)
		return
	}
	quiet := !l.healed.IsZero() && now.Sub(l.healed) >= settled
	for _, region := range l.regions {
		var owners, up []string
		for name, n := range l.nodes {
			if !n.paused() && n.Owns(region) {
				up = append(up, name)
			}
			if n.Owns(region) {
				owners = append(owners, name)
			}
		}

		if quiet && len(owners) != 1 {
			slices.Sort(owners)
			l.complain(fmt.Sprintf("region %s is owned by [%s], though all is well", region, strings.Join(owners, " ")))
		}

		if since, alone := l.orphan[region]; len(up) > 0 || len(l.nodes) == 0 {
			delete(l.orphan, region)
		} else if !alone {
			l.orphan[region] = now
		} else if from := later(later(since, l.calm), later(flushed, l.stirred())); now.Sub(from) > settled {
			l.complain(fmt.Sprintf("nobody looks after region %s for %s", region, now.Sub(from)))
		}
	}
}

// stirred is when something last happened that may move regions. Held by mu.
func (l *league) stirred() time.Time {
	at := l.stir
	for _, n := range l.nodes {
		n.machine.mu.Lock()
		at = later(at, n.awake) // it may be still to come
		n.machine.mu.Unlock()
	}
	return at
}
