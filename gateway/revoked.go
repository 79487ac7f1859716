package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// TopicRevoked is the topic on which every node hears what an operator revoked.
const TopicRevoked = "revoked"

// learnEvery is how often a node compares what it knows of revocations with what is kept. News comes at once; this is
// for news that got lost on its way, and for a keeper that forgot.
const learnEvery = time.Second

// Keeper keeps revocations where every node finds them, also one that was away. A notice is opaque to it, and the same
// notice may come twice.
type Keeper interface {
	// Keep holds the notice until a time.
	Keep(ctx context.Context, notice []byte, until time.Time) error
	// Tell hands the notice to Deliver of every node under TopicRevoked, as far as it can reach them.
	Tell(ctx context.Context, notice []byte) error
	// Kept returns the notices whose time has not come.
	Kept(ctx context.Context) ([][]byte, error)
}

// revocation is one token, or all of a user's that were issued until a time.
type revocation struct {
	Token string     `json:"jti,omitempty"`
	Role  trips.Role `json:"role,omitempty"`
	ID    string     `json:"id,omitempty"`
	At    time.Time  `json:"at"`
	Until time.Time  `json:"until"` // by then every token that it is about has expired
}

// revoked is what a node knows of revocations.
type revoked struct {
	mu     sync.RWMutex
	tokens map[string]revocation
	users  map[trips.Actor]revocation
}

func newRevoked() *revoked {
	return &revoked{tokens: map[string]revocation{}, users: map[trips.Actor]revocation{}}
}

// refuses says whether the token was revoked. A token tells the second in which it was issued, so that one issued in the
// second of the revocation is refused, and so is one that does not tell.
func (r *revoked) refuses(p Pass) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, one := r.tokens[p.ID]; one && p.ID != "" {
		return true
	}
	all, ok := r.users[p.Who]
	return ok && !p.Issued.After(all.At)
}

// add takes note; false when it was known.
func (r *revoked) add(x revocation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x.Token != "" {
		_, known := r.tokens[x.Token]
		r.tokens[x.Token] = x
		return !known
	}
	who := trips.Actor{Role: x.Role, ID: x.ID}
	if was, known := r.users[who]; known && !x.At.After(was.At) {
		return false
	}
	r.users[who] = x
	return true
}

// all returns what still matters and forgets the rest.
func (r *revoked) all(now time.Time) (list []revocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, x := range r.tokens {
		if now.After(x.Until) {
			delete(r.tokens, id)
			continue
		}
		list = append(list, x)
	}
	for who, x := range r.users {
		if now.After(x.Until) {
			delete(r.users, who)
			continue
		}
		list = append(list, x)
	}
	return list
}

// revoke refuses the tokens from now on: here at once, on the other nodes as soon as they are told. An error means that
// other nodes may not know; they learn it from this one when the keeper can be reached again.
func (g *Gateway) revoke(ctx context.Context, x revocation) error {
	x.At = g.cfg.Now().UTC()
	x.Until = x.At.Add(tokenLongest + clockLeeway)
	g.cfg.Auth.revoked.add(x)
	g.shut()
	if g.cfg.Revocations == nil {
		return nil
	}
	notice, err := json.Marshal(x)
	if err != nil {
		return fmt.Errorf("encoding a revocation: %w", err)
	}
	return errors.Join(g.cfg.Revocations.Keep(ctx, notice, x.Until), g.cfg.Revocations.Tell(ctx, notice))
}

// heardOfRevocation takes a notice of another node.
func (g *Gateway) heardOfRevocation(notice []byte) error {
	var x revocation
	if err := json.Unmarshal(notice, &x); err != nil {
		return err
	}
	if g.cfg.Auth.revoked.add(x) {
		g.shut()
	}
	return nil
}

// shut ends the sessions whose tokens are revoked.
func (g *Gateway) shut() {
	for _, s := range g.sessions.All(nil) {
		s.unlessRevoked()
	}
}

// unlessRevoked ends the session if its token was revoked, and says whether it may go on.
func (s *session) unlessRevoked() bool {
	if !s.g.cfg.Auth.revoked.refuses(s.pass) {
		return true
	}
	s.conn.end(wire.CloseTokenEnded, "your token was revoked: get a new one")
	return false
}

// learnRevoked keeps what this node knows and what is kept the same, until ctx ends.
func (g *Gateway) learnRevoked(ctx context.Context) {
	if g.cfg.Revocations == nil {
		return
	}
	tick := time.NewTicker(learnEvery)
	defer tick.Stop()
	for failing := false; ; {
		err := g.compareRevoked(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			g.cfg.Log.Warn("revocations made elsewhere cannot be read; those known here hold", "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// compareRevoked learns what is kept, and keeps what was forgotten.
func (g *Gateway) compareRevoked(ctx context.Context) error {
	kept, err := g.cfg.Revocations.Kept(ctx)
	if err != nil {
		return err
	}
	found := make(map[string]bool, len(kept))
	for _, notice := range kept {
		found[string(notice)] = true
		if err := g.heardOfRevocation(notice); err != nil {
			g.m.drops.WithLabelValues("bad_notice").Inc()
		}
	}
	for _, x := range g.cfg.Auth.revoked.all(g.cfg.Now()) {
		notice, err := json.Marshal(x)
		if err != nil || found[string(notice)] {
			continue // always encodes
		}
		if err := g.cfg.Revocations.Keep(ctx, notice, x.Until); err != nil {
			return err
		}
	}
	return nil
}
