package pricing

import (
	"math"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// Fare returns the tariff's price of a way, times a multiplier. It is exact on
// whole metres and whole seconds, includes the minimum, and is rounded half up
// once, at the end. With NoSurge it is the tariff's own fare.
func Fare(t trips.Tariff, metres float64, d time.Duration, m Multiplier) trips.Money {
	whole, seconds := int64(math.Round(metres)), int64(d.Round(time.Second)/time.Second)
	// Amounts are in parts of 1/3000, the common denominator of 1/1000 km and
	// 1/60 min. The multiplier, in tenths, makes that 1/30000.
	parts := max(3000*t.Base+3*whole*t.PerKm+50*seconds*t.PerMinute, 3000*t.Minimum)
	const unit = 3000 * int64(NoSurge)
	return trips.Money{Minor: (parts*int64(m) + unit/2) / unit, Currency: t.Currency}
}
