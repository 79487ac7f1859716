package trips_test

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/trips"
)

// exactFare is the fare by rational numbers: rounded half up once, at the end.
func exactFare(f trips.Tariff, metres, seconds int64) int64 {
	sum := new(big.Rat).SetInt64(f.Base)
	sum.Add(sum, new(big.Rat).Mul(big.NewRat(metres, 1000), new(big.Rat).SetInt64(f.PerKm)))
	sum.Add(sum, new(big.Rat).Mul(big.NewRat(seconds, 60), new(big.Rat).SetInt64(f.PerMinute)))
	sum.Add(sum, big.NewRat(1, 2))
	floor := new(big.Int).Div(sum.Num(), sum.Denom())
	return max(floor.Int64(), f.Minimum)
}

func TestFaresAreExactToTheLastMinorUnit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		money := rapid.Int64Range(0, 1_000_000)
		f := trips.Tariff{Currency: "NGN", Base: money.Draw(t, "base"), PerKm: money.Draw(t, "per km"),
			PerMinute: money.Draw(t, "per minute"), Minimum: money.Draw(t, "minimum")}
		metres := rapid.Int64Range(0, 2_000_000).Draw(t, "metres")
		seconds := rapid.Int64Range(0, 7*24*3600).Draw(t, "seconds")
		got := f.Fare(float64(metres), time.Duration(seconds)*time.Second)
		if want := exactFare(f, metres, seconds); got != (trips.Money{Minor: want, Currency: "NGN"}) {
			t.Fatalf("%d m in %d s at %+v costs %v, want %d", metres, seconds, f, got, want)
		}
	})
}

func TestAFareNeverFallsAsTheWayGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		metres := rapid.Float64Range(0, 1e6).Draw(t, "metres")
		d := time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "duration"))

		fare := trips.DefaultTariff.Fare(metres, d).Minor
		if fare < trips.DefaultTariff.Minimum {
			t.Fatalf("below the minimum: %d", fare)
		}
		if farther := trips.DefaultTariff.Fare(metres+1, d).Minor; farther < fare {
			t.Fatalf("a metre more costs %d instead of %d", farther, fare)
		}
		if longer := trips.DefaultTariff.Fare(metres, d+time.Second).Minor; longer < fare {
			t.Fatalf("a second more costs %d instead of %d", longer, fare)
		}
	})
}

func TestFaresRoundHalfUpOnceOnWholeMetresAndSeconds(t *testing.T) {
	f := trips.Tariff{Currency: "NGN", PerKm: 500, PerMinute: 30}
	for _, c := range []struct {
		name   string
		metres float64
		d      time.Duration
		want   int64
	}{
		{"half a unit rounds up", 1, 0, 1},
		{"a second alone is half a unit too", 0, time.Second, 1},
		{"two halves are one unit, not two", 1, time.Second, 1},
		{"a metre is rounded before it is priced", 0.49, 0, 0},
		{"a second is rounded before it is priced", 0, 499 * time.Millisecond, 0},
		{"nothing costs nothing without a base", 0, 0, 0},
	} {
		if got := f.Fare(c.metres, c.d).Minor; got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestMoneyReadsWithTwoDecimals(t *testing.T) {
	for _, c := range []struct {
		minor int64
		want  string
	}{{0, "0.00 NGN"}, {5, "0.05 NGN"}, {262_000, "2620.00 NGN"}, {math.MaxInt64, "92233720368547758.07 NGN"}} {
		if got := (trips.Money{Minor: c.minor, Currency: "NGN"}).String(); got != c.want {
			t.Errorf("%d reads %q, want %q", c.minor, got, c.want)
		}
	}
}
