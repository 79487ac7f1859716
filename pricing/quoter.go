package pricing

import (
	"cmp"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// What every quote's token says besides the price. A session's token says
// something else, and is signed with another key.
const (
	quoteIssuer   = "ridehail"
	quoteAudience = "ridehail.quote.v1"
	quoteKeyInfo  = "ridehail quotes v1" // of the key
	maxTokenBytes = 2048                 // bytes
)

// DefaultTTL is how long a quote binds.
const DefaultTTL = 2 * time.Minute

var (
	// ErrQuote says that a token is no quote of ours for this rider.
	ErrQuote = errors.New("this is no quote of ours for you: ask for a quote and send it as it came")
	// ErrExpired says that a quote binds no more.
	ErrExpired = errors.New("the quote has expired: ask for a new quote")
)

// Quote is a price for one rider's way. It binds until Until, and not at that
// moment any more.
type Quote struct {
	ID         string
	Rider      trips.RiderID
	From, To   location.Point
	Terms      trips.Quote
	Multiplier Multiplier
	Until      time.Time
}

// Quoter prices ways and signs the prices, so that no node needs to remember
// what it offered: every node with the same secret knows its own and the
// others' quotes. A quote that is used twice within its life costs the same
// twice. Safe for concurrent use.
type Quoter struct {
	opts   QuoterOptions
	key    []byte
	parser *jwt.Parser
}

// QuoterOptions have defaults for all that is zero.
type QuoterOptions struct {
	Tariff trips.Tariff     // trips.DefaultTariff
	Surge  *Surge           // plain prices
	TTL    time.Duration    // DefaultTTL, and at least a second; whole seconds
	Now    func() time.Time // time.Now
}

// NewQuoter takes the nodes' secret, of at least 32 bytes. The key of quotes is
// derived from it, and is not the key of anything else.
func NewQuoter(secret []byte, o QuoterOptions) (*Quoter, error) {
	if len(secret) < 32 {
		return nil, fmt.Errorf("the secret has %d bytes: give at least 32", len(secret))
	}
	key, err := hkdf.Key(sha256.New, secret, nil, quoteKeyInfo, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of quotes: %w", err)
	}

	o.Tariff = cmp.Or(o.Tariff, trips.DefaultTariff)
	o.TTL = max(cmp.Or(o.TTL, DefaultTTL).Truncate(time.Second), time.Second)
	if o.Surge == nil {
		o.Surge = NewSurge(SurgeOptions{})
	}
	if o.Now == nil {
		o.Now = time.Now
	}

	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		// Read looks at the claims, to tell old quotes from bad ones
		jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	return &Quoter{opts: o, key: key, parser: parser}, nil
}

// Surge is where prices are raised just now.
func (q *Quoter) Surge() *Surge { return q.opts.Surge }

// Price puts the fare of this moment on a way that begins at a place.
func (q *Quoter) Price(from location.Point, way trips.Quote) (trips.Quote, Multiplier) {
	m := q.opts.Surge.At(from)
	way.Fare = Fare(q.opts.Tariff, way.Metres, way.Duration, m)
	return way, m
}

// quoteClaims are a quote as its token says it, besides the rider (sub), the id (jti)
// and the end (exp).
type quoteClaims struct {
	From   location.Point `json:"from"`
	To     location.Point `json:"to"`
	Metres float64        `json:"metres"`
	Time   time.Duration  `json:"ns"`
	Fare   trips.Money    `json:"fare"`
	Source string         `json:"source"`
	Tenths Multiplier     `json:"tenths"`
	jwt.RegisteredClaims
}

// Offer prices a way for a rider and signs the price.
func (q *Quoter) Offer(rider trips.RiderID, from, to location.Point, way trips.Quote) (token string, quote Quote, err error) {
	priced, m := q.Price(from, way)

	// a token's times are whole seconds
	until := q.opts.Now().Add(q.opts.TTL).Truncate(time.Second)
	quote = Quote{ID: rand.Text(), Rider: rider, From: from, To: to, Terms: priced, Multiplier: m, Until: until}
	t := quoteClaims{From: from, To: to, Metres: priced.Metres, Time: priced.Duration, Fare: priced.Fare, Source: priced.Source,
		Tenths: m, RegisteredClaims: jwt.RegisteredClaims{Issuer: quoteIssuer, Audience: jwt.ClaimStrings{quoteAudience},
			Subject: string(rider), ID: quote.ID, ExpiresAt: jwt.NewNumericDate(until)}}

	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, t).SignedString(q.key)
	if err != nil {
		return "", Quote{}, fmt.Errorf("signing a quote: %w", err)
	}
	return token, quote, nil
}

// Read says what was quoted to this rider. Beside ErrExpired the quote is
// whole; every other error is ErrQuote.
func (q *Quoter) Read(token string, rider trips.RiderID) (Quote, error) {
	if len(token) > maxTokenBytes || strings.ContainsAny(token, "\r\n") {
		// base64 would read over line ends
		return Quote{}, ErrQuote
	}
	var t quoteClaims

	_, err := q.parser.ParseWithClaims(token, &t, func(*jwt.Token) (any, error) { return q.key, nil })
	if err != nil || t.Issuer != quoteIssuer || !slices.Equal(t.Audience, jwt.ClaimStrings{quoteAudience}) ||
		t.Subject != string(rider) || t.ID == "" || t.ExpiresAt == nil {
		return Quote{}, ErrQuote
	}

	quote := Quote{ID: t.ID, Rider: rider, From: t.From, To: t.To, Multiplier: t.Tenths, Until: t.ExpiresAt.Time,
		Terms: trips.Quote{Metres: t.Metres, Duration: t.Time, Fare: t.Fare, Source: t.Source}}
	if !q.opts.Now().Before(quote.Until) {
		return quote, ErrExpired
	}

	return quote, nil
}
