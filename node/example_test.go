package node_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/node"
)

// One node in this process: a SQLite file, an embedded Redis, a generated city.
func Example() {
	dir, err := os.MkdirTemp("", "ridehail-example")
	if err != nil {
		log.Panic(err)
	}
	defer os.RemoveAll(dir)

	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	n, err := node.Open(ctx, node.Config{Name: "example", Listen: "127.0.0.1:0", Database: filepath.Join(dir, "ridehail.db"),
		City: "1", DevTokens: true, Secret: []byte("a secret of at least thirty-two bytes"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Panic(errors.Join(err, n.Close()))
	}

	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- n.Run(ctx, func() { close(ready) }) }()
	<-ready

	phones := client.New(client.Config{Servers: []string{n.PublicURL()}})
	defer phones.Close()

	token, err := phones.DevToken(ctx, n.PublicURL(), client.RoleRider, "ada")
	fmt.Println("ada has a token:", token != "", err)

	stop()
	fmt.Println("the node ran until it was stopped:", <-ended)
	fmt.Println("and is closed:", n.Close())
	// Output:
	// ada has a token: true <nil>
	// the node ran until it was stopped: <nil>
	// and is closed: <nil>
}
