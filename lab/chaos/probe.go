package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/lab/process"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
)

const (
	probeEvery   = 250 * time.Millisecond
	probeWithin  = time.Second // a slower answer counts as failed
	probesAtOnce = 16
	cancelWithin = 5 * time.Second
)

// Kinds of probes.
const (
	healthProbe  = "health"  // does the process answer?
	commandProbe = "command" // does it commit a new trip?
)

// probeResult is the outcome of one probe.
type probeResult struct {
	node int
	kind string
	at   time.Time // when it was sent
	took time.Duration
	ok   bool
}

// prober probes every node at an even pace, through the proxies of phones.
type prober struct {
	city   *city
	roads  *routing.City
	client *client.Client
	tokens [][]string // by node, of the riders that probe it in turns

	mu      sync.Mutex // guards answers
	results []probeResult
}

// newProber fetches the tokens, so the nodes must be ready.
func newProber(ctx context.Context, c *city) (*prober, error) {
	town, err := routing.Open("1")
	if err != nil {
		return nil, err
	}

	p := &prober{city: c, roads: town, client: client.New(client.Config{HTTP: process.FreshHTTP})}
	for i, n := range c.nodes {
		var tokens []string
		for k := range 2 * probesAtOnce {
			token, err := p.client.DevToken(ctx, n.publicURL(), client.RoleRider, fmt.Sprintf("probe-%d-%d", i+1, k))
			if err != nil {
				return nil, fmt.Errorf("a probe needs a token: %w", err)
			}
			tokens = append(tokens, token)
		}

		p.tokens = append(p.tokens, tokens)
	}

	return p, nil
}

// run probes until ctx ends.
func (p *prober) run(ctx context.Context) error {
	var team errgroup.Group
	for i := range p.city.nodes {
		team.Go(func() error { p.probeNode(ctx, i); return nil })
	}
	return team.Wait()
}

// probeNode probes one node at an even pace, however slow the answers are. It
// returns when ctx has ended and all probes have.
func (p *prober) probeNode(ctx context.Context, node int) {
	var team errgroup.Group
	defer func() { _ = team.Wait() }()

	team.SetLimit(2 * probesAtOnce)
	rng := rand.New(rand.NewPCG(p.city.cfg.Seed, uint64(node)))
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for k := 0; ; k++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}

		token := p.tokens[node][k%len(p.tokens[node])]
		from, to := p.roads.RandomPoint(rng), p.roads.RandomPoint(rng)
		team.Go(func() error { p.recordProbe(ctx, node, healthProbe, p.probeHealth); return nil })

		team.Go(func() error {
			p.recordProbe(ctx, node, commandProbe, func(ctx context.Context, door string) bool {
				return p.probeCommand(ctx, door, token, from, to)
			})
			return nil
		})
	}
}

// recordProbe runs a probe and records its outcome.
func (p *prober) recordProbe(ctx context.Context, node int, asked string, ask func(ctx context.Context, door string) bool) {
	limited, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()

	a := probeResult{node: node, kind: asked, at: time.Now()}
	a.ok = ask(limited, p.city.nodes[node].publicURL())
	a.took = time.Since(a.at)
	if ctx.Err() != nil {
		return // cut off by the end of the run
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	p.results = append(p.results, a)
}

func (p *prober) probeHealth(ctx context.Context, door string) bool {
	return process.HTTPAnswers(door+"/healthz")(ctx) == nil
}

// probeCommand requests a trip, which is a commit, and then cancels it. A
// conflict counts as success: the rider's last trip could not be cancelled, and
// the node has read that from the database.
func (p *prober) probeCommand(ctx context.Context, door, token string, from, to location.Point) bool {
	var trip struct{ ID string }
	err := p.client.CallAPI(ctx, door, client.Request{Method: http.MethodPost, Path: "/v1/trips", Token: token, ID: uuid.NewString(),
		Body: map[string]location.Point{"pickup": from, "dropoff": to}}, &trip)
	if err != nil {
		refused, answered := errors.AsType[*client.StatusError](err)
		return answered && refused.Status == http.StatusConflict
	}

	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelWithin)
	defer cancel()
	_ = p.client.CallAPI(late, door, client.Request{Method: http.MethodPost, Path: "/v1/trips/" + trip.ID + "/cancel", Token: token,
		ID: uuid.NewString(), Body: struct{}{}}, nil)
	return true
}

// hasServed reports whether a node carried out a command that was sent after a
// moment.
func (p *prober) hasServed(node int, after time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.results, func(a probeResult) bool {
		return a.node == node && a.kind == commandProbe && a.ok && a.at.After(after)
	})
}
