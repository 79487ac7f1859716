package auth

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ridehail/ridehail/internal/text"
	"github.com/ridehail/ridehail/trips"
)

var testSecret = bytes.Repeat([]byte("s"), 32)

func newTestTokens(t testing.TB, now func() time.Time) *Tokens {
	t.Helper()
	a, err := NewTokens(testSecret, &Revocations{Now: now, Log: slog.New(slog.DiscardHandler)}, now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issueToken(t testing.TB, a *Tokens, role trips.Role, id string) string {
	t.Helper()
	token, err := a.Issue(role, id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestIssuedTokenNamesItsHolderUntilItExpires(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	a := newTestTokens(t, func() time.Time { return now })
	token := issueToken(t, a, trips.RoleDriver, "d1")

	p, err := a.Verify(token)
	if err != nil || p.Who != trips.Driver("d1") || !p.Until.Equal(now.Add(time.Hour)) || !p.Issued.Equal(now) || p.ID == "" {
		t.Fatalf("%+v, %v", p, err)
	}

	now = now.Add(time.Hour + ClockLeeway + time.Second)
	if _, err := a.Verify(token); !errors.Is(err, ErrToken) {
		t.Errorf("an expired token passed: %v", err)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	a := newTestTokens(t, time.Now)
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
		"alg none":        forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, ""),
		"HS512":           forge(jwt.SigningMethodHS512, testSecret, nil, ""),
		"kid path":        forge(hs, []byte{}, nil, "../../dev/null"),
		"other audience":  forge(hs, testSecret, func(c *claims) { c.Audience = jwt.ClaimStrings{"other"} }, ""),
		"other issuer":    forge(hs, testSecret, func(c *claims) { c.Issuer = "other" }, ""),
		"no expiry":       forge(hs, testSecret, func(c *claims) { c.ExpiresAt = nil }, ""),
		"system":          forge(hs, testSecret, func(c *claims) { c.Role = trips.RoleSystem }, ""),
		"no subject":      forge(hs, testSecret, func(c *claims) { c.Subject = "" }, ""),
		"an endless life": forge(hs, testSecret, func(c *claims) { c.ExpiresAt = jwt.NewNumericDate(time.Now().AddDate(10, 0, 0)) }, ""),
		"a long id":       forge(hs, testSecret, func(c *claims) { c.ID = strings.Repeat("j", text.MaxID+1) }, ""),
		"an id with NUL":  forge(hs, testSecret, func(c *claims) { c.ID = "a\x00b" }, ""),
		"a broken id":     forge(hs, testSecret, func(c *claims) { c.ID = "line\nbreak" }, ""),
		"a NUL subject":   forge(hs, testSecret, func(c *claims) { c.Subject = "a\x00" }, ""),
		"not yet valid":   forge(hs, testSecret, func(c *claims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(time.Hour)) }, ""),
		"HS384":           forge(jwt.SigningMethodHS384, testSecret, nil, ""),
		"odd subject":     forge(hs, testSecret, func(c *claims) { c.Subject = "a/b" }, ""),
	} {
		if who, err := a.Verify(token); !errors.Is(err, ErrToken) {
			t.Errorf("%s: passed as %v, %v", name, who, err)
		}
	}
}

// A header that names an algorithm, a key or a place to find one changes
// nothing: the algorithm is HS256 and the key ours.
func TestTheHeaderOfATokenChoosesNothing(t *testing.T) {
	a := newTestTokens(t, time.Now)
	_, payload, _ := strings.Cut(issueToken(t, a, trips.RoleRider, "r1"), ".")
	payload, _, _ = strings.Cut(payload, ".")
	encode := base64.RawURLEncoding.EncodeToString
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}

	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}

	for _, header := range []string{`{"alg":"none"}`, `{"alg":"None"}`, `{"alg":"NONE","typ":"JWT"}`, `{"alg":""}`, `{}`, `{"alg":null}`,
		`{"alg":["HS256"]}`, `{"alg":"RS256"}`, `{"alg":"ES256"}`, `{"alg":"PS256"}`, `{"alg":"HS384"}`, `{"alg":"hs256"}`,
		`{"alg":"HS256","kid":"../../../dev/null"}`, `{"alg":"HS256","kid":"' UNION SELECT 'k"}`,
		`{"alg":"HS256","jku":"https://example.org/keys"}`, `{"alg":"HS256","jwk":{"kty":"oct","k":""}}`, `{"alg":"HS256","x5u":"x"}`,
	} {
		signed := encode([]byte(header)) + "." + payload
		for key, secret := range map[string][]byte{"an empty key": {}, "the header": []byte(header), "a public key": public} {
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(signed))
			if p, err := a.Verify(signed + "." + encode(mac.Sum(nil))); !errors.Is(err, ErrToken) {
				t.Errorf("%s signed with %s passed as %v", header, key, p)
			}
		}

		digest := sha256.Sum256([]byte(signed))
		sig, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
		if err != nil {
			t.Fatal(err)
		}

		for name, end := range map[string]string{"no signature": ".", "a part missing": "", "RSA": "." + encode(sig)} {
			if p, err := a.Verify(signed + end); !errors.Is(err, ErrToken) {
				t.Errorf("%s with %s passed as %v", header, name, p)
			}
		}
	}
}

func TestATokenWithAnyBitFlippedIsRefused(t *testing.T) {
	a := newTestTokens(t, time.Now)
	token := []byte(issueToken(t, a, trips.RoleDriver, "d1"))
	for i := range len(token) * 8 {
		token[i/8] ^= 1 << (i % 8)
		if p, err := a.Verify(string(token)); !errors.Is(err, ErrToken) {
			t.Errorf("bit %d flipped: passed as %v", i, p)
		}
		token[i/8] ^= 1 << (i % 8)
	}

	if _, err := a.Verify(string(token)); err != nil {
		t.Errorf("the token itself: %v", err)
	}
}

// FuzzAnythingSentAsATokenIsRefused knows no token of ours, so none may pass.
func FuzzAnythingSentAsATokenIsRefused(f *testing.F) {
	a := newTestTokens(f, func() time.Time { return time.Unix(1_700_000_000, 0) })
	claims := jwt.MapClaims{"iss": "ridehail", "aud": "ridehail.v1", "sub": "rider:r1", "role": "rider", "exp": 1_700_000_060}
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384} {
		forged, err := jwt.NewWithClaims(method, claims).SignedString([]byte("a secret that was guessed wrongly"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(forged)
	}
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("a.b.c")

	f.Fuzz(func(t *testing.T, sent string) {
		if p, err := a.Verify(sent); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %+v, %v", sent, p, err)
		}
	})
}

func FuzzTokenWithAnyByteChangedIsRefused(f *testing.F) {
	a := newTestTokens(f, time.Now)
	token := issueToken(f, a, trips.RoleRider, "r1")
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
