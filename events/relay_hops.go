package events

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// relayHops records the hops of sampled messages on their way through a relay.
// It belongs to the goroutine of Relay.Run.
type relayHops struct {
	tracer   *tracing.Tracer // nil: no hop is recorded
	node     string
	now      func() time.Time
	leaseTTL time.Duration

	// kept are sampled messages that were read and are still in the outbox.
	kept map[outboxRow]*keptMessage
	// Redis took no writes between these, when it was last away.
	awaySince, awayUntil time.Time
	holders              []string         // of each shard, as the database said last
	takeovers            map[int]takeover // by shard, until its messages were read
}

// outboxRow names a row of the outbox.
type outboxRow struct {
	shard int
	xid   uint64
	id    int64
}

func rowOf(m trips.OutboxMessage) outboxRow { return outboxRow{m.Shard, m.XID, m.ID} }

// keptMessage is a sampled message that has not left the outbox.
type keptMessage struct {
	trip        trips.TripID
	failedAt    time.Time // when Redis first did not take it; zero: it did not fail
	isPublished bool
}

// takeover is a shard that this node took from another one.
type takeover struct {
	from string
	at   time.Time
}

// sampledMessage is a message of a batch whose hops are recorded.
type sampledMessage struct {
	trips.OutboxMessage
	place    int // in the batch
	identity string
	phase    tracing.Phase
	nth      int
	*keptMessage
}

// newSampledMessage reads from a payload which message of its trip it is; nil if
// that cannot be read.
func newSampledMessage(m trips.OutboxMessage, place int) *sampledMessage {
	s := &sampledMessage{OutboxMessage: m, place: place}
	switch m.Topic {
	case trips.TopicTrip:
		var ev trips.Event
		if json.Unmarshal(m.Payload, &ev) != nil {
			return nil
		}
		s.identity, s.phase = tracing.EventID(ev.Seq()), tracing.PhaseOf(ev.Kind)
	case trips.TopicChat:
		var message struct {
			Seq uint32 `json:"seq"`
		}
		if json.Unmarshal(m.Payload, &message) != nil {
			return nil
		}
		s.identity, s.phase, s.nth = tracing.ChatID(message.Seq), tracing.Chat, int(message.Seq)
	case trips.TopicReceipt:
		s.identity, s.phase = tracing.ReceiptID, tracing.Receipt
	default:
		return nil
	}
	return s
}

// hop returns a hop of the message in a batch of so many.
func (s *sampledMessage) hop(kind *tracing.Kind, batch int) tracing.Hop {
	h := kind.Hop(s.phase, s.nth)
	h.Cause, h.Bytes = "commit:"+s.identity, len(s.Payload)
	h.Batch = batch
	return h
}

// sample returns the sampled messages of a batch that was just read, and records
// how long those waited that are read for the first time.
func (r *relayHops) sample(messages []trips.OutboxMessage, isLast bool) (sampled []*sampledMessage) {
	var now time.Time
	for i, m := range messages {
		if !r.tracer.Samples(string(m.Trip)) {
			continue
		}
		s := newSampledMessage(m, i)
		if s == nil {
			continue
		}
		if now.IsZero() {
			now = r.now()
		}

		if s.keptMessage = r.kept[rowOf(m)]; s.keptMessage == nil {
			s.keptMessage = &keptMessage{trip: m.Trip}
			r.kept[rowOf(m)] = s.keptMessage
			r.recordWait(s, len(messages), now)
		}
		sampled = append(sampled, s)
	}

	if r.recordTakeovers(messages, sampled); isLast {
		clear(r.takeovers)
	}
	return sampled
}

// recordWait records how long a message was in the outbox. It was written by the
// database's clock, which this node's follows.
func (r *relayHops) recordWait(s *sampledMessage, batch int, now time.Time) {
	h := s.hop(tracing.OutboxWait, batch)
	if s.At.Before(r.awayUntil) {
		h.Code = "redis_away"
		h.Reason = fmt.Sprintf("Redis took no writes for %v, and the relay waited for it.", r.awayUntil.Sub(r.awaySince).Round(time.Millisecond))
	}
	r.tracer.Record(string(s.Trip), h, s.At, now)
}

// noteAway notes that Redis takes no writes, or does again.
func (r *relayHops) noteAway(isAway bool) {
	if r.tracer == nil {
		return
	}
	if isAway {
		r.awaySince, r.awayUntil = r.now(), time.Time{}
	} else {
		r.awayUntil = r.now()
	}
}

// noteHolders notes which shards this node has from another one, as the database
// says.
func (r *relayHops) noteHolders(holders []string, isHeld func(shard int) bool) {
	if r.tracer == nil {
		return
	}
	for shard, holder := range holders {
		if shard < len(r.holders) && holder == r.node && !isHeld(shard) {
			if from := r.holders[shard]; from != "" && from != r.node {
				r.takeovers[shard] = takeover{from, r.now()}
			}
		}
		if holder != r.node {
			r.forgetShard(shard)
		}
	}
	r.holders = holders
}

// recordTakeovers records, once for each trip, that its messages waited for the
// lease of a relay that had died. A relay that gives a shard up lets no message
// wait for a tenth of a lease, and one that died lets all wait for two thirds.
func (r *relayHops) recordTakeovers(messages []trips.OutboxMessage, sampled []*sampledMessage) {
	if len(r.takeovers) == 0 {
		return
	}
	waited := map[int]bool{}
	for _, m := range messages {
		taken := r.takeovers[m.Shard]
		waited[m.Shard] = waited[m.Shard] || !taken.at.IsZero() && taken.at.Sub(m.At) >= r.leaseTTL/10
	}

	told := map[trips.TripID]bool{}
	for _, s := range sampled {
		taken := r.takeovers[s.Shard]
		if !waited[s.Shard] || told[s.Trip] || !s.At.Before(taken.at) {
			continue
		}
		told[s.Trip] = true
		h := tracing.TakenOver.Hop(tracing.Takeover, 0)
		h.To, h.Cause = tracing.Outbox, "commit:"+s.identity
		h.Reason = fmt.Sprintf("The relay of %s had this part of the outbox and fell silent; %s took it over when the lease ended.", taken.from, r.node)
		r.tracer.Record(string(s.Trip), h, s.At, taken.at)
	}
}

// recordAway records that no message of a batch was taken.
func (r *relayHops) recordAway(sampled []*sampledMessage, batch int, why error, began, ended time.Time) {
	for _, s := range sampled {
		r.recordFailure(s, tracing.Publish, batch, why, began, ended)
	}
}

// timeOf returns the time if messages are sampled, and zero otherwise.
func (r *relayHops) timeOf(sampled []*sampledMessage) (now time.Time) {
	if len(sampled) > 0 {
		now = r.now()
	}
	return now
}

// recordFailure records that a message was not taken: once for each trip as long
// as its messages are not.
func (r *relayHops) recordFailure(s *sampledMessage, kind *tracing.Kind, batch int, why error, began, ended time.Time) {
	isTold := false
	for _, k := range r.kept {
		isTold = isTold || k.trip == s.Trip && !k.failedAt.IsZero()
	}
	if s.failedAt.IsZero() {
		s.failedAt = ended
	}
	if isTold {
		return
	}

	h := s.hop(kind, batch)
	h.IsFailure, h.Code, h.Reason = true, "unavailable", "Redis did not take it: "+why.Error()
	if isRefusal(why) {
		h.Code, h.Reason = "refused", "Redis refused it: "+explainRefusal(why).Error()
	}
	r.tracer.Record(string(s.Trip), h, began, ended)
}

// recordPublished records a batch that Redis answered, message by message: those
// that went the usual way share one hop.
func (r *relayHops) recordPublished(sampled []*sampledMessage, sent [][]redis.Cmder, began, ended time.Time) {
	var shared []tracing.Shared
	for _, s := range sampled {
		var failed redis.Cmder
		for _, cmd := range sent[s.place] {
			if failed == nil && cmd.Err() != nil {
				failed = cmd
			}
		}
		if failed != nil {
			kind := tracing.Publish
			if failed.Name() == "xadd" {
				kind = tracing.JobAdded
			}
			r.recordFailure(s, kind, len(sent), failed.Err(), began, ended)
			continue
		}

		r.recordJob(s, sent[s.place], len(sent), began, ended)
		if len(sent) > 1 && s.failedAt.IsZero() && !s.isPublished {
			shared = append(shared, tracing.Shared{ID: string(s.Trip), Phase: s.phase, Nth: s.nth,
				Key: "publish:" + s.identity, Cause: "commit:" + s.identity})
		} else {
			r.tracer.Record(string(s.Trip), s.publishHop(len(sent), ended), began, ended)
		}
		s.isPublished, s.failedAt = true, time.Time{}
	}

	if len(shared) > 0 {
		h := tracing.Publish.Hop("", 0)
		h.Batch = len(sent)
		r.tracer.RecordBatch(shared, h, began, ended)
	}
}

// publishHop returns the hop of a message that was taken, with what went before.
func (s *sampledMessage) publishHop(batch int, now time.Time) tracing.Hop {
	h := s.hop(tracing.Publish, batch)
	switch {
	case s.isPublished:
		h.Code, h.Reason = "again", "It had been published, but its row could not leave the outbox; those who have it leave it out."
		return h
	case !s.failedAt.IsZero():
		h.Code = "late"
		h.Reason = fmt.Sprintf("It waited %v until Redis took it.", now.Sub(s.failedAt).Round(time.Millisecond))
	}
	h.Key = "publish:" + s.identity
	return h
}

// recordJob records that the message was also added to a stream, if it was.
func (r *relayHops) recordJob(s *sampledMessage, sent []redis.Cmder, batch int, began, ended time.Time) {
	for _, cmd := range sent {
		if cmd.Name() != "xadd" {
			continue
		}
		h := s.hop(tracing.JobAdded, batch)
		h.Phase, h.Nth, h.Key = tracing.Charge, 0, jobKey
		if s.isPublished {
			h.Key, h.Code, h.Reason = "", "again", "The job had been added; a second one finds the trip charged."
		}
		r.tracer.Record(string(s.Trip), h, began, ended)
	}
}

// jobKey is the key of job_added.
const jobKey = "job"

// forget forgets messages that have left the outbox.
func (r *relayHops) forget(told []trips.OutboxMessage) {
	for _, m := range told {
		if len(r.kept) == 0 {
			return
		}
		delete(r.kept, rowOf(m))
	}
}

// forgetShard forgets the messages of a shard that another node relays.
func (r *relayHops) forgetShard(shard int) {
	for row := range r.kept {
		if row.shard == shard {
			delete(r.kept, row)
		}
	}
}
