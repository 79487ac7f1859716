package client_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ridehail/ridehail/node"
)

// startNode runs a node in this process, on a free port and with a database of
// its own. It returns the node's address and what stops it.
func startNode() (server string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "ridehail-example")
	if err != nil {
		return "", nil, err
	}

	ctx, cancel := context.WithCancel(context.Background())
	n, opened := node.Open(ctx, node.Config{Name: "example", Listen: "127.0.0.1:0", Database: filepath.Join(dir, "ridehail.db"),
		City: "1", DevTokens: true, Secret: []byte("a secret of at least thirty-two bytes"), Speed: 1, Log: slog.New(slog.DiscardHandler)})
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		failed := opened
		if failed == nil {
			failed = n.Run(ctx, func() { close(ready) })
		}
		ended <- errors.Join(failed, n.Close(), os.RemoveAll(dir))
	}()

	select {
	case <-ready:
		return n.PublicURL(), func() { cancel(); <-ended }, nil
	case err := <-ended:
		cancel()
		return "", nil, err
	}
}
