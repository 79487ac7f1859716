package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// chatStore keeps the chat of each trip; see chat.Store.
type chatStore struct{ *database }

// AppendChat numbers and keeps a message; see chat.Store.
func (s *chatStore) AppendChat(ctx context.Context, m chat.Message, region string) (chat.Message, error) {
	if err := m.CheckText(); err != nil {
		return chat.Message{}, err
	}
	m.At = storedTime(m.At)
	hop := s.hopOf(tracing.Statement, tracing.Chat, m.Trip)
	out, err := writeTraced(ctx, s.database, hop, func(tx *statements) (chat.Message, error) {
		was, err := findMessage(tx, m)
		if !errors.Is(err, trips.ErrNotFound) {
			return was, err
		}
		kept, err := insertMessage(tx, m, location.Region(region))
		hop.setMessage(tracing.ChatID(kept.Seq), int(kept.Seq))
		return kept, err
	})
	if err != nil {
		return chat.Message{}, fmt.Errorf("chat of trip %s: %w", m.Trip, err)
	}
	return out, nil
}

// findMessage returns the stored message with the same client id, or
// trips.ErrNotFound.
func findMessage(tx *statements, m chat.Message) (chat.Message, error) {
	was := m
	var at int64

	err := tx.queryOne(context.Background(), `SELECT seq, text, at FROM chat
		WHERE trip_id = ? AND from_role = ? AND from_id = ? AND client_id = ?`,
		[]any{string(m.Trip), string(m.From.Role), m.From.ID, m.ClientID}, &was.Seq, &was.Text, &at)
	if err != nil {
		return chat.Message{}, err
	}
	if was.Text != m.Text {
		return chat.Message{}, fmt.Errorf("message %s of %s: %w", m.ClientID, m.From, trips.ErrKeyReused)
	}

	was.At = time.UnixMicro(at).UTC()
	return was, nil
}

// insertMessage numbers and stores a message and adds it to the outbox.
func insertMessage(tx *statements, m chat.Message, region location.Region) (chat.Message, error) {
	ctx, id := context.Background(), string(m.Trip)
	// No row if there is no such trip.
	if err := tx.queryOne(ctx, `SELECT 1 + coalesce((SELECT max(seq) FROM chat WHERE trip_id = t.id), 0) FROM trips t
		WHERE t.id = ?`, []any{id}, &m.Seq); err != nil {
		return chat.Message{}, err
	}

	_, err := tx.exec(ctx, `INSERT INTO chat (trip_id, seq, from_role, from_id, client_id, text, at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, id, m.Seq, string(m.From.Role), m.From.ID, m.ClientID, m.Text, m.At.UnixMicro())
	if err != nil {
		return chat.Message{}, err
	}

	payload, err := json.Marshal(m)
	if err != nil {
		return chat.Message{}, err
	}

	return m, addToOutbox(tx, trips.OutboxMessage{Topic: trips.TopicChat, Region: region, Trip: m.Trip, Payload: payload})
}

// ChatHistory returns messages numbered above after, in order, at most limit.
func (s *chatStore) ChatHistory(ctx context.Context, id trips.TripID, after uint32, limit int) ([]chat.Message, error) {
	var out []chat.Message
	err := yieldMessages(ctx, s.read, `WHERE trip_id = ? AND seq > ? ORDER BY seq LIMIT ?`,
		[]any{string(id), after, max(0, limit)}, func(m chat.Message) error {
			out = append(out, m)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("chat of trip %s: %w", id, err)
	}
	return out, nil
}

func yieldMessages(ctx context.Context, from *statements, where string, args []any, take func(chat.Message) error) error {
	return from.queryEach(ctx, `SELECT trip_id, seq, from_role, from_id, client_id, text, at FROM chat `+where, args,
		func(rows *sql.Rows) error {
			var m chat.Message
			var at int64
			if err := rows.Scan(&m.Trip, &m.Seq, &m.From.Role, &m.From.ID, &m.ClientID, &m.Text, &at); err != nil {
				return err
			}
			m.At = time.UnixMicro(at).UTC()
			return take(m)
		})
}
