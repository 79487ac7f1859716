package node

import (
	"errors"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/tracing"
)

// offerHops are the hops of messages about an offer, by topic.
var offerHops = map[string]struct{ sent, heard *tracing.Kind }{
	topicOffer:      {tracing.OfferSent, tracing.OfferHeard},
	topicWithdraw:   {tracing.WithdrawSent, tracing.WithdrawHeard},
	topicDeclined:   {tracing.AnswerSent, tracing.AnswerHeard},
	topicDriverGone: {tracing.AnswerSent, tracing.AnswerHeard},
}

// hopTime returns the time, or zero if the hops of the offer's trip are not
// recorded.
func (t *offerTransport) hopTime(o dispatch.Offer) time.Time {
	if !t.tracer.Samples(string(o.Trip.ID)) {
		return time.Time{}
	}
	return t.tracer.Now()
}

// messageKey names the hop that sends a message about an offer.
func messageKey(topic string, o dispatch.Offer) string {
	if topic == topicOffer {
		return o.HopKey()
	}
	return topic + ":" + o.ID
}

// describe says what the message means; of an offer nothing.
func (m offerMessage) describe(topic string) string {
	switch {
	case topic == topicDeclined:
		return "declined"
	case topic == topicDriverGone && m.Reason == reasonBusy:
		return "the driver is not free"
	case topic == topicDriverGone:
		return "the driver's phone is gone"
	}
	return m.Reason
}

// recordHanded records an offer to a phone of this node, or to a driver who is
// known to be away.
func (t *offerTransport) recordHanded(o dispatch.Offer, began time.Time, err error) {
	if began.IsZero() {
		return
	}
	hop := tracing.OfferHanded.Hop(tracing.Offer, o.Nth)
	hop.Key, hop.Reason = o.HopKey(), "the driver's phone is at this node: a call in memory"
	if err != nil {
		hop.IsFailure, hop.Code, hop.Reason = true, "unreachable", err.Error()
		if errors.Is(err, dispatch.ErrBusy) {
			hop.Code = "busy"
		}
	}
	t.tracer.Record(string(o.Trip.ID), hop, began, t.tracer.Now())
}

// recordSent records a message to another node.
func (t *offerTransport) recordSent(to, topic string, m offerMessage, payload []byte, began time.Time, err error) {
	if began.IsZero() {
		return
	}
	hop := offerHops[topic].sent.Hop(tracing.Offer, m.Offer.Nth)
	hop.To, hop.Key, hop.Bytes, hop.Frame = tracing.Redis, messageKey(topic, m.Offer), len(payload), string(payload)
	hop.Reason = m.describe(topic)
	if topic == topicOffer {
		hop.Reason = "the driver's phone is at node " + to
	} else {
		hop.Cause = m.Offer.HopKey()
	}
	if err != nil {
		hop.IsFailure, hop.Code, hop.Reason = true, "unavailable", "Redis did not take the message for node "+to
	}
	t.tracer.Record(string(m.Offer.Trip.ID), hop, began, t.tracer.Now())
}

// recordHeard records a message of another node.
func (t *offerTransport) recordHeard(m events.Message, msg offerMessage) {
	if !t.tracer.Samples(string(msg.Offer.Trip.ID)) {
		return
	}
	hop := offerHops[m.Topic].heard.Hop(tracing.Offer, msg.Offer.Nth)
	hop.Cause, hop.Bytes, hop.Frame, hop.Reason = messageKey(m.Topic, msg.Offer), len(m.Payload), string(m.Payload), msg.describe(m.Topic)
	began, ended := receivedUntilNow(t.tracer, m)
	t.tracer.Record(string(msg.Offer.Trip.ID), hop, began, ended)
}
