package pricing

import (
	"time"

	"github.com/ridehail/ridehail/trips"
)

// Fare is the tariff's price of a way, times a multiplier, rounded half up to whole minor units.
func Fare(t trips.Tariff, metres float64, d time.Duration, m Multiplier) trips.Money {
	fare := t.Fare(metres, d)
	fare.Minor = (fare.Minor*int64(m) + int64(Plain)/2) / int64(Plain)
	return fare
}
