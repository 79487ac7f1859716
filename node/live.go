package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/xray"
)

const (
	// liveEvery is how often a watcher gets what the mechanisms do. All watchers
	// share what was found, so that they cost no more than one.
	liveEvery = time.Second
	// liveShared is the least age at which it is found anew. It leaves room for
	// timers that are early.
	liveShared = liveEvery * 9 / 10
	// probeTimeout bounds the questions to the database and to Redis.
	probeTimeout = 700 * time.Millisecond
)

// liveFeed says what the node's mechanisms do. It looks only when it is asked.
// Its methods may be called from any goroutine.
type liveFeed struct {
	node  *Node
	ended chan struct{} // closed when the node stops

	mu    sync.Mutex // guards all below; held while it looks
	taken time.Time  // when live was
	live  xray.Live
	text  []byte // live as JSON
	lines *lineWatcher

	probing   sync.Mutex // guards lastProbe
	lastProbe probed
}

func newLiveFeed(n *Node) *liveFeed {
	return &liveFeed{node: n, ended: make(chan struct{}), lines: newLineWatcher()}
}

// run ends the streams when the node stops.
func (f *liveFeed) run(ctx context.Context) error {
	<-ctx.Done()
	close(f.ended)
	return ctx.Err()
}

// Live returns what the mechanisms do, as of a second ago at most. Rates are
// those since a few calls before, if these were not long ago. It blocks for less
// than a second.
func (n *Node) Live(ctx context.Context) xray.Live {
	live, _ := n.live.look(ctx)
	return live
}

// look returns what was found last, if that was less than a second ago, or looks
// again. It does not end with ctx, because others may wait for the result.
func (f *liveFeed) look(ctx context.Context) (xray.Live, []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.taken) >= liveShared {
		f.live = f.node.newLive(context.WithoutCancel(ctx), f.lines)
		f.text, _ = json.Marshal(f.live) // numbers and strings always encode
		f.taken = now
	}
	return f.live, f.text
}

// newLive looks at everything once.
func (n *Node) newLive(ctx context.Context, lines *lineWatcher) xray.Live {
	now, ring := n.clock.Now(), n.tracer.Ring()
	hops, seen := ring.Since(lines.seenHops)
	lines.seenHops = seen
	lines.takeHops(hops, now)

	r := n.takeReading(ctx)
	use := ring.Stats()
	live := xray.Live{AtMs: float64(now.UnixMicro()) / 1e3, Node: n.cfg.Name, Nodes: n.members.AliveNodes(),
		Lines: lines.describe(r, time.Now()), Stations: r.stations(now), Dots: lines.dots, Ledger: r.ledger(), Faults: []xray.Fault{},
		Newest: newestFinished(ring), Ring: xray.RingUse{Rides: use.Rides, Bytes: use.Bytes, Limit: use.Limit}}
	if n.cfg.Faults != nil {
		live.Faults = append(live.Faults, n.cfg.Faults()...)
	}
	return live
}

// newestFinished returns the trip that ended last, of those that began last;
// empty if none has ended.
func newestFinished(ring *tracing.Ring) (trip string) {
	var ended time.Time
	for _, kept := range ring.Trips(50) {
		if kept.Ended.After(ended) {
			trip, ended = kept.ID, kept.Ended
		}
	}
	return trip
}

// probed is what the database and Redis answered.
type probed struct {
	// The last that is known, while one of them does not answer.
	backlog    int       // rows of the outbox
	oldest     time.Time // when the first of them was written
	jobs, dead [2]int64  // of settlements and alerts

	noDatabase, noRedis error // why there was no answer now
}

// probeServers asks the database and Redis one question each, at the same time.
func (n *Node) probeServers(ctx context.Context) (p probed) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()

	var asking sync.WaitGroup
	asking.Go(func() { p.backlog, p.oldest, p.noDatabase = n.db.Backlog(ctx) })
	waiting, dead, err := n.redis.CountJobs(ctx, SettlementStream, SOSStream)
	p.noRedis = errors.Join(err, n.redis.CheckListening())
	asking.Wait()

	n.live.probing.Lock()
	defer n.live.probing.Unlock()
	last := n.live.lastProbe
	if p.noDatabase != nil {
		p.backlog, p.oldest = last.backlog, last.oldest
	}
	if err == nil {
		p.jobs, p.dead = [2]int64(waiting), [2]int64(dead)
	} else {
		p.jobs, p.dead = last.jobs, last.dead
	}
	n.live.lastProbe = p
	return p
}

// stations say what waits where.
func (r reading) stations(now time.Time) []xray.Station {
	backlog := xray.Station{Part: string(tracing.Outbox), Waiting: r.probe.backlog, Unit: "rows"}
	switch age := now.Sub(r.probe.oldest).Round(time.Second); {
	case r.probe.noDatabase != nil:
		backlog.Sentence = "The database does not answer."
	case r.probe.backlog > 0 && age >= heldAfter:
		backlog.Sentence = fmt.Sprintf("The oldest row has waited %s for Redis.", age)
	}

	jobs := xray.Station{Part: string(tracing.JobQueue), Waiting: int(r.probe.jobs[0] + r.probe.jobs[1]), Unit: "jobs"}
	letters := xray.Station{Part: string(tracing.JobQueue), Waiting: int(r.probe.dead[0] + r.probe.dead[1]), Unit: "dead letters"}
	if r.probe.noRedis != nil {
		jobs.Sentence = "Redis does not answer."
	}
	if letters.Waiting > 0 {
		letters.Sentence = "They were given up and wait for a person: ridehail queue list."
	}
	return []xray.Station{backlog, jobs, letters,
		{Part: string(tracing.Dispatch), Waiting: r.searching, Unit: "trips"},
		slowStation(tracing.RiderPhone, r.traffic.Riders.Slow), slowStation(tracing.DriverPhone, r.traffic.Drivers.Slow)}
}

func slowStation(part tracing.Part, slow int) xray.Station {
	s := xray.Station{Part: string(part), Waiting: slow, Unit: "slow phones"}
	if slow > 0 {
		s.Sentence = "Messages wait until these phones have read earlier ones."
	}
	return s
}
