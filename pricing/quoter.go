package pricing

import (
	"cmp"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// The claims of every quote's token besides the price. A session's token has
// another audience and is signed with another key.
const (
	quoteIssuer   = "ridehail"
	quoteAudience = "ridehail.quote.v1"
	quoteKeyInfo  = "ridehail quotes v1" // HKDF's info, for a key of its own
	maxTokenBytes = 2048
)

// DefaultTTL is how long a quote is valid.
const DefaultTTL = 2 * time.Minute

var (
	// ErrBadQuote says that a token is not one of our quotes for this rider.
	ErrBadQuote = errors.New("this is no quote of ours for you: ask for a quote and send it as it came")
	// ErrQuoteExpired says that a quote is no longer valid.
	ErrQuoteExpired = errors.New("the quote has expired: ask for a new quote")
)

// Quote is a price for one rider's way. It is valid before ExpiresAt
// (exclusive).
type Quote struct {
	ID         string // a UUID; of an earlier build, any text
	Rider      trips.RiderID
	From, To   location.Point
	Terms      trips.Quote
	Multiplier Multiplier
	ExpiresAt  time.Time
}

// Quoter prices ways and signs the prices, so that no node has to remember its
// quotes: every node with the same secret can read those of the others. A quote
// used twice while it is valid costs the same twice. It may be used from many
// goroutines.
type Quoter struct {
	opts   QuoterOptions
	key    []byte
	parser *jwt.Parser
}

// QuoterOptions configure a Quoter. Zero values take the defaults named beside
// them.
type QuoterOptions struct {
	Tariff trips.Tariff     // trips.DefaultTariff
	Surge  *Surge           // plain prices
	TTL    time.Duration    // DefaultTTL, and at least a second; whole seconds
	Now    func() time.Time // time.Now
}

// NewQuoter derives the quotes' own key from the nodes' secret, which must have
// at least 32 bytes.
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
		// VerifyQuote checks the claims itself, to tell expired quotes from
		// forged ones.
		jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())

	return &Quoter{opts: o, key: key, parser: parser}, nil
}

// Surge returns where prices are raised at present.
func (q *Quoter) Surge() *Surge { return q.opts.Surge }

// PriceWay returns the way with its fare of this moment, and the multiplier at
// the place where it begins.
func (q *Quoter) PriceWay(from location.Point, way trips.Quote) (trips.Quote, Multiplier) {
	m := q.opts.Surge.MultiplierAt(from)
	way.Fare = Fare(q.opts.Tariff, way.Metres, way.Duration, m)
	return way, m
}

// quoteClaims is a quote as its token carries it. The rider is sub, the id jti
// and the end exp.
type quoteClaims struct {
	From   location.Point `json:"from"`
	To     location.Point `json:"to"`
	Metres float64        `json:"metres"`
	Time   time.Duration  `json:"ns"`
	Fare   trips.Money    `json:"fare"`
	Source string         `json:"source"`
	Tenths Multiplier     `json:"tenths"`

	PickupOffRoad  uint16 `json:"pickup_off_road_m,omitempty"`
	DropoffOffRoad uint16 `json:"dropoff_off_road_m,omitempty"`
	jwt.RegisteredClaims
}

// NewQuoteID returns an id for SignQuote.
func NewQuoteID() string { return uuid.NewString() }

// SignQuote prices a way for a rider and returns the quote, under an id that no
// other has, and the signed token that stands for it.
func (q *Quoter) SignQuote(id string, rider trips.RiderID, from, to location.Point, way trips.Quote) (token string, quote Quote, err error) {
	priced, m := q.PriceWay(from, way)

	// A token's times are whole seconds.
	until := q.opts.Now().Add(q.opts.TTL).Truncate(time.Second)
	quote = Quote{ID: id, Rider: rider, From: from, To: to, Terms: priced, Multiplier: m, ExpiresAt: until}
	t := quoteClaims{From: from, To: to, Metres: priced.Metres, Time: priced.Duration, Fare: priced.Fare, Source: priced.Source,
		Tenths: m, PickupOffRoad: priced.PickupOffRoad, DropoffOffRoad: priced.DropoffOffRoad, RegisteredClaims: jwt.RegisteredClaims{Issuer: quoteIssuer, Audience: jwt.ClaimStrings{quoteAudience},
			Subject: string(rider), ID: quote.ID, ExpiresAt: jwt.NewNumericDate(until)}}

	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, t).SignedString(q.key)
	if err != nil {
		return "", Quote{}, fmt.Errorf("signing a quote: %w", err)
	}
	return token, quote, nil
}

// VerifyQuote returns the quote of a token, if it was made for this rider. With
// ErrQuoteExpired the quote is complete too; every other error is ErrBadQuote.
func (q *Quoter) VerifyQuote(token string, rider trips.RiderID) (Quote, error) {
	if len(token) > maxTokenBytes || strings.ContainsAny(token, "\r\n") {
		// The base64 decoder would ignore line breaks.
		return Quote{}, ErrBadQuote
	}
	var t quoteClaims

	_, err := q.parser.ParseWithClaims(token, &t, func(*jwt.Token) (any, error) { return q.key, nil })
	if err != nil || t.Issuer != quoteIssuer || !slices.Equal(t.Audience, jwt.ClaimStrings{quoteAudience}) ||
		t.Subject != string(rider) || t.ID == "" || t.ExpiresAt == nil {
		return Quote{}, ErrBadQuote
	}

	quote := Quote{ID: t.ID, Rider: rider, From: t.From, To: t.To, Multiplier: t.Tenths, ExpiresAt: t.ExpiresAt.Time,
		Terms: trips.Quote{Metres: t.Metres, Duration: t.Time, Fare: t.Fare, Source: t.Source,
			PickupOffRoad: t.PickupOffRoad, DropoffOffRoad: t.DropoffOffRoad}}
	if !q.opts.Now().Before(quote.ExpiresAt) {
		return quote, ErrQuoteExpired
	}

	return quote, nil
}
