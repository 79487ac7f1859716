package trips

import (
	"fmt"
	"math"
	"time"
)

// Money is an amount in the minor unit (cent, kobo) of an ISO 4217 currency.
type Money struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"`
}

func (m Money) String() string {
	return fmt.Sprintf("%d.%02d %s", m.Minor/100, m.Minor%100, m.Currency)
}

// Tariff prices a way: Base, plus PerKm for each kilometre, plus PerMinute for
// each minute, and never less than Minimum. All amounts are in minor units of
// Currency.
type Tariff struct {
	Currency                        string
	Base, PerKm, PerMinute, Minimum int64
}

// DefaultTariff is the tariff of the built-in city.
var DefaultTariff = Tariff{Currency: "NGN", Base: 50_000, PerKm: 18_000, PerMinute: 2_500, Minimum: 100_000}

// Fare returns the price of a way of that many metres and that duration. It is
// exact integer arithmetic on whole metres and whole seconds, rounded half up
// once, at the end.
func (f Tariff) Fare(metres float64, d time.Duration) Money {
	m, s := int64(math.Round(metres)), int64(d.Round(time.Second)/time.Second)
	// 3000 is the common denominator of 1/1000 km and 1/60 min.
	sum := (m*f.PerKm*3 + s*f.PerMinute*50 + 1500) / 3000
	return Money{Minor: max(f.Base+sum, f.Minimum), Currency: f.Currency}
}
