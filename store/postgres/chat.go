package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// chatStore keeps the chat of each trip; see chat.Store.
type chatStore struct{ *database }

// AppendChat keeps a message; see chat.Store.
func (s *chatStore) AppendChat(ctx context.Context, m chat.Message, region string) (chat.Message, error) {
	if err := m.CheckText(); err != nil {
		return chat.Message{}, err
	}
	m.At = storedTime(m.At)
	payload, err := json.Marshal(m)
	if err != nil {
		return chat.Message{}, fmt.Errorf("message on trip %s: %w", m.Trip, err)
	}

	kept := m
	err = s.retryWrite(ctx, s.traceWrite(m.Trip, func() tracing.Hop { return appendHop(m, kept) }, func(ctx context.Context) error {
		return s.appendMessage(ctx, &kept, region, payload)
	}))
	switch {
	case err != nil:
		return chat.Message{}, fmt.Errorf("message on trip %s: %w", m.Trip, mapNotFound(err))
	case kept.Text != m.Text:
		return chat.Message{}, fmt.Errorf("message %q of %s: %w", m.ClientID, m.From, trips.ErrKeyReused)
	}

	return kept, nil
}

// appendHop returns the hop of keeping a message. One that was kept before has
// another time.
func appendHop(m, kept chat.Message) tracing.Hop {
	h := tracing.Statement.Hop(tracing.Chat, int(kept.Seq))
	if kept.At.Equal(m.At) {
		h.Key = "commit:" + tracing.ChatID(kept.Seq)
	} else {
		h.Code, h.Reason = "known", "The phone sent the message again; it had been kept."
	}
	return h
}

// appendMessage sends two statements as one transaction in one round trip. The
// first takes a lock, so that people who write to one chat at once take turns;
// otherwise they would take the same number, and all but one would have to try
// again. The lock is a statement of its own so that the second statement sees
// the messages before its turn.
func (s *chatStore) appendMessage(ctx context.Context, m *chat.Message, region string, payload []byte) error {
	var both pgx.Batch
	both.Queue(`SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, "chat "+m.Trip)
	both.Queue(appendSQL, m.Trip, m.From.Role, m.From.ID, m.ClientID, m.Text, m.At, region, string(payload)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&m.Seq, &m.Text, &m.At) })
	err := s.pool.SendBatch(ctx, &both).Close()
	m.At = m.At.UTC()
	return err
}

// appendSQL returns the message with this client id, old or new; nothing when
// there is no such trip.
const appendSQL = `
WITH was AS (
  SELECT seq, text, at FROM chat WHERE trip_id = $1 AND from_role = $2 AND from_id = $3 AND client_id = $4
), said AS (
  INSERT INTO chat (trip_id, seq, from_role, from_id, client_id, text, at)
  SELECT id, 1 + coalesce((SELECT max(seq) FROM chat WHERE trip_id = $1), 0), $2, $3, $4, $5, $6
  FROM trips WHERE id = $1 AND NOT EXISTS (SELECT FROM was)
  RETURNING seq, text, at
), told AS (
  INSERT INTO outbox (topic, region, kind, trip_id, payload)
  SELECT 'chat', $7, '', $1, jsonb_set($8::jsonb, '{seq}', to_jsonb(seq))::json FROM said
)
SELECT seq, text, at FROM was UNION ALL SELECT seq, text, at FROM said`

// ChatHistory returns messages; see chat.Store.
func (s *chatStore) ChatHistory(ctx context.Context, id trips.TripID, after uint32, limit int) ([]chat.Message, error) {
	return queryAll(ctx, s.database, "chat of trip "+string(id), scanMessage,
		chatColumns+`WHERE trip_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`, id, after, limit)
}

const chatColumns = `SELECT trip_id, seq, from_role, from_id, client_id, text, at FROM chat `

func scanMessage(row pgx.CollectableRow) (m chat.Message, err error) {
	err = row.Scan(&m.Trip, &m.Seq, &m.From.Role, &m.From.ID, &m.ClientID, &m.Text, &m.At)
	m.At = m.At.UTC()
	return m, err
}
