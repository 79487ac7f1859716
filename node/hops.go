package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// recordRide records the whole ride, once: by the node that committed its end.
func (n *Node) recordRide(t trips.Trip) {
	if t.State.IsActive() || !n.tracer.Samples(string(t.ID)) {
		return
	}
	hop := tracing.Ride.Hop("", 0)
	hop.Key, hop.Reason = tracing.RootKey, string(t.State)
	n.tracer.Record(string(t.ID), hop, t.RequestedAt, t.EndedAt)
}

// recordHeardEvent records that a published trip event was heard. A node may
// hear one several times: as the owner of the trip's region, for the rider's
// phone and for the driver's.
func (n *Node) recordHeardEvent(m events.Message, ev trips.Event) {
	id := string(ev.Trip.ID)
	if !n.tracer.Samples(id) {
		return
	}
	hop := n.newHeard(m, tracing.PhaseOf(ev.Kind), 0, tracing.EventID(ev.Seq()))
	hop.Frame = string(m.Payload)
	began, ended := receivedUntilNow(n.tracer, m)
	n.tracer.Record(id, hop, began, ended)
}

// recordHeardNews records that a chat message or a receipt was heard. The words
// of a chat are left out.
func (n *Node) recordHeardNews(m events.Message) {
	isChat := m.Topic == string(trips.TopicChat)
	if n.tracer == nil || !isChat && m.Topic != string(trips.TopicReceipt) {
		return
	}
	var about struct {
		Trip string `json:"trip"`
		Seq  uint32 `json:"seq"`
	}
	if json.Unmarshal(m.Payload, &about) != nil || !n.tracer.Samples(about.Trip) {
		return // what cannot be read is reported by the gateway
	}

	hop := n.newHeard(m, tracing.Receipt, 0, tracing.ReceiptID)
	if isChat {
		hop = n.newHeard(m, tracing.Chat, int(about.Seq), tracing.ChatID(about.Seq))
	}
	began, ended := receivedUntilNow(n.tracer, m)
	n.tracer.Record(about.Trip, hop, began, ended)
}

// newHeard returns the hop of a message of the outbox that was heard.
func (n *Node) newHeard(m events.Message, phase tracing.Phase, nth int, id string) tracing.Hop {
	hop := tracing.Heard.Hop(phase, nth)
	hop.Cause, hop.Bytes, hop.Reason = "publish:"+id, len(m.Payload), n.describeUse(m.Channel)
	return hop
}

// describeUse says for whom this node hears a channel.
func (n *Node) describeUse(c events.Channel) string {
	user, isUser := events.UserOf(c)
	switch {
	case isUser && n.news.hasSession(user):
		return fmt.Sprintf("for the %s's phone at this node", user.Role)
	case isUser:
		return fmt.Sprintf("not used: the %s has no phone at this node any more", user.Role)
	case c == events.NodeChannel(n.cfg.Name):
		return "this node owns the pickup's region and dispatches the trip"
	}
	return "for phones at this node, on the channel of an earlier build"
}

// receivedUntilNow returns when a message was received, and the time now.
func receivedUntilNow(t *tracing.Tracer, m events.Message) (began, now time.Time) {
	now = t.Now()
	if m.ReceivedAt.IsZero() {
		return now, now
	}
	return m.ReceivedAt, now
}

// formerOwner returns which node had a region before the nodes changed. If this
// node came with that change, it is the one that has the region while this node
// is away.
func (n *Node) formerOwner(region location.Region) dispatch.FormerOwner {
	alive := n.members.AliveNodes()
	former, ago := n.members.FormerOwner(region)
	if former != "" && former != n.cfg.Name {
		return dispatch.FormerOwner{Node: former, IsAlive: slices.Contains(alive, former), Until: n.clock.Now().Add(-ago)}
	}
	others := slices.DeleteFunc(alive, func(node string) bool { return node == n.cfg.Name })
	return dispatch.FormerOwner{Node: events.RegionOwner(region, others), IsAlive: true}
}

// fixSampler chooses the positions that are recorded: of a trip that is sampled,
// the first of each half second of the phone's clock. Nodes choose alike, but
// for the first position that a node hears: it may record one more. One
// goroutine may use it.
type fixSampler struct {
	tracer *tracing.Tracer
	last   map[trips.DriverID]sampledFix
}

type sampledFix struct {
	trip trips.TripID
	slot int64
}

const (
	fixSlot = 500 * time.Millisecond
	// maxSampledCars bounds the cars that a fixSampler remembers. When it is
	// full it forgets all, which records a position more of each.
	maxSampledCars = 4096
)

func newFixSampler(t *tracing.Tracer) *fixSampler {
	return &fixSampler{tracer: t, last: map[trips.DriverID]sampledFix{}}
}

// samples reports whether a position is recorded. It costs nothing for a trip
// that is not sampled.
func (s *fixSampler) samples(id trips.DriverID, trip trips.TripID, at time.Time) bool {
	if !s.tracer.Samples(string(trip)) {
		return false
	}
	if len(s.last) >= maxSampledCars {
		clear(s.last)
	}
	now := sampledFix{trip, at.UnixMilli() / fixSlot.Milliseconds()}
	was := s.last[id]
	s.last[id] = now
	return was != now
}

// The keys of the hops of a position.
func fixKey(seq uint32) string { return fmt.Sprint("fix:", seq) }
func carKey(seq uint32) string { return fmt.Sprint("car:", seq) }
