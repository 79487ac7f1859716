package node

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/google/uuid"
)

// Run opens a node, runs it until ctx ends and every part has stopped, and
// closes it. It calls onReady once, when the node takes sockets. Errors wrap
// ErrUsage or ErrUnreachable where these apply.
func Run(ctx context.Context, cfg Config, onReady func(*Node)) error {
	n, err := Open(ctx, cfg)
	if err != nil {
		return errors.Join(err, n.Close())
	}
	err = n.Run(ctx, func() { onReady(n) })
	return errors.Join(err, n.Close())
}

// DefaultName returns a name for the node that listens on an address: this
// host's name and the port. It is the same after a restart, unless the port is
// chosen by the system.
func DefaultName(listen string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}

	port := listen[strings.LastIndex(listen, ":")+1:]
	if port == "0" || port == "" {
		port = uuid.NewString()[:8]
	}
	return host + "-" + port
}
