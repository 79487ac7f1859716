package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// TopicRevoked is the topic on which every node gets the revocations of others.
const TopicRevoked = "revoked"

// compareEvery is how often a node compares what it knows of revocations with
// what is kept. A published notice arrives at once; this is for one
// that was lost, and for a keeper that lost its data.
const compareEvery = time.Second

// Keeper keeps revocations where every node finds them, also one that was away.
// A notice is opaque to it; the same notice may come twice. Its methods may
// block and may be called from many goroutines.
type Keeper interface {
	// KeepNotice holds the notice until a time.
	KeepNotice(ctx context.Context, notice []byte, until time.Time) error
	// PublishNotice hands the notice to ApplyNotice of every node under
	// TopicRevoked, as far as it can reach them.
	PublishNotice(ctx context.Context, notice []byte) error
	// ListNotices returns the notices whose time has not come.
	ListNotices(ctx context.Context) ([][]byte, error)
}

// revocation is one token, or all of a user's that were issued until a time.
type revocation struct {
	Token string     `json:"jti,omitempty"`
	Role  trips.Role `json:"role,omitempty"`
	ID    string     `json:"id,omitempty"`
	At    time.Time  `json:"at"`
	Until time.Time  `json:"until"` // all its tokens have expired by then
}

// Revocations are the tokens that operators revoked, as far as this node knows.
// Set the fields before use; then it is safe for concurrent use.
type Revocations struct {
	Keeper Keeper // nil: this node alone knows
	Now    func() time.Time
	Log    *slog.Logger
	// OnRevoked is called after this node has learned of a revocation, so that
	// the connections concerned are closed. It must not block; nil: ignored.
	OnRevoked func()
	// OnUnreadable is called for each notice that cannot be decoded. It must
	// not block; nil: ignored.
	OnUnreadable func(topic string, err error)

	mu     sync.RWMutex // guards below
	tokens map[string]revocation
	users  map[trips.Actor]revocation
}

// coversPass returns true if the token was revoked. Tokens carry the second in
// which they were issued: one of the second of the revocation is refused, and
// so is one without a time.
func (r *Revocations) coversPass(p Pass) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, one := r.tokens[p.ID]; one && p.ID != "" {
		return true
	}
	all, ok := r.users[p.Who]
	return ok && !p.Issued.After(all.At)
}

// addRevocation remembers a revocation; false when it was known.
func (r *Revocations) addRevocation(x revocation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.tokens == nil {
		r.tokens, r.users = map[string]revocation{}, map[trips.Actor]revocation{}
	}
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

// listValid returns what still matters and forgets the rest.
func (r *Revocations) listValid(now time.Time) (list []revocation) {
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

// RevokeToken refuses one token, named by its id (jti): here at once, on other
// nodes when the notice reaches them. After an error the other nodes may not
// have it; they get it from this one when the keeper can be reached again.
func (r *Revocations) RevokeToken(ctx context.Context, id string) error {
	return r.keepAndPublish(ctx, revocation{Token: id})
}

// RevokeUser refuses every token that a user was issued so far, in the same way
// as RevokeToken.
func (r *Revocations) RevokeUser(ctx context.Context, who trips.Actor) error {
	return r.keepAndPublish(ctx, revocation{Role: who.Role, ID: who.ID})
}

func (r *Revocations) keepAndPublish(ctx context.Context, x revocation) error {
	x.At = r.Now().UTC()
	x.Until = x.At.Add(maxLifetime + ClockLeeway)
	r.addRevocation(x)
	if r.OnRevoked != nil {
		r.OnRevoked()
	}
	if r.Keeper == nil {
		return nil
	}

	notice, err := json.Marshal(x)
	if err != nil {
		return fmt.Errorf("encoding a revocation: %w", err)
	}
	return errors.Join(r.Keeper.KeepNotice(ctx, notice, x.Until), r.Keeper.PublishNotice(ctx, notice))
}

// ApplyNotice takes a notice that another node published or kept.
func (r *Revocations) ApplyNotice(notice []byte) {
	var x revocation
	if err := json.Unmarshal(notice, &x); err != nil {
		if r.OnUnreadable != nil {
			r.OnUnreadable(TopicRevoked, err)
		}
		return
	}

	if r.addRevocation(x) && r.OnRevoked != nil {
		r.OnRevoked()
	}
}

// Run brings this node's revocations and the keeper's in line every second,
// until ctx ends. Without a keeper it returns nil at once.
func (r *Revocations) Run(ctx context.Context) error {
	if r.Keeper == nil {
		return nil
	}

	tick := time.NewTicker(compareEvery)
	defer tick.Stop()

	for failing := false; ; {
		err := r.compareWithKeeper(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !failing {
			r.Log.Warn("revocations made elsewhere cannot be read; those known here hold", "err", err)
		}
		failing = err != nil

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// compareWithKeeper applies what is kept, and keeps again what the keeper lost.
func (r *Revocations) compareWithKeeper(ctx context.Context) error {
	kept, err := r.Keeper.ListNotices(ctx)
	if err != nil {
		return err
	}

	found := make(map[string]bool, len(kept))
	for _, notice := range kept {
		found[string(notice)] = true
		r.ApplyNotice(notice)
	}

	for _, x := range r.listValid(r.Now()) {
		notice, err := json.Marshal(x)
		if err != nil || found[string(notice)] {
			continue // always encodes
		}
		if err := r.Keeper.KeepNotice(ctx, notice, x.Until); err != nil {
			return err
		}
	}

	return nil
}
