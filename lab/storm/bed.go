package storm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/scratch"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/store"
)

// bed is a node in this process with a database of this run.
type bed struct {
	node     *node.Node
	database *scratch.Database
	meter    *statementMeter
	redis    string // where it is

	stop  context.CancelFunc
	ended chan error // of the node's Run; closed
}

// openBed starts a node and returns when it serves.
func openBed(ctx context.Context, run *finding.Run) (b *bed, err error) {
	b = &bed{meter: new(statementMeter), redis: "embedded", stop: func() {}, ended: make(chan error, 1)}
	if b.database, err = scratch.Create(ctx, run.Database); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()

	address := b.database.URL
	if store.IsPostgres(address) {
		if address, err = b.meter.interposeLine(address); err != nil {
			close(b.ended)
			return b, err
		}
	}
	if run.Redis != "" {
		b.redis = run.Redis
	}

	// The phones' cars cross the city from one position to the next.
	b.node, err = node.Open(ctx, node.Config{Name: "lab-storm", Listen: "127.0.0.1:0", Database: address, Redis: run.Redis, City: "1",
		DevTokens: true, Secret: []byte(rand.Text() + rand.Text()), Speed: 1000, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		close(b.ended)
		if errors.Is(err, node.ErrUnreachable) {
			err = fmt.Errorf("%w: %w", finding.ErrUnreachable, err)
		}
		return b, err
	}
	return b, b.run(ctx)
}

// run runs the node and returns when it serves, or has failed to.
func (b *bed) run(ctx context.Context) error {
	var nodeCtx context.Context
	nodeCtx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	ready := make(chan struct{})
	go func() {
		b.ended <- b.node.Run(nodeCtx, func() { close(ready) })
		close(b.ended)
	}()

	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case err := <-b.ended:
		return errors.Join(err, errStopped)
	}
}

// close ends the node, then removes its database.
func (b *bed) close() error {
	b.stop()
	err := <-b.ended
	if b.node != nil {
		err = errors.Join(err, b.node.Close())
	}
	b.meter.close()
	return errors.Join(err, b.database.Close())
}

// listParts says what ran.
func (b *bed) listParts(f figures) []finding.Part {
	tries := 0
	for _, c := range f.Cuts {
		for _, n := range c.Tries {
			tries += n
		}
	}
	return []finding.Part{{Name: "node", Where: b.node.PublicURL(), Count: fmt.Sprintf("%d tries to connect", tries)}, b.database.Part,
		{Name: "Redis", Where: b.redis}}
}
