package messages

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/url"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/lab/finding"
)

// openRedis opens a client of the server at an address, or of a new embedded
// one. The part names it without its password.
func openRedis(ctx context.Context, address string, opts ...events.Option) (r *events.Redis, part finding.Part, err error) {
	part.Name = "Redis"
	if address == "" {
		part.Name = "embedded Redis"
		r, err = events.OpenEmbedded(opts...)
	} else {
		r, err = events.Open(ctx, address, opts...)
	}
	if err != nil {
		return nil, part, fmt.Errorf("%w: %w", finding.ErrUnreachable, err)
	}

	if at, err := url.Parse(cmp.Or(address, r.EmbeddedURL())); err == nil {
		part.Where = at.Host
	}
	return r, part, nil
}

// newPrefix returns a prefix of keys and channels that no other run has.
func newPrefix() string { return "ridehail-lab:" + rand.Text() + ":" }
