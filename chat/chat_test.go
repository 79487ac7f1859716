package chat_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/internal/text"
	"github.com/ridehail/ridehail/trips"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var (
	rider, stranger     = trips.Rider("ada"), trips.Rider("bola")
	driver, otherDriver = trips.Driver("chidi"), trips.Driver("dayo")
)

// memoryStore is a chat store and a trip store in memory.
type memoryStore struct {
	trip     trips.Trip
	messages []chat.Message
	region   string
	err      error
}

func (b *memoryStore) Trip(_ context.Context, id trips.TripID) (trips.Trip, error) {
	if id != b.trip.ID {
		return trips.Trip{}, trips.ErrNotFound
	}
	return b.trip, nil
}

func (b *memoryStore) AppendChat(_ context.Context, m chat.Message, region string) (chat.Message, error) {
	if b.err != nil {
		return chat.Message{}, b.err
	}
	m.Seq = uint32(len(b.messages)) + 1
	b.messages, b.region = append(b.messages, m), region
	return m, nil
}

func (b *memoryStore) ChatHistory(_ context.Context, _ trips.TripID, after uint32, limit int) ([]chat.Message, error) {
	later := b.messages[min(int(after), len(b.messages)):]
	return later[:min(limit, len(later))], nil
}

// newRoom returns a chat about a trip in a state, and its store. Its clock
// stands at noon.
func newRoom(s trips.State) (*chat.Room, *memoryStore) {
	b := &memoryStore{trip: trips.Trip{ID: "trip-1", Rider: "ada", Driver: "chidi", State: s, Region: "85589967fffffff"}}
	if !s.IsActive() {
		b.trip.EndedAt = noon
	}
	return &chat.Room{Store: b, Trips: b, Now: func() time.Time { return noon }}, b
}

func TestRiderAndDriverTalkAndReadEachOther(t *testing.T) {
	r, b := newRoom(trips.Reserved)
	ask, err := r.Send(t.Context(), rider, "trip-1", "c1", "Where are you?")
	want := chat.Message{Trip: "trip-1", Seq: 1, From: rider, ClientID: "c1", Text: "Where are you?", At: noon}
	if err != nil || ask != want {
		t.Fatalf("%+v, %v", ask, err)
	}

	answer, err := r.Send(t.Context(), driver, "trip-1", "c1", "At the gate")
	if err != nil || answer.Seq != 2 {
		t.Fatalf("%+v, %v", answer, err)
	}
	if b.region != "85589967fffffff" {
		t.Errorf("told in region %q", b.region)
	}

	for _, who := range []trips.Actor{rider, driver} {
		heard, err := r.History(t.Context(), who, "trip-1", 1, 10)
		if err != nil || len(heard) != 1 || heard[0] != answer {
			t.Errorf("%v reads %+v, %v", who, heard, err)
		}
	}
}

func TestNobodyElseTalksOrListens(t *testing.T) {
	// The right ids in the wrong roles.
	swapped := []trips.Actor{trips.Rider("chidi"), trips.Driver("ada")}
	for _, who := range append(swapped, stranger, otherDriver, trips.Driver(""), trips.System("node"), trips.Actor{}) {
		r, b := newRoom(trips.OnTrip)
		b.messages = []chat.Message{{Trip: "trip-1", Seq: 1, From: rider, Text: "a secret"}}
		if _, err := r.Send(t.Context(), who, "trip-1", "c1", "hello"); !errors.Is(err, trips.ErrNotYours) {
			t.Errorf("%v speaks: %v", who, err)
		}

		heard, err := r.History(t.Context(), who, "trip-1", 0, 10)
		if !errors.Is(err, trips.ErrNotYours) || len(heard) != 0 {
			t.Errorf("%v hears %v, %v", who, heard, err)
		}
		if len(b.messages) != 1 {
			t.Errorf("%v was kept: %v", who, b.messages)
		}
	}
}

func TestATripNobodyKnowsHasNoChat(t *testing.T) {
	r, _ := newRoom(trips.OnTrip)
	if _, err := r.Send(t.Context(), rider, "trip-2", "c1", "hello"); !errors.Is(err, trips.ErrNotFound) {
		t.Error(err)
	}
	if _, err := r.History(t.Context(), rider, "trip-2", 0, 10); !errors.Is(err, trips.ErrNotFound) {
		t.Error(err)
	}
}

func TestTheChatOpensWithADriverAndStaysOpenTenMinutesAfterTheTrip(t *testing.T) {
	ended := func(ago time.Duration, s trips.State) func(*memoryStore) {
		return func(b *memoryStore) { b.trip.State, b.trip.EndedAt = s, noon.Add(-ago) }
	}
	undriven := func(b *memoryStore) { b.trip.Driver = "" }
	for name, c := range map[string]struct {
		state trips.State
		given func(*memoryStore)
		want  error
	}{
		"no driver yet":                        {trips.Requested, undriven, chat.ErrClosed},
		"a driver on the way":                  {trips.Reserved, nil, nil},
		"at the pickup":                        {trips.Arrived, nil, nil},
		"in the car":                           {trips.OnTrip, nil, nil},
		"just arrived":                         {trips.Completed, nil, nil},
		"ten minutes after":                    {trips.Completed, ended(chat.OpenAfterTrip, trips.Completed), nil},
		"a moment too late":                    {trips.Completed, ended(chat.OpenAfterTrip+1, trips.Completed), chat.ErrClosed},
		"cancelled with a driver, soon after":  {trips.Cancelled, ended(time.Minute, trips.Cancelled), nil},
		"cancelled with a driver, a day after": {trips.Cancelled, ended(24*time.Hour, trips.Cancelled), chat.ErrClosed},
		"expired without a driver":             {trips.Expired, undriven, chat.ErrClosed},
	} {
		r, b := newRoom(c.state)
		if c.given != nil {
			c.given(b)
		}
		if _, err := r.Send(t.Context(), rider, "trip-1", "c1", "my umbrella"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if (len(b.messages) == 1) != (c.want == nil) {
			t.Errorf("%s: kept %v", name, b.messages)
		}
	}
}

func TestHistoryStaysReadableWhenTheChatIsClosed(t *testing.T) {
	r, b := newRoom(trips.Completed)
	b.trip.EndedAt = noon.Add(-24 * time.Hour)
	b.messages = []chat.Message{{Trip: "trip-1", Seq: 1, From: driver, Text: "bye"}}
	if heard, err := r.History(t.Context(), rider, "trip-1", 0, 10); err != nil || len(heard) != 1 {
		t.Errorf("%v, %v", heard, err)
	}
}

func TestOnlyOneToAThousandPrintableCharactersAreSaid(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"one letter":                {"k", true},
		"two lines and a tab":       {"gate 2\n\tblue door", true},
		"an emoji family":           {"\U0001F468\u200D\U0001F469\u200D\U0001F467", true},
		"Yoruba":                    {"Ẹ káàárọ̀, mo ti dé", true},
		"a thousand of two bytes":   {strings.Repeat("ẹ", chat.MaxRunes), true},
		"markup, which is text":     {"<script>alert('x')</script>", true},
		"nothing":                   {"", false},
		"blanks":                    {" \n\t\u00a0", false},
		"one too many":              {strings.Repeat("a", chat.MaxRunes+1), false},
		"a bell":                    {"ding\a", false},
		"a null":                    {"a\x00b", false},
		"an escape sequence":        {"\x1b[2Jgone", false},
		"Arabic with a non-joiner":  {"می\u200cخواهم", true},
		"only zero-width spaces":    {"\u200b\u200b", false},
		"a filler and a blank dot":  {"\u3164 \u2800\ufe0f", false},
		"only marks of direction":   {"\u202e\u200f", false},
		"a break counts once":       {strings.Repeat("\r\n", chat.MaxRunes-1) + "a", true},
		"a control of Latin-1":      {"a\u0085b", false},
		"broken UTF-8":              {"a\xff", false},
		"half a surrogate, as CESU": {"\xed\xa0\x80", false},
	} {
		r, b := newRoom(trips.OnTrip)
		_, err := r.Send(t.Context(), rider, "trip-1", "c1", c.text)
		if c.ok != (err == nil) || (!c.ok && !errors.Is(err, chat.ErrBadText)) || c.ok != (len(b.messages) == 1) {
			t.Errorf("%s: %v, kept %d", name, err, len(b.messages))
		}
	}
}

func TestWhatIsKeptIsAlwaysFitForAPhone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		given := raw.Draw(t, "text")
		r, b := newRoom(trips.OnTrip)
		if _, err := r.Send(context.Background(), driver, "trip-1", "c1", given); err != nil {
			if !errors.Is(err, chat.ErrBadText) || len(b.messages) != 0 {
				t.Fatal(err)
			}
			return
		}

		kept := b.messages[0].Text
		if clean, _ := text.Clean(given); kept != clean || !utf8.ValidString(kept) || strings.TrimSpace(kept) == "" || utf8.RuneCountInString(kept) > 1000 {
			t.Fatalf("kept %q of %q", kept, given)
		}
		if i := strings.IndexFunc(kept, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }); i >= 0 {
			t.Fatalf("kept a control character in %q", kept)
		}
	})
}

// keptRaw is a store in which an earlier build kept a message as it was written.
type keptRaw struct {
	*memoryStore
	raw string
}

func (b keptRaw) AppendChat(_ context.Context, m chat.Message, _ string) (chat.Message, error) {
	if m.Text != b.raw {
		return chat.Message{}, trips.ErrKeyReused
	}
	m.Seq = 7
	return m, nil
}

func TestAMessageSentAgainIsTheSameWhoeverKeptItFirst(t *testing.T) {
	r, b := newRoom(trips.OnTrip)
	r.Store = keptRaw{b, "RLO \u202e gnp.exe"}
	if m, err := r.Send(t.Context(), rider, "trip-1", "c1", "RLO \u202e gnp.exe"); err != nil || m.Seq != 7 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, other := range []string{"RLO  gnp.exe", "RLO \u202d gnp.exe", "other"} {
		if _, err := r.Send(t.Context(), rider, "trip-1", "c1", other); !errors.Is(err, trips.ErrKeyReused) {
			t.Errorf("%q: %v", other, err)
		}
	}
}

func TestARoomPassesOnWhatTheStoreSays(t *testing.T) {
	r, b := newRoom(trips.OnTrip)
	b.err = fmt.Errorf("append: %w", trips.ErrKeyReused)
	if _, err := r.Send(t.Context(), rider, "trip-1", "c1", "hello"); !errors.Is(err, trips.ErrKeyReused) {
		t.Error(err)
	}
}
