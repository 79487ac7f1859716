package routing

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// builtInCities are generated once each; cities never change.
var builtInCities = [4]func() *City{}

func init() {
	for seed := range builtInCities {
		builtInCities[seed] = sync.OnceValue(func() *City {
			c, err := Open(strconv.Itoa(seed))
			if err != nil {
				panic(err)
			}
			return c
		})
	}
}

func builtInCity() *City { return builtInCities[1]() }

func dice(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }
