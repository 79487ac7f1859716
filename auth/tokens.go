// Package auth issues and verifies tokens, and holds which of them operators
// revoked.
package auth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ridehail/ridehail/internal/text"
	"github.com/ridehail/ridehail/trips"
)

// What every token says besides who and until when.
const (
	tokenIssuer   = "ridehail"
	tokenAudience = "ridehail.v1"
)

const (
	// MaxToken is how long a token may be, in bytes.
	MaxToken = 2048
	// ClockLeeway is how long after its end a token still passes, because the
	// clocks of nodes differ a little.
	ClockLeeway = 5 * time.Second
	// maxLifetime is how far ahead a token may end, and so how long a
	// revocation must be remembered.
	maxLifetime = 30 * 24 * time.Hour
)

// ErrToken is wrapped by every refusal of a token.
var ErrToken = errors.New("the token is not usable: get a new one")

// ErrRevoked is the refusal of a token that an operator revoked.
var ErrRevoked = fmt.Errorf("%w (revoked)", ErrToken)

// ErrActor says that a token cannot be issued for such a role or id.
var ErrActor = errors.New(`a token needs the role "driver" or "rider" and an id of 1 to 64 letters, digits and . _ -`)

// Tokens issues and checks tokens: JWT signed with HS256 and one secret. The
// token's own header chooses nothing. Safe for concurrent use.
type Tokens struct {
	secret  []byte
	now     func() time.Time
	parser  *jwt.Parser
	revoked *Revocations
}

// Pass is what a token says.
type Pass struct {
	Who trips.Actor
	// ID is the token's (jti). A token without one can be revoked only together
	// with all of its holder's.
	ID            string
	Issued, Until time.Time // Issued is zero when the token does not say
}

type claims struct {
	Role trips.Role `json:"role"`
	jwt.RegisteredClaims
}

// NewTokens takes a secret of at least 32 bytes. Tokens in revoked are refused.
func NewTokens(secret []byte, revoked *Revocations, now func() time.Time) (*Tokens, error) {
	if len(secret) < 32 {
		return nil, fmt.Errorf("the token secret has %d bytes: give at least 32", len(secret))
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(tokenIssuer),
		jwt.WithAudience(tokenAudience), jwt.WithExpirationRequired(), jwt.WithLeeway(ClockLeeway),
		jwt.WithTimeFunc(now), jwt.WithStrictDecoding())
	return &Tokens{secret: secret, now: now, parser: parser, revoked: revoked}, nil
}

// Issue makes a token for a driver or a rider, with an id of its own. It lasts
// at most 30 days. The error is ErrActor for anyone else.
func (t *Tokens) Issue(role trips.Role, id string, ttl time.Duration) (string, error) {
	if !MayHoldToken(trips.Actor{Role: role, ID: id}) {
		return "", ErrActor
	}
	if ttl > maxLifetime {
		return "", fmt.Errorf("a token for %v is refused: ask for at most %v", ttl, maxLifetime)
	}

	now := t.now()
	c := claims{Role: role, RegisteredClaims: jwt.RegisteredClaims{
		Issuer: tokenIssuer, Audience: jwt.ClaimStrings{tokenAudience}, Subject: id, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
	}}

	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(t.secret)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}

	return token, nil
}

// Verify returns who the token speaks for and until when. Its errors wrap
// ErrToken; the one of a revoked token is ErrRevoked, which does too.
func (t *Tokens) Verify(token string) (Pass, error) {
	if len(token) > MaxToken {
		return Pass{}, fmt.Errorf("%w (longer than %d bytes)", ErrToken, MaxToken)
	}

	var c claims
	if _, err := t.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return t.secret, nil }); err != nil {
		return Pass{}, fmt.Errorf("%w (%s)", ErrToken, explainRefusal(err))
	}

	p := Pass{Who: trips.Actor{Role: c.Role, ID: c.Subject}, ID: c.ID, Until: c.ExpiresAt.Time}
	if c.IssuedAt != nil {
		p.Issued = c.IssuedAt.Time
	}

	switch {
	case !MayHoldToken(p.Who):
		return Pass{}, fmt.Errorf("%w (no driver or rider)", ErrToken)
	case p.ID != "" && !text.IsID(p.ID): // no operator could revoke it alone
		return Pass{}, fmt.Errorf("%w (jti over %d bytes, or not plain text)", ErrToken, text.MaxID)
	case p.Until.After(t.now().Add(maxLifetime + ClockLeeway)):
		return Pass{}, fmt.Errorf("%w (lasts longer than %v)", ErrToken, maxLifetime)
	case t.IsRevoked(p):
		return Pass{}, ErrRevoked
	}

	return p, nil
}

// IsRevoked returns true if the token was revoked since it was verified.
func (t *Tokens) IsRevoked(p Pass) bool { return t.revoked.coversPass(p) }

// explainRefusal returns the reason for the holder, and nothing about how the
// signature was checked.
func explainRefusal(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return "expired"
	case errors.Is(err, jwt.ErrTokenInvalidAudience), errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return "made for another service"
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "not a JWT"
	}
	return "not signed by us"
}

// MayHoldToken returns true if a token can be issued for the actor: a driver or
// a rider, never the system, with an id that is safe in keys, logs and paths.
func MayHoldToken(a trips.Actor) bool {
	if (a.Role != trips.RoleDriver && a.Role != trips.RoleRider) || a.ID == "" || len(a.ID) > text.MaxID {
		return false
	}

	for _, c := range []byte(a.ID) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}
