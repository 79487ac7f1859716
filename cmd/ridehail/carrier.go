package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
)

// What nodes tell each other about offers, on the channel of the node concerned. A message that gets lost is healed by
// the offer's expiry.
const (
	topicOffer    = "offer"    // to the driver's node
	topicWithdraw = "withdraw" // to the driver's node
	topicDeclined = "declined" // to the dispatching node
	topicVanished = "vanished" // to the dispatching node
)

// letter is what travels.
type letter struct {
	Offer  dispatch.Offer `json:"offer"`
	Reason string         `json:"reason,omitempty"`
}

// carrier brings offers to drivers and answers to dispatchers, by a call on this node and by Redis to another.
type carrier struct{ n *node }

var _ dispatch.Courier = (*carrier)(nil)

// Offer fails at once when the driver is known to be unreachable.
func (c *carrier) Offer(ctx context.Context, o dispatch.Offer) error {
	d, ok := c.n.drivers.Get(o.Driver)
	if !ok || !d.Connected {
		return fmt.Errorf("driver %s: %w", o.Driver, dispatch.ErrUnreachable)
	}
	if d.Node == c.n.cfg.Name {
		return c.n.gateway.Offer(o)
	}
	return c.send(ctx, d.Node, topicOffer, letter{Offer: o})
}

func (c *carrier) Withdraw(ctx context.Context, o dispatch.Offer, reason string) {
	d, ok := c.n.drivers.Get(o.Driver)
	if !ok {
		return
	}
	if d.Node == c.n.cfg.Name {
		c.n.gateway.OfferGone(o, reason)
		return
	}
	c.try(ctx, d.Node, topicWithdraw, letter{o, reason})
}

func (c *carrier) declined(o dispatch.Offer) {
	if o.Node == c.n.cfg.Name {
		c.n.dispatcher.Declined(o.ID, o.Driver)
		return
	}
	c.answer(o, topicDeclined)
}

func (c *carrier) vanished(o dispatch.Offer) {
	if o.Node == c.n.cfg.Name {
		c.n.dispatcher.DriverGone(o.Driver)
		return
	}
	c.answer(o, topicVanished)
}

func (c *carrier) answer(o dispatch.Offer, topic string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.try(ctx, o.Node, topic, letter{Offer: o})
}

func (c *carrier) try(ctx context.Context, to, topic string, l letter) {
	if err := c.send(ctx, to, topic, l); err != nil {
		c.n.log.Warn("another node was not told; the offer's expiry heals it", "about", topic, "to", to, "err", err)
	}
}

func (c *carrier) send(ctx context.Context, to, topic string, l letter) error {
	payload, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("%s to %s: %w", topic, to, err)
	}
	return c.n.redis.PublishTo(ctx, to, events.Message{Topic: topic, Payload: payload})
}

// received acts on another node's letter.
func (c *carrier) received(m events.Message) {
	var l letter
	if err := json.Unmarshal(m.Payload, &l); err != nil {
		c.n.log.Warn("another node's message cannot be read", "topic", m.Topic, "err", err)
		return
	}
	switch m.Topic {
	case topicOffer:
		if c.n.gateway.Offer(l.Offer) != nil {
			c.vanished(l.Offer)
		}
	case topicWithdraw:
		c.n.gateway.OfferGone(l.Offer, l.Reason)
	case topicDeclined:
		c.n.dispatcher.Declined(l.Offer.ID, l.Offer.Driver)
	case topicVanished:
		c.n.dispatcher.DriverGone(l.Offer.Driver)
	}
}
