package gateway

import (
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
	maxID         = 64   // bytes of an actor's id
)

// ErrToken is wrapped by every refusal of a token.
var ErrToken = errors.New("the token is not usable: get a new one")

// ErrActor says that a token cannot be issued for such a role or id.
var ErrActor = errors.New(`a token needs the role "driver" or "rider" and an id of 1 to 64 letters, digits and . _ -`)

// Auth issues and checks tokens: JWT signed with HS256 and one secret. The token's own header chooses nothing.
type Auth struct {
	secret []byte
	now    func() time.Time
	parser *jwt.Parser
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
	return &Auth{secret: secret, now: now, parser: parser}, nil
}

// Issue makes a token for a driver or a rider.
func (a *Auth) Issue(role trips.Role, id string, ttl time.Duration) (string, error) {
	if !usable(trips.Actor{Role: role, ID: id}) {
		return "", ErrActor
	}
	now := a.now()
	c := claims{Role: role, RegisteredClaims: jwt.RegisteredClaims{
		Issuer: tokenIssuer, Audience: jwt.ClaimStrings{tokenAudience}, Subject: id,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
	}}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(a.secret)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return token, nil
}

// Verify says who the token speaks for and until when, or wraps ErrToken.
func (a *Auth) Verify(token string) (trips.Actor, time.Time, error) {
	if len(token) > maxToken {
		return trips.Actor{}, time.Time{}, fmt.Errorf("%w (longer than %d bytes)", ErrToken, maxToken)
	}
	var c claims
	if _, err := a.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return a.secret, nil }); err != nil {
		return trips.Actor{}, time.Time{}, fmt.Errorf("%w (%s)", ErrToken, refusal(err))
	}
	who := trips.Actor{Role: c.Role, ID: c.Subject}
	if !usable(who) {
		return trips.Actor{}, time.Time{}, fmt.Errorf("%w (no driver or rider)", ErrToken)
	}
	return who, c.ExpiresAt.Time, nil
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
