package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// Channel is where a message is published: those who follow it at that moment
// hear it. Its name in Redis has the prefix of this Redis in front.
type Channel string

// Everyone is followed by all nodes.
const Everyone Channel = "region:everywhere"

// NodeChannel is for direct messages to one node.
func NodeChannel(node string) Channel { return Channel("node:" + node) }

// PositionsChannel is for cars that one node must know, apart from its direct
// messages.
func PositionsChannel(node string) Channel { return Channel("positions:" + node) }

// UserChannel is for the news of one user's trips. The nodes that hold a socket
// of the user follow it.
func UserChannel(user trips.Actor) Channel {
	return Channel("user:" + string(user.Role) + ":" + user.ID)
}

// UserOf returns the user whose channel it is; false if it is no such channel.
func UserOf(c Channel) (user trips.Actor, ok bool) {
	rest, ok := strings.CutPrefix(string(c), "user:")
	role, id, hasID := strings.Cut(rest, ":")
	return trips.Actor{Role: trips.Role(role), ID: id}, ok && hasID
}

// CarChannel is for each fix of a driver on a trip. The nodes whose riders watch
// the car follow it.
func CarChannel(driver trips.DriverID) Channel { return Channel("car:" + string(driver)) }

// OldRegionChannel is what nodes of earlier builds publish on and follow. Their
// regions are as large as a block: that of a region of this build is meant.
func OldRegionChannel(region location.Region) Channel {
	return Channel("region:" + location.Block(region))
}

// Message is news between nodes. It reaches each listener at most once.
type Message struct {
	Topic   string // without a line break
	Region  location.Region
	Payload []byte

	// Of a message that was received; not sent along.
	Channel    Channel
	ReceivedAt time.Time // zero unless hops are recorded
}

// Addressed is a message and the channel to publish it on.
type Addressed struct {
	To Channel
	Message
}

// Publish sends a message to those who follow the channel now. It is not an
// error when there are none.
func (r *Redis) Publish(ctx context.Context, to Channel, m Message) error {
	return r.PublishAll(ctx, []Addressed{{to, m}})
}

// PublishAll sends messages in one round trip, those of a channel in order.
// After an error some may have been sent; each is counted by what became of it.
func (r *Redis) PublishAll(ctx context.Context, messages []Addressed) error {
	pipe := r.commands.Pipeline()
	sent := make([]redis.Cmder, 0, len(messages))
	for _, m := range messages {
		sent = append(sent, r.addPublish(ctx, pipe, m.To, m.Message))
	}
	_, err := pipe.Exec(ctx)

	for i, m := range messages {
		if sent[i].Err() == nil {
			r.metrics.countPublished(m.Message)
		} else {
			r.metrics.publishFailed.WithLabelValues(m.Topic).Inc()
		}
	}
	if err != nil {
		return fmt.Errorf("publish %s: %w", messages[0].Topic, err)
	}
	return nil
}

// size is the length of what encode returns.
func (m Message) size() int { return len(m.Topic) + len(m.Region) + len(m.Payload) + 2 }

// encode returns topic, line break, region, line break, payload.
func (m Message) encode() []byte {
	b := make([]byte, 0, m.size())
	b = append(append(b, m.Topic...), '\n')
	b = append(append(b, m.Region...), '\n')
	return append(b, m.Payload...)
}

var errNotMessage = errors.New("not a message between nodes")

func decodeMessage(encoded string) (Message, error) {
	topic, rest, ok := strings.Cut(encoded, "\n")
	region, payload, ok2 := strings.Cut(rest, "\n")
	if !ok || !ok2 {
		return Message{}, errNotMessage
	}
	return Message{Topic: topic, Region: location.Region(region), Payload: []byte(payload)}, nil
}
