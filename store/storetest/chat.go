package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/trips"
)

var chatStories = []story{
	{"what is said is numbered and read back in order", chatInOrder},
	{"a message sent again is said once", messageSentAgain},
	{"sixty-four messages at once are numbered without gaps", messagesAtOnce},
	{"an unknown trip takes no messages", messageOnUnknownTrip},
}

func chatInOrder(w *world) {
	t := w.rideToOnTrip("rider", "driver")
	var want []chat.Message
	for i, text := range []string{"hello", `it's "me" \ <b>`, "שלום 🛺\nline two\ttab", "%s $1"} {
		from := []trips.Actor{trips.Rider("rider"), trips.Driver("driver")}[i%2]
		asked := chat.Message{Trip: t.ID, From: from, ClientID: fmt.Sprint(i / 2), Text: text, At: w.nextTime()}
		m := mustReturn[chat.Message](w)(w.AppendChat(w.Context(), asked, string(t.Region)))
		if gap := asked.At.Sub(m.At).Abs(); gap >= time.Microsecond || m.At.Location() != time.UTC {
			w.Errorf("said at %v, kept as %v", asked.At, m.At)
		}
		asked.Seq, asked.At = uint32(i+1), m.At
		checkEqual(w, "message", m, asked)
		want = append(want, m)
	}

	for after := range 6 {
		for limit := range 6 {
			got := mustReturn[[]chat.Message](w)(w.ChatHistory(w.Context(), t.ID, uint32(after), limit))
			first := min(after, 4)
			checkSame(w, "history", got, want[first:min(first+limit, 4)])
		}
	}

	told := w.awaitPending(8)[4:]
	for i, n := range told {
		var m chat.Message
		if err := json.Unmarshal(n.Payload, &m); err != nil {
			w.Fatal(err)
		}
		checkEqual(w, "told", m, want[i])
		checkEqual(w, "topic", n.Topic, trips.TopicChat)
		checkEqual(w, "trip", n.Trip, t.ID)
		checkEqual(w, "region", n.Region, t.Region)
		checkEqual(w, "kind", n.Kind, "")
	}
}

func messageSentAgain(w *world) {
	t := w.rideToOnTrip("rider", "driver")
	m := chat.Message{Trip: t.ID, From: trips.Rider("rider"), ClientID: "1", Text: "hello", At: w.nextTime()}
	first := mustReturn[chat.Message](w)(w.AppendChat(w.Context(), m, string(t.Region)))
	w.sendChat(t, trips.Driver("driver"), "coming")
	m.At = w.nextTime()
	checkEqual(w, "again", mustReturn[chat.Message](w)(w.AppendChat(w.Context(), m, string(t.Region))), first)
	m.Text = "goodbye"
	if _, err := w.AppendChat(w.Context(), m, string(t.Region)); !errors.Is(err, trips.ErrKeyReused) {
		w.Errorf("another text: %v", err)
	}
	checkEqual(w, "messages", len(mustReturn[[]chat.Message](w)(w.ChatHistory(w.Context(), t.ID, 0, 10))), 2)
	checkEqual(w, "outbox messages", len(w.awaitPending(6)), 6)

	other := w.rideToOnTrip("another rider", "another driver")
	m.Trip = other.ID
	checkEqual(w, "number on another trip", mustReturn[chat.Message](w)(w.AppendChat(w.Context(), m, string(t.Region))).Seq, 1)
}

func messagesAtOnce(w *world) {
	const n = 64
	t := w.rideToOnTrip("rider", "driver")

	var mu sync.Mutex
	seen := map[uint32]string{}
	runAtOnce(2*n, func(i int) { // everything is sent twice
		text := fmt.Sprint(i / 2)
		m := chat.Message{Trip: t.ID, From: trips.Rider("rider"), ClientID: text, Text: text, At: w.nextTime()}

		got, err := w.AppendChat(w.Context(), m, string(t.Region))
		if err != nil {
			w.Error(err)
			return
		}

		mu.Lock()
		defer mu.Unlock()
		if was, twice := seen[got.Seq]; twice && was != m.Text {
			w.Errorf("number %d for %s and %s", got.Seq, was, m.Text)
		}
		seen[got.Seq] = m.Text
	})

	history := mustReturn[[]chat.Message](w)(w.ChatHistory(w.Context(), t.ID, 0, 2*n))
	checkEqual(w, "messages", len(history), n)

	for i, m := range history {
		checkEqual(w, "number", m.Seq, uint32(i+1))
		checkEqual(w, "text", m.Text, seen[m.Seq])
	}
}

func messageOnUnknownTrip(w *world) {
	m := chat.Message{Trip: "nowhere", From: trips.Rider("rider"), ClientID: "1", Text: "hello", At: w.nextTime()}
	if _, err := w.AppendChat(w.Context(), m, "region"); !errors.Is(err, trips.ErrNotFound) {
		w.Errorf("append: %v", err)
	}

	checkEqual(w, "history", len(mustReturn[[]chat.Message](w)(w.ChatHistory(w.Context(), "nowhere", 0, 10))), 0)
	n, _, err := w.Backlog(w.Context())
	if err != nil || n != 0 {
		w.Errorf("%d outbox messages, %v", n, err)
	}
}
