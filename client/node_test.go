package client_test

import (
	"context"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ridehail/ridehail/node"
)

// startNode runs a node in this process, on a free port and with a database of
// its own. It returns the node's address and a function that stops the node and
// removes the database.
func startNode() (server string, stop func()) {
	dir, err := os.MkdirTemp("", "ridehail-example")
	if err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	n, err := node.Open(ctx, node.Config{Name: "example", Listen: "127.0.0.1:0", Database: filepath.Join(dir, "ridehail.db"),
		City: "1", DevTokens: true, Secret: []byte("a secret of at least thirty-two bytes"), Speed: 1000, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}

	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- n.Run(ctx, func() { close(ready) }) }()

	select {
	case <-ready:
	case err := <-ended:
		log.Fatal(err)
	}

	return n.PublicURL(), func() {
		cancel()
		<-ended
		_ = n.Close()
		_ = os.RemoveAll(dir)
	}
}
