package pricing

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/trips"
)

func genTariff() *rapid.Generator[trips.Tariff] {
	return rapid.Custom(func(t *rapid.T) trips.Tariff {
		money := rapid.Int64Range(0, 1_000_000)
		return trips.Tariff{Currency: "NGN", Base: money.Draw(t, "base"), PerKm: money.Draw(t, "per km"),
			PerMinute: money.Draw(t, "per minute"), Minimum: money.Draw(t, "minimum")}
	})
}

func TestARaisedFareIsExactAndRoundedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genTariff().Draw(t, "tariff")
		metres, seconds := rapid.Int64Range(0, 2_000_000).Draw(t, "metres"), rapid.Int64Range(0, 7*24*3600).Draw(t, "seconds")
		m := rapid.Int64Range(10, 40).Draw(t, "tenths")
		sum := new(big.Rat).SetInt64(f.Base)
		sum.Add(sum, big.NewRat(metres*f.PerKm, 1000))
		sum.Add(sum, big.NewRat(seconds*f.PerMinute, 60))
		if least := new(big.Rat).SetInt64(f.Minimum); sum.Cmp(least) < 0 {
			sum = least
		}
		sum.Mul(sum, big.NewRat(m, 10))
		sum.Add(sum, big.NewRat(1, 2))

		want := new(big.Int).Div(sum.Num(), sum.Denom()).Int64()
		if got := Fare(f, float64(metres), time.Duration(seconds)*time.Second, Multiplier(m)); got.Minor != want {
			t.Fatalf("%d m in %d s, %d tenths of %+v: %v, want %d", metres, seconds, m, f, got, want)
		}
	})
}

func TestThePlainFareIsTheTariffsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genTariff().Draw(t, "tariff")
		metres := rapid.Float64Range(0, 2e6).Draw(t, "metres")
		d := time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "duration"))
		if got, want := Fare(f, metres, d, NoSurge), f.Fare(metres, d); got != want {
			t.Fatalf("%v, the tariff says %v", got, want)
		}
	})
}
