package simulators

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// ErrUnreachable means that no node answered at the beginning of a run.
var ErrUnreachable = errors.New("no node answers there; is it running, and is the address right?")

// ErrRefused means that the node gives no tokens to simulators.
var ErrRefused = client.ErrRefused

const (
	// startTimeout is how long a node may take to answer at the beginning.
	startTimeout = 15 * time.Second
	dialsAtOnce  = 64 // so that thousands of phones do not overload the node
	// flakyDropMean is the mean time between two losses of a flaky phone.
	flakyDropMean = 30 * time.Second
)

// network is what the phones of one run share. It is fixed before the first
// phone starts.
type network struct {
	servers []string
	client  *client.Client
	stats   *Stats
	journal *journal.Journal // nil for none
	log     *slog.Logger

	dropEvery time.Duration // mean time between two losses of a phone; 0: never
	seed      uint64        // of the losses

	spread     bool // phones begin at different nodes
	spreadSeed uint64
}

// newNetwork takes the address of one node, or of several with commas between.
func newNetwork(server string, codec wire.Codec, stats *Stats, log *slog.Logger) *network {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	servers := strings.Split(server, ",")
	return &network{servers: servers, stats: stats, log: log, client: client.New(client.Config{
		Servers: servers, Codec: codec, Name: "ridehail simulator", DialsAtOnce: dialsAtOnce})}
}

// makeFlaky makes phones lose their connection at random, without a close
// frame.
func (n *network) makeFlaky(seed uint64, every time.Duration) { n.dropEvery, n.seed = every, seed }

// spreadPhones makes each phone begin at a node drawn at random, instead of at
// the first one.
func (n *network) spreadPhones(seed uint64) { n.spread, n.spreadSeed = true, seed }

// firstServer returns where a phone begins. A person always gets the same node.
func (n *network) firstServer(id string) int {
	if !n.spread {
		return 0
	}
	return newRandomStream(n.spreadSeed, id, "node").IntN(len(n.servers))
}

func (n *network) close() { n.client.Close() }

// waitForNode waits until a node gives a token. Errors: ErrUnreachable,
// ErrRefused, or that of the context.
func (n *network) waitForNode(ctx context.Context, role, id string) error {
	until := time.Now().Add(startTimeout)
	for attempt := 0; ; attempt++ {
		_, err := n.client.DevToken(ctx, n.client.ServerForAttempt(attempt), role, id)
		switch {
		case err == nil || errors.Is(err, ErrRefused):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(until):
			return fmt.Errorf("%s: %w (%w)", strings.Join(n.servers, ", "), ErrUnreachable, err)
		}

		sleep.For(ctx, client.Backoff(attempt, 0, client.RetryAfter(err)))
	}
}
