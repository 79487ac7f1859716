package pricing

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

var (
	secret = bytes.Repeat([]byte("s"), 32)
	way    = trips.Quote{Metres: 8120.5, Duration: 901 * time.Second, Source: "road"}
)

// manualClock is a clock that is set by hand.
type manualClock struct{ now time.Time }

func (h *manualClock) Now() time.Time { return h.now }

func newTestQuoter(t testing.TB, secret []byte, o QuoterOptions) *Quoter {
	t.Helper()
	q, err := NewQuoter(secret, o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func signQuote(t testing.TB, q *Quoter) (string, Quote) {
	t.Helper()
	token, quote, err := q.SignQuote(NewQuoteID(), "r", market, village, way)
	if err != nil {
		t.Fatal(err)
	}
	return token, quote
}

func TestWhatOneNodeQuotesAnotherReads(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &manualClock{time.Unix(rapid.Int64Range(0, 4e9).Draw(rt, "now"), rapid.Int64Range(0, 999_999_999).Draw(rt, "ns"))}
		a, b := newTestQuoter(t, secret, QuoterOptions{Now: h.Now}), newTestQuoter(t, secret, QuoterOptions{Now: h.Now})
		deg := rapid.Float64Range(-90, 90)
		from := location.Point{Lng: deg.Draw(rt, "lng"), Lat: deg.Draw(rt, "lat")}
		to := location.Point{Lng: deg.Draw(rt, "lng"), Lat: deg.Draw(rt, "lat")}
		way := trips.Quote{Metres: rapid.Float64Range(0, 1e6).Draw(rt, "metres"), Source: "road",
			Duration: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(rt, "duration"))}

		token, given, err := a.SignQuote(NewQuoteID(), "r-1", from, to, way)
		if err != nil || len(token) > maxTokenBytes {
			rt.Fatalf("%d bytes, %v", len(token), err)
		}

		read, err := b.VerifyQuote(token, "r-1")
		if err != nil || !read.ExpiresAt.Equal(given.ExpiresAt) {
			rt.Fatalf("%v: until %v, given %v", err, read.ExpiresAt, given.ExpiresAt)
		}
		if read.ExpiresAt = given.ExpiresAt; read != given {
			rt.Fatalf("read %+v, given %+v", read, given)
		}
	})
}

func TestAQuoteHoldsThePriceOfItsMomentThoughTheCityGetsBusy(t *testing.T) {
	h := &manualClock{start}
	s := NewSurge(SurgeOptions{})
	q := newTestQuoter(t, secret, QuoterOptions{Surge: s, Now: h.Now})
	token, calm := signQuote(t, q)
	tickMarket(s, start, 60, 20, 0)
	if read, err := q.VerifyQuote(token, "r"); err != nil || read.Terms.Fare != calm.Terms.Fare || read.Multiplier != NoSurge {
		t.Errorf("%+v, %v", read, err)
	}

	_, busy := signQuote(t, q)
	if want := Fare(trips.DefaultTariff, way.Metres, way.Duration, 25); busy.Multiplier != 25 || busy.Terms.Fare != want {
		t.Errorf("busy: %+v, want %v", busy, want)
	}
}

func TestAQuoteEndsAtItsEnd(t *testing.T) {
	h := &manualClock{start.Add(300 * time.Millisecond)}
	q := newTestQuoter(t, secret, QuoterOptions{Now: h.Now})

	token, given := signQuote(t, q)
	if life := given.ExpiresAt.Sub(h.now); life > DefaultTTL || life <= DefaultTTL-time.Second {
		t.Errorf("binds for %v", life)
	}

	h.now = given.ExpiresAt.Add(-time.Nanosecond)
	if _, err := q.VerifyQuote(token, "r"); err != nil {
		t.Errorf("a moment before its end: %v", err)
	}

	h.now = given.ExpiresAt
	if read, err := q.VerifyQuote(token, "r"); !errors.Is(err, ErrQuoteExpired) || read.ID != given.ID || read.From != market {
		t.Errorf("at its end: %+v, %v", read, err)
	}
	if _, err := q.VerifyQuote(token, "other"); !errors.Is(err, ErrBadQuote) {
		t.Errorf("expired and another's: %v", err)
	}
}

func TestNoBitOfAQuoteCanBeChanged(t *testing.T) {
	h := &manualClock{start}
	q := newTestQuoter(t, secret, QuoterOptions{Now: h.Now})
	token, _ := signQuote(t, q)
	for i := range len(token) {
		for bit := range 8 {
			forged := []byte(token)
			forged[i] ^= 1 << bit
			if _, err := q.VerifyQuote(string(forged), "r"); !errors.Is(err, ErrBadQuote) {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
		}
	}

	for _, forged := range []string{"", ".", "..", token + "=", token + "\n", token + "A", token[:len(token)-1],
		token[:20] + "\r\n" + token[20:], strings.Repeat("A", maxTokenBytes+1)} {
		if _, err := q.VerifyQuote(forged, "r"); !errors.Is(err, ErrBadQuote) {
			t.Errorf("%.40q: %v", forged, err)
		}
	}
}

// goodClaims are those of a quote for the rider "r", made at start. They are
// always the same.
func goodClaims() quoteClaims {
	return quoteClaims{From: market, To: village, Fare: trips.Money{Minor: 1, Currency: "NGN"}, Tenths: NoSurge,
		RegisteredClaims: jwt.RegisteredClaims{Issuer: quoteIssuer, Audience: jwt.ClaimStrings{quoteAudience},
			Subject: "r", ID: "q", ExpiresAt: jwt.NewNumericDate(start.Add(DefaultTTL))}}
}

func TestOnlyTokensMadeToBeQuotesAreQuotes(t *testing.T) {
	h := &manualClock{start}
	q := newTestQuoter(t, secret, QuoterOptions{Now: h.Now})
	token, _ := signQuote(t, q)
	signed := func(m jwt.SigningMethod, key any, change func(*quoteClaims)) string {
		c := goodClaims()
		change(&c)
		s, err := jwt.NewWithClaims(m, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}

	same := func(*quoteClaims) {}
	if _, err := q.VerifyQuote(signed(jwt.SigningMethodHS256, q.key, same), "r"); err != nil {
		t.Fatalf("the pattern of the others: %v", err)
	}

	for name, forged := range map[string]string{
		"not signed":               signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same),
		"another algorithm":        signed(jwt.SigningMethodHS512, q.key, same),
		"the sessions' key":        signed(jwt.SigningMethodHS256, secret, same),
		"another audience":         signed(jwt.SigningMethodHS256, q.key, func(c *quoteClaims) { c.Audience[0] = "ridehail.v1" }),
		"a second audience":        signed(jwt.SigningMethodHS256, q.key, func(c *quoteClaims) { c.Audience = append(c.Audience, "x") }),
		"another issuer":           signed(jwt.SigningMethodHS256, q.key, func(c *quoteClaims) { c.Issuer = "x" }),
		"without an end":           signed(jwt.SigningMethodHS256, q.key, func(c *quoteClaims) { c.ExpiresAt = nil }),
		"without an id":            signed(jwt.SigningMethodHS256, q.key, func(c *quoteClaims) { c.ID = "" }),
		"another rider's":          signed(jwt.SigningMethodHS256, q.key, func(c *quoteClaims) { c.Subject = "other" }),
		"algorithm only in header": base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + token[strings.Index(token, "."):],
	} {
		if _, err := q.VerifyQuote(forged, "r"); !errors.Is(err, ErrBadQuote) {
			t.Errorf("%s: %v", name, err)
		}
	}

	if _, err := newTestQuoter(t, bytes.Repeat([]byte("x"), 32), QuoterOptions{Now: h.Now}).VerifyQuote(token, "r"); !errors.Is(err, ErrBadQuote) {
		t.Errorf("another secret: %v", err)
	}
	if _, err := NewQuoter(secret[:31], QuoterOptions{}); err == nil {
		t.Error("a short secret was taken")
	}
}

func FuzzWhateverIsSentAsAQuoteIsReadOrRefused(f *testing.F) {
	h := &manualClock{start}
	q := newTestQuoter(f, secret, QuoterOptions{Now: h.Now})

	// Each of the fuzzer's processes runs this, and all must sign the same
	// token.
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, goodClaims()).SignedString(q.key)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := q.VerifyQuote(token, "r"); err != nil {
		f.Fatal(err)
	}

	f.Add(token)
	f.Add("")
	f.Add("a.b.c")

	f.Fuzz(func(t *testing.T, sent string) {
		if _, err := q.VerifyQuote(sent, "r"); sent != token && !errors.Is(err, ErrBadQuote) {
			t.Errorf("%q: %v", sent, err)
		}
	})
}
