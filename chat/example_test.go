package chat_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/trips"
)

// Rider and driver of a trip write to each other; others are refused.
func ExampleRoom() {
	ctx := context.Background()
	room, _ := newRoom(trips.Reserved) // a trip of ada and chidi, in memory

	for _, m := range []struct {
		from trips.Actor
		text string
	}{
		{trips.Rider("ada"), "Where are you?"},
		{trips.Driver("chidi"), "At the blue gate"},
		{trips.Rider("bola"), "Hello?"},
		{trips.Rider("ada"), "\x00"},
	} {
		kept, err := room.Send(ctx, m.from, "trip-1", "command-1", m.text)
		switch {
		case errors.Is(err, trips.ErrNotYours):
			fmt.Println(m.from, "is not of this trip")
		case errors.Is(err, chat.ErrBadText):
			fmt.Println(err)
		default:
			fmt.Printf("%d %v: %s\n", kept.Seq, kept.From, kept.Text)
		}
	}

	missed, err := room.History(ctx, trips.Rider("ada"), "trip-1", 1, 100)
	fmt.Println(len(missed), "after the first,", err)

	// Output:
	// 1 rider:ada: Where are you?
	// 2 driver:chidi: At the blue gate
	// rider:bola is not of this trip
	// a chat message is 1 to 1,000 printable characters of UTF-8
	// 1 after the first, <nil>
}
