package gateway

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ridehail/ridehail/trips"
)

var testSecret = bytes.Repeat([]byte("s"), 32)

func testAuth(t testing.TB, now func() time.Time) *Auth {
	t.Helper()
	a, err := NewAuth(testSecret, now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func testToken(t testing.TB, a *Auth, role trips.Role, id string) string {
	t.Helper()
	token, err := a.Issue(role, id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestIssuedTokenNamesItsHolderUntilItExpires(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	a := testAuth(t, func() time.Time { return now })
	token := testToken(t, a, trips.RoleDriver, "d1")
	p, err := a.Verify(token)
	if err != nil || p.Who != trips.Driver("d1") || !p.Until.Equal(now.Add(time.Hour)) || !p.Issued.Equal(now) || p.ID == "" {
		t.Fatalf("%+v, %v", p, err)
	}
	now = now.Add(time.Hour + clockLeeway + time.Second)
	if _, err := a.Verify(token); !errors.Is(err, ErrToken) {
		t.Errorf("an expired token passed: %v", err)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	a := testAuth(t, time.Now)
	good := func() claims {
		return claims{Role: trips.RoleRider, RegisteredClaims: jwt.RegisteredClaims{Issuer: tokenIssuer, Subject: "r1",
			Audience: jwt.ClaimStrings{tokenAudience}, ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour))}}
	}
	forge := func(method jwt.SigningMethod, key any, change func(*claims), kid string) string {
		c := good()
		if change != nil {
			change(&c)
		}
		token := jwt.NewWithClaims(method, c)
		if kid != "" {
			token.Header["kid"] = kid
		}
		s, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	hs := jwt.SigningMethodHS256
	for name, token := range map[string]string{
		"empty": "", "noise": "a.b.c", "long": strings.Repeat("a", 3000),
		"alg none":       forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, ""),
		"HS512":          forge(jwt.SigningMethodHS512, testSecret, nil, ""),
		"kid path":       forge(hs, []byte{}, nil, "../../dev/null"),
		"other audience": forge(hs, testSecret, func(c *claims) { c.Audience = jwt.ClaimStrings{"other"} }, ""),
		"other issuer":   forge(hs, testSecret, func(c *claims) { c.Issuer = "other" }, ""),
		"no expiry":      forge(hs, testSecret, func(c *claims) { c.ExpiresAt = nil }, ""),
		"system":         forge(hs, testSecret, func(c *claims) { c.Role = trips.RoleSystem }, ""),
		"no subject":     forge(hs, testSecret, func(c *claims) { c.Subject = "" }, ""),
		"odd subject":    forge(hs, testSecret, func(c *claims) { c.Subject = "a/b" }, ""),
	} {
		if who, err := a.Verify(token); !errors.Is(err, ErrToken) {
			t.Errorf("%s: passed as %v, %v", name, who, err)
		}
	}
}

func FuzzTokenWithAnyByteChangedIsRefused(f *testing.F) {
	a := testAuth(f, time.Now)
	token := testToken(f, a, trips.RoleRider, "r1")
	f.Add(0, byte(1))
	f.Add(len(token)-1, byte(1))
	f.Fuzz(func(t *testing.T, at int, flip byte) {
		b := []byte(token)
		if at < 0 || at >= len(b) || flip == 0 {
			return
		}
		b[at] ^= flip
		if _, err := a.Verify(string(b)); err == nil {
			t.Errorf("byte %d changed by %x: passed", at, flip)
		}
	})
}
