package faulty

import (
	"context"
	"slices"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// chatStore keeps the chat of each trip; see chat.Store.
type chatStore struct{ *state }

// AppendChat keeps a message; see chat.Store.
func (s *chatStore) AppendChat(ctx context.Context, m chat.Message, region string) (chat.Message, error) {
	m.At = storedTime(m.At)
	return runCall(ctx, s.state, "append", m.ClientID, func() (chat.Message, error) {
		if err := m.CheckText(); err != nil {
			return chat.Message{}, err
		}
		if _, err := lookUp(s.trips, m.Trip); err != nil {
			return chat.Message{}, err
		}

		for _, was := range s.messages[m.Trip] {
			if was.From != m.From || was.ClientID != m.ClientID {
				continue
			}
			if was.Text != m.Text {
				return chat.Message{}, trips.ErrKeyReused
			}
			return was, nil
		}

		m.Seq = uint32(len(s.messages[m.Trip]) + 1)
		s.messages[m.Trip] = append(s.messages[m.Trip], m)
		return m, s.addOutboxLocked(trips.TopicChat, location.Region(region), "", m.Trip, m)
	})
}

// ChatHistory returns messages; see chat.Store.
func (s *chatStore) ChatHistory(ctx context.Context, id trips.TripID, after uint32, limit int) ([]chat.Message, error) {
	return runCall(ctx, s.state, "history", string(id), func() ([]chat.Message, error) {
		all := s.messages[id]
		all = all[min(int(after), len(all)):]
		return slices.Clone(all[:min(max(0, limit), len(all))]), nil
	})
}
