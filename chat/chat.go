// Package chat is the conversation of one trip: who may write, what was
// written, and in what order.
package chat

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/ridehail/ridehail/internal/text"
	"github.com/ridehail/ridehail/trips"
)

// MaxRunes bounds the text of one message, in Unicode code points.
const MaxRunes = 1000

// OpenAfterTrip is how long rider and driver may still write once their trip
// has ended ("you left your umbrella").
const OpenAfterTrip = 10 * time.Minute

var (
	ErrBadText = errors.New("a chat message is 1 to 1,000 printable characters of UTF-8")
	ErrClosed  = errors.New("this chat is closed")
)

// Message is one message. The store numbers the messages of a trip from 1
// without gaps.
type Message struct {
	Trip trips.TripID `json:"trip"`
	Seq  uint32       `json:"seq"`
	From trips.Actor  `json:"from"`
	// ClientID is the sender's command id. A message sent again under the same
	// id is kept once.
	ClientID string    `json:"client_id"`
	Text     string    `json:"text"`
	At       time.Time `json:"at"`
}

// CheckText returns trips.ErrNotText if no database keeps the message.
func (m Message) CheckText() error {
	return trips.CheckText(string(m.Trip), m.From.ID, m.ClientID, m.Text)
}

// Store keeps messages. Both methods may block on I/O and may be called from
// many goroutines.
type Store interface {
	// AppendChat numbers the message, keeps it and adds an outbox row, in one
	// transaction. A message with the same trip, From and ClientID as an
	// earlier one changes nothing; the earlier one is returned. Errors:
	// trips.ErrNotFound; trips.ErrKeyReused when the earlier one has another
	// text.
	AppendChat(ctx context.Context, m Message, region string) (Message, error)
	// ChatHistory returns the messages numbered above after, in order, at most
	// limit.
	ChatHistory(ctx context.Context, id trips.TripID, after uint32, limit int) ([]Message, error)
}

// Room lets the rider and the driver of a trip write to each other and read
// what was written. It may be used from many goroutines.
type Room struct {
	Store Store
	Trips interface {
		Trip(ctx context.Context, id trips.TripID) (trips.Trip, error)
	}
	Now func() time.Time
}

// Send keeps a message as text.Clean leaves it and returns it with its number.
// Errors: ErrBadText, ErrClosed, trips.ErrNotYours, trips.ErrNotFound,
// trips.ErrKeyReused.
func (r *Room) Send(ctx context.Context, from trips.Actor, id trips.TripID, clientID, written string) (Message, error) {
	clean, ok := text.Clean(written)
	if !ok || clean == "" || utf8.RuneCountInString(clean) > MaxRunes {
		return Message{}, ErrBadText
	}
	t, err := r.tripFor(ctx, from, id)
	if err != nil {
		return Message{}, err
	}

	now := r.Now()
	if t.Driver == "" || (!t.State.IsActive() && now.Sub(t.EndedAt) > OpenAfterTrip) {
		return Message{}, fmt.Errorf("trip %s: %w", id, ErrClosed)
	}

	m := Message{Trip: id, From: from, ClientID: clientID, Text: clean, At: now}
	kept, err := r.Store.AppendChat(ctx, m, string(t.Region))
	if errors.Is(err, trips.ErrKeyReused) && written != clean {
		// A node of an earlier build may have kept the message as it was
		// written, before its answer was lost. The id is taken, so that this
		// adds nothing.
		m.Text = written
		return r.Store.AppendChat(ctx, m, string(t.Region))
	}
	return kept, err
}

// History returns the messages numbered above after, in order, at most limit,
// to the trip's rider or driver. Errors: trips.ErrNotYours, trips.ErrNotFound.
// It works after the chat has closed too.
func (r *Room) History(ctx context.Context, who trips.Actor, id trips.TripID, after uint32, limit int) ([]Message, error) {
	if _, err := r.tripFor(ctx, who, id); err != nil {
		return nil, err
	}
	return r.Store.ChatHistory(ctx, id, after, limit)
}

// tripFor returns the trip if the actor is its rider or its driver.
func (r *Room) tripFor(ctx context.Context, who trips.Actor, id trips.TripID) (trips.Trip, error) {
	t, err := r.Trips.Trip(ctx, id)
	if err != nil {
		return trips.Trip{}, err
	}
	if who.Role == trips.RoleSystem || !t.Concerns(who) {
		return trips.Trip{}, fmt.Errorf("trip %s: %w", id, trips.ErrNotYours)
	}
	return t, nil
}
