package gateway

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ridehail/ridehail/trips"
)

// What every token says besides who and until when.
const (
	tokenIssuer   = "ridehail"
	tokenAudience = "ridehail.v1"
	clockLeeway   = 5 * time.Second
	maxToken      = 2048 // bytes
	// tokenLongest is how far ahead a token may end, and so how long a revocation must be remembered.
	tokenLongest = 30 * 24 * time.Hour
	maxID        = 64 // bytes of an actor's id
)

// ErrToken is wrapped by every refusal of a token.
var ErrToken = errors.New("the token is not usable: get a new one")

// ErrRevoked is the refusal of a token that an operator took back.
var ErrRevoked = fmt.Errorf("%w (revoked)", ErrToken)

// ErrActor says that a token cannot be issued for such a role or id.
var ErrActor = errors.New(`a token needs the role "driver" or "rider" and an id of 1 to 64 letters, digits and . _ -`)

// Auth issues and checks tokens: JWT signed with HS256 and one secret. The token's own header chooses nothing.
type Auth struct {
	secret  []byte
	now     func() time.Time
	parser  *jwt.Parser
	revoked *revoked
}

// Pass is what a token says.
type Pass struct {
	Who           trips.Actor
	ID            string    // of the token (jti); without one it can be revoked only with all of its holder's
	Issued, Until time.Time // Issued is zero when the token does not say
}

type claims struct {
	Role trips.Role `json:"role"`
	jwt.RegisteredClaims
}

// NewAuth takes a secret of at least 32 bytes.
func NewAuth(secret []byte, now func() time.Time) (*Auth, error) {
	if len(secret) < 32 {
		return nil, fmt.Errorf("the token secret has %d bytes: give at least 32", len(secret))
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(tokenIssuer),
		jwt.WithAudience(tokenAudience), jwt.WithExpirationRequired(), jwt.WithLeeway(clockLeeway),
		jwt.WithTimeFunc(now), jwt.WithStrictDecoding())
	return &Auth{secret: secret, now: now, parser: parser, revoked: newRevoked()}, nil
}

// Issue makes a token for a driver or a rider, with an id of its own. It lasts at most 30 days.
func (a *Auth) Issue(role trips.Role, id string, ttl time.Duration) (string, error) {
	if !usable(trips.Actor{Role: role, ID: id}) {
		return "", ErrActor
	}
	if ttl > tokenLongest {
		return "", fmt.Errorf("a token for %v is refused: ask for at most %v", ttl, tokenLongest)
	}
	now := a.now()
	c := claims{Role: role, RegisteredClaims: jwt.RegisteredClaims{
		Issuer: tokenIssuer, Audience: jwt.ClaimStrings{tokenAudience}, Subject: id, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
	}}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(a.secret)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return token, nil
}

// Verify says who the token speaks for and until when, or wraps ErrToken; ErrRevoked, which does too, when an operator
// took it back.
func (a *Auth) Verify(token string) (Pass, error) {
	if len(token) > maxToken {
		return Pass{}, fmt.Errorf("%w (longer than %d bytes)", ErrToken, maxToken)
	}
	var c claims
	if _, err := a.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return a.secret, nil }); err != nil {
		return Pass{}, fmt.Errorf("%w (%s)", ErrToken, refusal(err))
	}
	p := Pass{Who: trips.Actor{Role: c.Role, ID: c.Subject}, ID: c.ID, Until: c.ExpiresAt.Time}
	if c.IssuedAt != nil {
		p.Issued = c.IssuedAt.Time
	}
	switch {
	case !usable(p.Who):
		return Pass{}, fmt.Errorf("%w (no driver or rider)", ErrToken)
	case len(p.ID) > maxID:
		return Pass{}, fmt.Errorf("%w (jti longer than %d bytes)", ErrToken, maxID)
	case p.Until.After(a.now().Add(tokenLongest + clockLeeway)):
		return Pass{}, fmt.Errorf("%w (lasts longer than %v)", ErrToken, tokenLongest)
	case a.revoked.refuses(p):
		return Pass{}, ErrRevoked
	}
	return p, nil
}

// refusal tells the holder what is wrong, and nothing about how the signature was checked.
func refusal(err error) string {
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

// usable says whether the actor may hold a token. Nobody can be the system, and an id is safe in keys, logs and paths.
func usable(a trips.Actor) bool {
	if (a.Role != trips.RoleDriver && a.Role != trips.RoleRider) || a.ID == "" || len(a.ID) > maxID {
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
