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
	// settleTime is how long nodes may disagree after the last disturbance: the
	// life of a heartbeat, as much again in which nodes that were cut off trust
	// their last view, the next heartbeat, and its round trips.
	settleTime = 2*simTTL + simTTL/4 + 2*time.Second
)

// membershipSim is a simulation of nodes that own regions.
type membershipSim struct {
	*simWorld
	regions []location.Region

	mu    sync.Mutex // guards all below
	nodes map[string]*member
	// wiresWholeSince is zero while wires are cut.
	wiresWholeSince time.Time
	// quietSince is when nodes stopped to come and go; zero while they do.
	quietSince  time.Time
	disturbedAt time.Time // when something last happened to a process
	// ownerlessSince is when a region lost its last running owner.
	ownerlessSince map[location.Region]time.Time
}

type member struct {
	*machine
	*Members
}

// Ownership only saves work, so two nodes may both believe that they own a
// region for a while. But they may not for longer than settleTime, and every
// region must have an owner that runs.
func TestSimulatedNodesAgreeWhoOwnsWhat(t *testing.T) {
	runSimulation(t, 20, func(w *simWorld) {
		l := &membershipSim{simWorld: w, nodes: map[string]*member{}, ownerlessSince: map[location.Region]time.Time{}}
		for i := range 7 {
			l.regions = append(l.regions, location.Region(fmt.Sprintf("85%02x", i)))
		}

		// Redis's clock differs from the nodes' clocks.
		w.jumpClock(w.drawBetween(-5*time.Minute, 5*time.Minute))
		names := []string{"a", "b", "c"}
		for _, name := range names {
			l.startNode(name)
		}
		w.wg.Go(l.watchOwners)

		for range 2 {
			l.injectFaults(names)
			l.endFaults(names)
			l.injectHarmlessFaults()
		}
	})
}

func (l *membershipSim) startNode(name string) {
	m := l.bootMachine(name)
	n := &member{m, NewMembers(m.r, name, simTTL)}
	m.startPart(n.Members.Run)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[name] = n
}

// stopNode ends a node with end, unless it has ended already.
func (l *membershipSim) stopNode(name string, end func(*machine)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.nodes[name]; n != nil {
		delete(l.nodes, name)
		end(n.machine)
	}
}

func (l *membershipSim) forEachNode(do func(*member)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.nodes {
		do(n)
	}
}

// injectFaults is a time in which processes fail, and in most runs connections
// and Redis as well.
func (l *membershipSim) injectFaults(names []string) {
	wires := l.drawChance(.6)
	l.mu.Lock()
	l.quietSince = time.Time{}
	if wires {
		l.wiresWholeSince = time.Time{}
	}
	l.mu.Unlock()

	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		longest := []time.Duration{time.Second, 6 * time.Second, 3 * settleTime}[l.drawNumber(3)]
		time.Sleep(l.drawBetween(longest/10, longest))
		name := names[l.drawNumber(len(names))]
		l.mu.Lock()
		l.disturbedAt = time.Now()
		n := l.nodes[name]
		l.mu.Unlock()

		switch what := l.drawNumber(10); {
		case n == nil:
			l.startNode(name)
		case what < 2:
			l.stopNode(name, (*machine).crash)
		case what < 3:
			l.stopNode(name, (*machine).shutDown)
		case what < 6:
			n.pauseFor(l.drawBetween(100*time.Millisecond, 15*time.Second))
		case wires && what < 7:
			n.cutLines(l.drawBetween(time.Second, 15*time.Second))
		case wires && what < 8:
			l.forEachNode(func(n *member) { n.setFaultRate(.4 * float64(l.drawNumber(2))) })
		case wires && what < 9:
			l.jumpClock(l.drawBetween(-2*time.Second, 2*time.Second))
		case wires:
			l.scheduleFlush()
		}
	}
}

// endFaults starts all nodes again and ends all faults.
func (l *membershipSim) endFaults(names []string) {
	for _, name := range names {
		l.mu.Lock()
		n := l.nodes[name]
		l.mu.Unlock()
		if n == nil {
			l.startNode(name)
			continue
		}
		n.waitUntilWell()
	}

	l.mu.Lock()
	l.wiresWholeSince, l.quietSince = time.Now(), time.Now()
	l.mu.Unlock()
	time.Sleep(settleTime)
}

// injectHarmlessFaults is a time in which Redis loses its data and nodes pause
// for a moment, while watchOwners accepts no disagreement. One pause may cost
// the heartbeat under way and delay the next one, so two in a row would be too
// much.
func (l *membershipSim) injectHarmlessFaults() {
	for range 4 {
		if l.drawChance(.5) {
			l.forEachNode(func(n *member) { n.pauseFor(l.drawBetween(0, simTTL/3)) })
		} else {
			l.scheduleFlush()
		}

		time.Sleep(l.drawBetween(2*simTTL, 3*simTTL))
	}
}

// watchOwners checks the owners of all regions until the simulation ends.
func (l *membershipSim) watchOwners() {
	for l.ctx.Err() == nil {
		time.Sleep(200 * time.Millisecond)
		l.checkOwners(time.Now())
	}
}

func (l *membershipSim) checkOwners(now time.Time) {
	flushed := l.lastFlush()
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.wiresWholeSince.IsZero() {
		clear(l.ownerlessSince)
		return
	}
	quiet := !l.quietSince.IsZero() && now.Sub(l.quietSince) >= settleTime
	for _, region := range l.regions {
		var owners, up []string
		for name, n := range l.nodes {
			if !n.isPaused() && n.OwnsRegion(region) {
				up = append(up, name)
			}
			if n.OwnsRegion(region) {
				owners = append(owners, name)
			}
		}

		if quiet && len(owners) != 1 {
			slices.Sort(owners)
			l.reportViolation(fmt.Sprintf("region %s is owned by [%s], though all is well", region, strings.Join(owners, " ")))
		}

		if since, alone := l.ownerlessSince[region]; len(up) > 0 || len(l.nodes) == 0 {
			delete(l.ownerlessSince, region)
		} else if !alone {
			l.ownerlessSince[region] = now
		} else if from := laterOf(laterOf(since, l.wiresWholeSince), laterOf(flushed, l.lastDisturbance())); now.Sub(from) > settleTime {
			l.reportViolation(fmt.Sprintf("region %s has no owner for %s", region, now.Sub(from)))
		}
	}
}

// lastDisturbance returns when something last happened that may move regions.
// The caller holds mu.
func (l *membershipSim) lastDisturbance() time.Time {
	at := l.disturbedAt
	for _, n := range l.nodes {
		n.machine.mu.Lock()
		at = laterOf(at, n.pausedUntil) // it may be still to come
		n.machine.mu.Unlock()
	}
	return at
}
