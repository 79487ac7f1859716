package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/gateway"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/tracing"
)

// Direct messages between two nodes about an offer, on the channel of the node
// concerned. The offer's expiry heals a lost message.
const (
	topicOffer      = "offer"    // to the driver's node
	topicWithdraw   = "withdraw" // to the driver's node
	topicDeclined   = "declined" // to the dispatching node
	topicDriverGone = "vanished" // to the dispatching node
)

// reasonBusy marks a topicDriverGone as dispatch.ErrBusy: the phone is there, and
// another offer was faster. A node of an earlier build takes the driver for gone.
const reasonBusy = "busy"

// answerTimeout bounds how long an answer may take to reach Redis.
const answerTimeout = time.Second

// offerMessage is the payload of these topics.
type offerMessage struct {
	Offer  dispatch.Offer `json:"offer"`
	Reason string         `json:"reason,omitempty"`
}

// offerTransport brings offers to drivers and their answers to dispatchers: by
// a call within this node, through Redis to another. Its methods may be called
// from many goroutines.
type offerTransport struct {
	node       string
	drivers    *sharedstate.Drivers
	redis      *events.Redis
	gateway    *gateway.Gateway
	dispatcher *dispatch.Dispatcher
	tracer     *tracing.Tracer // nil: no hop is recorded
	log        *slog.Logger
}

var _ dispatch.OfferTransport = (*offerTransport)(nil)

// SendOffer fails at once with dispatch.ErrUnreachable when the driver is known
// to be away.
func (t *offerTransport) SendOffer(ctx context.Context, o dispatch.Offer) error {
	d, ok := t.drivers.Get(o.Driver)
	isAway := !ok || !d.Connected
	if !isAway && d.Node != t.node {
		return t.sendMessage(ctx, d.Node, topicOffer, offerMessage{Offer: o})
	}

	began, err := t.hopTime(o), error(nil)
	if isAway {
		err = fmt.Errorf("driver %s: %w", o.Driver, dispatch.ErrUnreachable)
	} else {
		err = t.gateway.DeliverOffer(o)
	}
	t.recordHanded(o, began, err)
	return err
}

// WithdrawOffer takes an offer back from its driver and says why.
func (t *offerTransport) WithdrawOffer(ctx context.Context, o dispatch.Offer, reason string) {
	d, ok := t.drivers.Get(o.Driver)
	if !ok {
		return
	}
	if d.Node == t.node {
		t.gateway.WithdrawOffer(o, reason)
		return
	}

	t.sendMessageOrWarn(ctx, d.Node, topicWithdraw, offerMessage{o, reason})
}

// sendDeclined reports to the offer's dispatcher that the driver declined.
func (t *offerTransport) sendDeclined(o dispatch.Offer) {
	if o.Node == t.node {
		t.dispatcher.OnOfferDeclined(o.ID, o.Driver)
		return
	}
	t.sendAnswer(o, topicDeclined, "")
}

// sendDriverGone reports to the offer's dispatcher that the driver's phone is
// gone.
func (t *offerTransport) sendDriverGone(o dispatch.Offer) {
	if o.Node == t.node {
		t.dispatcher.OnDriverGone(o.Driver)
		return
	}
	t.sendAnswer(o, topicDriverGone, "")
}

func (t *offerTransport) sendAnswer(o dispatch.Offer, topic, reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	t.sendMessageOrWarn(ctx, o.Node, topic, offerMessage{o, reason})
}

func (t *offerTransport) sendMessageOrWarn(ctx context.Context, to, topic string, m offerMessage) {
	if err := t.sendMessage(ctx, to, topic, m); err != nil {
		t.log.Warn("another node was not told; the offer's expiry heals it", "about", topic, "to", to, "err", err)
	}
}

func (t *offerTransport) sendMessage(ctx context.Context, to, topic string, m offerMessage) error {
	payload, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("%s to %s: %w", topic, to, err)
	}

	began := t.hopTime(m.Offer)
	err = t.redis.Publish(ctx, events.NodeChannel(to), events.Message{Topic: topic, Payload: payload})
	t.recordSent(to, topic, m, payload, began, err)
	return err
}

// receiveMessage acts on another node's message.
func (t *offerTransport) receiveMessage(m events.Message) {
	var msg offerMessage
	if err := json.Unmarshal(m.Payload, &msg); err != nil {
		t.log.Warn("another node's message cannot be read", "topic", m.Topic, "err", err)
		return
	}

	t.recordHeard(m, msg)
	switch m.Topic {
	case topicOffer:
		if err := t.gateway.DeliverOffer(msg.Offer); errors.Is(err, dispatch.ErrBusy) {
			t.sendAnswer(msg.Offer, topicDriverGone, reasonBusy)
		} else if err != nil {
			t.sendDriverGone(msg.Offer)
		}
	case topicWithdraw:
		t.gateway.WithdrawOffer(msg.Offer, msg.Reason)
	case topicDeclined:
		t.dispatcher.OnOfferDeclined(msg.Offer.ID, msg.Offer.Driver)
	case topicDriverGone:
		if msg.Reason == reasonBusy {
			t.dispatcher.OnDriverBusy(msg.Offer.ID, msg.Offer.Driver)
		} else {
			t.dispatcher.OnDriverGone(msg.Offer.Driver)
		}
	}
}
