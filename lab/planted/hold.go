package planted

import (
	"context"
	"errors"
	"sync"

	"github.com/ridehail/ridehail/store/sqlite"
	"github.com/ridehail/ridehail/trips"
)

// holdWrites holds the write lock of a SQLite file, as the long transaction of
// another program does. Until release, no other process can commit.
func holdWrites(ctx context.Context, file string) (release func(), err error) {
	other, err := sqlite.Open(ctx, file, sqlite.Options{Relaxed: true})
	if err != nil {
		return nil, err
	}

	held := &heldContext{Context: context.WithoutCancel(ctx), begun: make(chan struct{}), let: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// The store looks at the context within its transaction, and then
		// writes nothing, since the context says that the caller has left.
		_, _ = other.Abandon(held, trips.IdempotencyKey{Actor: trips.Rider("other program"), ID: "long"})
	}()

	select {
	case <-held.begun:
	case <-ended:
		return nil, errors.Join(errors.New("the write lock of the database could not be held"), other.Close())
	}
	return func() {
		close(held.let)
		<-ended
		_ = other.Close()
	}, nil
}

// heldContext holds up the goroutine that asks whether it has ended.
type heldContext struct {
	context.Context
	once  sync.Once
	begun chan struct{} // closed by the first question
	let   chan struct{} // closed when it may be answered
}

func (c *heldContext) Err() error {
	c.once.Do(func() { close(c.begun) })
	<-c.let
	return context.Canceled
}
