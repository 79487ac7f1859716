package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"

	"github.com/ridehail/ridehail/routing"
)

// checkSettings refuses what can never work, and would only show with the first
// quote or the first charge.
func (c Config) checkSettings() error {
	if err := checkURL("--routing", strings.TrimPrefix(c.Routing, "osrm:")); err != nil {
		return err
	}
	if err := checkURL("--provider", c.Provider); err != nil {
		return err
	}
	if c.Provider != "" && c.ProviderSecret == "" {
		return fmt.Errorf("%w: give --provider-secret beside --provider: it signs the provider's events", ErrUsage)
	}
	return nil
}

// checkURL takes no URL and one with a scheme and a host.
func checkURL(flag, text string) error {
	if text == "" {
		return nil
	}
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%w: %s: want http://HOST:PORT", ErrUsage, flag)
	}
	return nil
}

// warnOfRouting asks another process's routing service for one route. The node
// does without an answer, so this is no error.
func (n *Node) warnOfRouting(ctx context.Context) {
	if n.cfg.Routing == "" {
		return
	}

	draw := rand.New(rand.NewPCG(1, 1)) // any two places will do
	way, err := n.routes.Route(ctx, n.city.RandomPoint(draw), n.city.RandomPoint(draw))
	switch {
	case err != nil:
		n.log.Warn("the routing service does not know this city's roads; give it the same --city", "url", n.cfg.Routing, "err", err)
	case way.Source == routing.SourceStraight:
		n.log.Warn("the routing service does not answer; prices and pickups go by straight lines until it does", "url", n.cfg.Routing)
	}
}
