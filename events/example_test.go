package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ridehail/ridehail/events"
)

// printer prints what it hears, and says when it has begun and ended.
type printer struct{ begun, ended chan struct{} }

func (p printer) OnMessage(m events.Message) {
	fmt.Printf("%s: %s\n", m.Topic, m.Payload)
	close(p.ended)
}

func (p printer) OnGap(g events.Gap) {
	fmt.Println("read the store:", g.Why)
	close(p.begun)
}

// A listener hears the messages of its regions. The first gap tells it to read
// what it missed before it subscribed.
func ExampleListener() {
	redis, err := events.OpenEmbedded(events.WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer redis.Close()

	ctx, stop := context.WithCancel(context.Background())
	p := printer{make(chan struct{}), make(chan struct{})}
	var listening sync.WaitGroup
	listener := redis.NewListener(events.ListenerConfig{Name: "example", Node: "node-1", Handler: p})
	listener.Follow(events.OldRegionChannel("here"))
	listening.Go(func() { _ = listener.Run(ctx) })

	<-p.begun

	for _, m := range []events.Message{
		{Topic: "trip", Region: "far away", Payload: []byte("trip-1 reserved")},
		{Topic: "trip", Region: "here", Payload: []byte("trip-2 reserved")},
	} {
		if err := redis.Publish(ctx, events.OldRegionChannel(m.Region), m); err != nil {
			fmt.Println(err)
		}
	}

	<-p.ended
	stop()
	listening.Wait()

	// Output:
	// read the store: subscribed
	// trip: trip-2 reserved
}

// declined is an error that no repetition cures.
type declined struct{ error }

func (declined) Permanent() bool { return true }

// A worker does the jobs of a stream. A job that fails for good becomes a dead
// letter.
func ExampleWorker() {
	redis, err := events.OpenEmbedded(events.WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer redis.Close()

	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	for _, id := range []string{"trip-1", "trip-2"} {
		if err := redis.EnqueueJob(ctx, "settlements", id, []byte("pay")); err != nil {
			fmt.Println(err)
			return
		}
	}

	worker := &events.Worker{Redis: redis, Stream: "settlements", Consumer: "node-1", Concurrency: 1,
		Handle: func(_ context.Context, id string, payload []byte) error {
			fmt.Printf("%s %s\n", payload, id)
			if id == "trip-2" {
				return declined{errors.New("card declined")}
			}
			return nil
		},
		OnDeadLetter: func(events.Job, error) { stop() }}

	_ = worker.Run(ctx) // ends when stop is called

	letters, err := redis.DeadLetters(context.Background(), "settlements", 10)
	for _, l := range letters {
		fmt.Println("dead letter:", l.ID, l.Reason, err)
	}

	// Output:
	// pay trip-1
	// pay trip-2
	// dead letter: trip-2 card declined <nil>
}
