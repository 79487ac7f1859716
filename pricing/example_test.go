package pricing_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/trips"
)

// Prices rise step by step while requests outnumber the free drivers.
func ExampleSurge() {
	market, village := location.Point{Lng: 3.40, Lat: 6.45}, location.Point{Lng: 3.60, Lat: 6.60}
	surge := pricing.NewSurge(pricing.SurgeOptions{})

	now := time.Unix(1_700_000_000, 0)
	for range 10 {
		now = now.Add(10 * time.Second)
		surge.Tick(now, pricing.CountByZone(slices.Repeat([]location.Point{market}, 20)), pricing.CountByZone([]location.Point{market}))
	}

	fmt.Println("market", surge.MultiplierAt(market))
	fmt.Println("village", surge.MultiplierAt(village))

	// Output:
	// market 1.9
	// village 1.0
}

// A quote is a signed price. It is valid for the rider it was made for, until
// it expires.
func ExampleQuoter() {
	now := time.Unix(1_700_000_000, 0)
	quoter, err := pricing.NewQuoter(bytes.Repeat([]byte("s"), 32), pricing.QuoterOptions{
		Now: func() time.Time { return now }})
	if err != nil {
		fmt.Println(err)
		return
	}

	from, to := location.Point{Lng: 3.39, Lat: 6.45}, location.Point{Lng: 3.32, Lat: 6.58}
	way := trips.Quote{Metres: 9_000, Duration: 20 * time.Minute, Source: "road"}

	token, _, err := quoter.SignQuote(pricing.NewQuoteID(), "ada", from, to, way)
	if err != nil {
		fmt.Println(err)
		return
	}

	quote, err := quoter.VerifyQuote(token, "ada")
	fmt.Println(quote.Terms.Fare, quote.Multiplier, err)

	_, err = quoter.VerifyQuote(token, "bola")
	fmt.Println("another rider:", errors.Is(err, pricing.ErrBadQuote))

	now = now.Add(pricing.DefaultTTL)
	_, err = quoter.VerifyQuote(token, "ada")
	fmt.Println("too late:", errors.Is(err, pricing.ErrQuoteExpired))

	// Output:
	// 2620.00 NGN 1.0 <nil>
	// another rider: true
	// too late: true
}
