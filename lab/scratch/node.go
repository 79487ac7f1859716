package scratch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/node"
)

// Node is a node in this process that serves until Close.
type Node struct {
	*node.Node

	stop  context.CancelFunc
	ended chan error // what Run returned
}

// StartNode starts a node in the generated city 1, on a port of its own, with a
// secret of its own and without a log, and returns when it serves. The end of
// ctx does not stop it afterwards. Errors wrap finding.ErrUnreachable where
// that applies.
func StartNode(ctx context.Context, cfg node.Config) (*Node, error) {
	cfg.Listen, cfg.City, cfg.DevTokens = "127.0.0.1:0", "1", true
	cfg.Secret, cfg.Log = []byte(rand.Text()+rand.Text()), slog.New(slog.DiscardHandler)
	opened, err := node.Open(ctx, cfg)
	if err != nil {
		if errors.Is(err, node.ErrUnreachable) {
			err = fmt.Errorf("%w: %w", finding.ErrUnreachable, err)
		}
		return nil, errors.Join(err, opened.Close())
	}

	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	n := &Node{opened, stop, make(chan error, 1)}
	ready := make(chan struct{})
	go func() { n.ended <- opened.Run(serving, func() { close(ready) }) }()

	select {
	case <-ready:
		return n, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), n.Close())
	case err := <-n.ended:
		n.ended <- err // for Close
		return nil, errors.Join(errors.New("the node ended before it was ready"), n.Close())
	}
}

// Close stops the node and waits for its end.
func (n *Node) Close() error {
	n.stop()
	return errors.Join(<-n.ended, n.Node.Close())
}
