package node

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/xray"
)

// Messages about recorded hops, on the channel of the node concerned. A node of
// an earlier build answers nothing.
const (
	topicXrayQuestion = "xray_question"
	topicXrayAnswer   = "xray_answer"
)

const (
	// xrayWithin bounds the wait for answers. A node that is later is missing.
	xrayWithin = 500 * time.Millisecond
	// xrayChunk bounds the hops of one message, in bytes of JSON.
	xrayChunk = 128 << 10
	// xrayBacklog is how many questions, and parts of answers, may wait. Further
	// ones are dropped, and a node is called missing.
	xrayBacklog = 256
	// keptTrips is how many trips a list has.
	keptTrips = 100

	// xrayPeersEvery is how often it is noted which nodes are alive. One that
	// died is named as missing by rides of xrayPeersFor.
	xrayPeersEvery = time.Second
	xrayPeersFor   = time.Hour
	// quoteBefore is how long before its request a ride may have begun.
	quoteBefore = 3 * time.Minute
)

// xrayExchange gathers the hops of a ride from all nodes, and answers other
// nodes that do.
type xrayExchange struct {
	node        string
	ring        *tracing.Ring // nil: this node records nothing
	alive       func() []string
	uncertainty func() (time.Duration, bool) // of this node's clock
	publish     func(ctx context.Context, messages []events.Addressed) error
	now         func() time.Time
	within      time.Duration // for answers
	log         *slog.Logger
	asked       chan heardPayload // questions
	answered    chan heardPayload // parts of answers

	mu        sync.Mutex // guards below
	questions map[string]*xrayGathering
	peers     map[string]time.Time // when a node was alive last

	medianMu sync.Mutex // guards below
	median   xray.Median
	medianAt time.Time
}

// heardPayload is a message, and when it was heard.
type heardPayload struct {
	payload []byte
	at      time.Time
}

// xrayQuestion asks for the hops of a trip, or without one for the trips.
type xrayQuestion struct {
	ID   string `json:"id"`
	Node string `json:"node"` // that asks
	Trip string `json:"trip,omitempty"`
}

// xrayAnswer is one of several parts of an answer.
type xrayAnswer struct {
	ID    string `json:"id"`
	Node  string `json:"node"` // that answers
	Part  int    `json:"part"`
	Parts int    `json:"parts"`

	// The answering node's clock in Unix nanoseconds, and how far it may be from
	// the database's; below 0: unknown.
	HeardAt     int64 `json:"heard_at"`
	SentAt      int64 `json:"sent_at"`
	Uncertainty int64 `json:"uncertainty"`

	Hops []json.RawMessage `json:"hops,omitempty"` // tracing.Recorded
	Kept *xray.Kept        `json:"kept,omitempty"`
}

// xrayGathering is a question that waits for answers. The exchange's mu guards
// it until done is closed.
type xrayGathering struct {
	sentAt  time.Time
	waiting map[string]*xrayParts // by node
	done    chan struct{}         // closed when none waits

	nodes []xray.Node
	hops  []tracing.Recorded
	kept  []xray.Kept
}

// xrayParts is what has come of a node's answer.
type xrayParts struct {
	heard map[int]bool
	doubt time.Duration
	hops  []tracing.Recorded
}

func newXrayExchange(n *Node) *xrayExchange {
	return &xrayExchange{node: n.cfg.Name, ring: n.tracer.Ring(), alive: n.members.AliveNodes, uncertainty: n.clock.Uncertainty,
		publish: n.redis.PublishAll, now: n.clock.Now, within: xrayWithin, log: n.log,
		asked: make(chan heardPayload, xrayBacklog), answered: make(chan heardPayload, xrayBacklog),
		questions: map[string]*xrayGathering{}, peers: map[string]time.Time{}}
}

// GatherRide returns the ride of a trip, as far as the nodes answer within 500
// ms; false if none of them knows a hop of it. Any goroutine may call it.
func (x *xrayExchange) GatherRide(ctx context.Context, trip trips.Trip) (xray.Ride, bool) {
	g := x.ask(ctx, string(trip.ID))
	own := x.ring.HopsOf(string(trip.ID))
	nodes := append(g.nodes, x.deadSince(trip.RequestedAt.Add(-quoteBefore))...)
	nodes = append(nodes, xray.Node{Name: x.node})
	ride := xray.Assemble(trip, append(g.hops, own...), nodes)
	return ride, len(g.hops)+len(own) > 0
}

// GatherTrips returns the trips that the nodes keep, the newest first.
func (x *xrayExchange) GatherTrips(ctx context.Context) xray.Kept {
	g := x.ask(ctx, "")
	all := xray.Kept{Nodes: append(g.nodes, xray.Node{Name: x.node}), Trips: []xray.KeptTrip{}}
	byID := map[string]xray.KeptTrip{}
	for _, kept := range append(g.kept, x.listKept()) {
		all.Bytes += kept.Bytes
		all.Limit += kept.Limit
		for _, t := range kept.Trips {
			byID[t.ID] = mergeKept(byID[t.ID], t)
		}
	}

	all.Kept = len(byID)
	all.Trips = slices.AppendSeq(all.Trips, maps.Values(byID))
	slices.SortFunc(all.Trips, func(a, b xray.KeptTrip) int {
		return cmp.Or(cmp.Compare(b.BeganMs, a.BeganMs), strings.Compare(a.ID, b.ID))
	})
	all.Trips = all.Trips[:min(len(all.Trips), keptTrips)]
	slices.SortFunc(all.Nodes, func(a, b xray.Node) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// mergeKept adds what another node keeps of a trip.
func mergeKept(a, b xray.KeptTrip) xray.KeptTrip {
	if a.ID == "" {
		return b
	}
	return xray.KeptTrip{ID: a.ID, BeganMs: min(a.BeganMs, b.BeganMs), EndedMs: max(a.EndedMs, b.EndedMs), Hops: a.Hops + b.Hops, Bytes: a.Bytes + b.Bytes}
}

// listKept returns the trips that this node keeps.
func (x *xrayExchange) listKept() xray.Kept {
	stats := x.ring.Stats()
	kept := xray.Kept{Bytes: stats.Bytes, Limit: stats.Limit}
	for _, t := range x.ring.Trips(keptTrips) {
		k := xray.KeptTrip{ID: t.ID, Hops: t.Hops, Bytes: t.Bytes, BeganMs: toMillis(t.Began)}
		if !t.Ended.IsZero() {
			k.EndedMs = toMillis(t.Ended)
		}
		kept.Trips = append(kept.Trips, k)
	}
	return kept
}

func toMillis(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }

const (
	medianRides = 100
	// medianFor is how long a median holds: it costs some milliseconds.
	medianFor = 5 * time.Second
)

// Median returns what the last finished rides of this node have in common.
func (x *xrayExchange) Median() xray.Median {
	x.medianMu.Lock()
	defer x.medianMu.Unlock()
	now := x.now()
	if !x.medianAt.IsZero() && now.Sub(x.medianAt) < medianFor {
		return x.median
	}

	var rides []xray.Ride
	for _, t := range x.ring.Trips(x.ring.Stats().Rides) {
		if t.Ended.IsZero() || len(rides) == medianRides {
			continue
		}
		rides = append(rides, xray.Assemble(trips.Trip{ID: trips.TripID(t.ID)}, x.ring.HopsOf(t.ID), []xray.Node{{Name: x.node}}))
	}
	x.median, x.medianAt = xray.MedianOf(rides), now
	return x.median
}

// ask asks all other nodes and waits for their answers.
func (x *xrayExchange) ask(ctx context.Context, trip string) *xrayGathering {
	ctx, cancel := context.WithTimeout(ctx, x.within)
	defer cancel()
	others := slices.DeleteFunc(x.alive(), func(name string) bool { return name == x.node })
	id, g := x.openQuestion(others)
	defer x.closeQuestion(id, g)
	if len(others) == 0 {
		return g
	}

	payload, err := json.Marshal(xrayQuestion{ID: id, Node: x.node, Trip: trip})
	if err == nil {
		var messages []events.Addressed
		for _, name := range others {
			messages = append(messages, events.Addressed{To: events.NodeChannel(name), Message: events.Message{Topic: topicXrayQuestion, Payload: payload}})
		}
		err = x.publish(ctx, messages)
	}
	if err != nil {
		x.log.Debug("other nodes were not asked for their hops", "err", err)
		return g
	}

	select {
	case <-g.done:
	case <-ctx.Done():
	}
	return g
}

func (x *xrayExchange) openQuestion(nodes []string) (id string, g *xrayGathering) {
	id, g = uuid.NewString(), &xrayGathering{sentAt: x.now(), waiting: map[string]*xrayParts{}, done: make(chan struct{})}
	for _, name := range nodes {
		g.waiting[name] = &xrayParts{heard: map[int]bool{}}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.questions[id] = g
	return id, g
}

// closeQuestion forgets a question. The nodes that did not answer it are
// missing.
func (x *xrayExchange) closeQuestion(id string, g *xrayGathering) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.questions, id)
	for name, parts := range g.waiting {
		g.nodes = append(g.nodes, xray.Node{Name: name, Missing: true, Doubt: xray.Micros(parts.doubt)})
		g.hops = append(g.hops, parts.hops...) // half an answer is better than none
	}
}

// hear keeps a message for run. Only the goroutine that listens to Redis calls
// it; it does not wait.
func (x *xrayExchange) hear(to chan heardPayload, payload []byte) {
	select {
	case to <- heardPayload{payload, x.now()}:
	default:
		x.log.Debug("too many messages about hops wait")
	}
}

// takeAnswer takes a part of an answer.
func (x *xrayExchange) takeAnswer(m heardPayload) {
	var a xrayAnswer
	if err := json.Unmarshal(m.payload, &a); err != nil {
		x.log.Warn("another node's hops cannot be read", "err", err)
		return
	}

	x.mu.Lock()
	defer x.mu.Unlock()
	g := x.questions[a.ID]
	if g == nil {
		return // it came too late
	}
	parts := g.waiting[a.Node]
	if parts == nil || parts.heard[a.Part] {
		return
	}
	if parts.heard[a.Part] = true; len(parts.heard) == 1 {
		parts.doubt = x.doubtOf(g.sentAt, m.at, &a)
	}
	for _, text := range a.Hops {
		var h tracing.Recorded
		if json.Unmarshal(text, &h) == nil {
			parts.hops = append(parts.hops, h)
		}
	}
	if a.Kept != nil {
		g.kept = append(g.kept, *a.Kept)
	}

	if len(parts.heard) >= a.Parts {
		delete(g.waiting, a.Node)
		g.nodes, g.hops = append(g.nodes, xray.Node{Name: a.Node, Doubt: xray.Micros(parts.doubt)}), append(g.hops, parts.hops...)
		if len(g.waiting) == 0 {
			close(g.done)
		}
	}
}

// doubtOf returns how far the answering node's clock may be from this one's. The
// round trip bounds it as in NTP. Both nodes also know how far they may be from
// the database's clock; that is closer on a slow way, unless the round trip
// contradicts it.
func (x *xrayExchange) doubtOf(sentAt, now time.Time, a *xrayAnswer) time.Duration {
	there := time.Duration(a.HeardAt - sentAt.UnixNano())
	back := time.Duration(a.SentAt - now.UnixNano())
	offset, halfTrip := (there+back)/2, max(there-back, 0)/2
	measured := offset.Abs() + halfTrip

	own, known := x.uncertainty()
	if claimed := own + time.Duration(a.Uncertainty); known && a.Uncertainty >= 0 && claimed >= offset.Abs()-halfTrip {
		return min(measured, claimed)
	}
	return measured
}

// run answers questions and takes answers until ctx ends, and notes which nodes
// are alive.
func (x *xrayExchange) run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { _ = sleep.Every(ctx, xrayPeersEvery, func(context.Context) { x.notePeers() }) })
	parts.Go(func() { handleHeard(ctx, x.answered, x.takeAnswer) })
	handleHeard(ctx, x.asked, func(m heardPayload) { x.answerQuestion(ctx, m) })
	return ctx.Err()
}

// handleHeard handles messages one by one until ctx ends.
func handleHeard(ctx context.Context, heard <-chan heardPayload, handle func(heardPayload)) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-heard:
			handle(m)
		}
	}
}

func (x *xrayExchange) answerQuestion(ctx context.Context, m heardPayload) {
	var q xrayQuestion
	if err := json.Unmarshal(m.payload, &q); err != nil || q.Node == "" || q.Node == x.node {
		x.log.Warn("another node's question for hops cannot be read", "err", err)
		return
	}
	if err := x.publish(ctx, x.makeAnswer(q, m.at)); err != nil {
		x.log.Debug("a question for hops was not answered", "from", q.Node, "err", err)
	}
}

// makeAnswer returns the messages that answer a question.
func (x *xrayExchange) makeAnswer(q xrayQuestion, heardAt time.Time) (messages []events.Addressed) {
	var parts []xrayAnswer
	if q.Trip == "" {
		kept := x.listKept()
		parts = append(parts, xrayAnswer{Kept: &kept})
	} else {
		for _, chunk := range chunkHops(x.ring.HopsOf(q.Trip)) {
			parts = append(parts, xrayAnswer{Hops: chunk})
		}
	}

	uncertainty, known := x.uncertainty()
	if !known {
		uncertainty = -1
	}
	for i, a := range parts {
		a.ID, a.Node, a.Part, a.Parts = q.ID, x.node, i, len(parts)
		a.HeardAt, a.SentAt, a.Uncertainty = heardAt.UnixNano(), x.now().UnixNano(), int64(uncertainty)
		payload, err := json.Marshal(a)
		if err != nil {
			x.log.Error("hops cannot be encoded", "err", err)
			return nil
		}
		messages = append(messages, events.Addressed{To: events.NodeChannel(q.Node), Message: events.Message{Topic: topicXrayAnswer, Payload: payload}})
	}
	return messages
}

// chunkHops returns the hops as JSON in chunks of at most xrayChunk bytes; one
// without hops if there are none.
func chunkHops(hops []tracing.Recorded) (chunks [][]json.RawMessage) {
	var chunk []json.RawMessage
	size := 0
	for i := range hops {
		text, err := json.Marshal(&hops[i])
		if err != nil {
			continue // no hop has what JSON cannot say
		}
		if size+len(text) > xrayChunk && len(chunk) > 0 {
			chunks = append(chunks, chunk)
			chunk, size = nil, 0
		}
		chunk, size = append(chunk, text), size+len(text)
	}
	return append(chunks, chunk)
}

// notePeers notes which other nodes are alive.
func (x *xrayExchange) notePeers() {
	now, alive := x.now(), x.alive()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, name := range alive {
		if name != x.node {
			x.peers[name] = now
		}
	}
	maps.DeleteFunc(x.peers, func(_ string, at time.Time) bool { return now.Sub(at) > xrayPeersFor })
}

// deadSince returns the nodes that were alive after a time and are not now:
// their hops went with them.
func (x *xrayExchange) deadSince(since time.Time) (dead []xray.Node) {
	alive := x.alive()
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, at := range x.peers {
		if at.After(since) && !slices.Contains(alive, name) {
			dead = append(dead, xray.Node{Name: name, Missing: true})
		}
	}
	return dead
}
