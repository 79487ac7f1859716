package faulty_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/store/faulty"
	"github.com/ridehail/ridehail/store/storetest"
	"github.com/ridehail/ridehail/trips"
)

func TestWithoutTroubleItKeepsEveryPromiseOfAStore(t *testing.T) {
	storetest.Run(t, func(testing.TB) storetest.Store { return faulty.New(1) })
}

func TestTheSameSeedIsAsHardOnTheSameCalls(t *testing.T) {
	fates := func(seed uint64) (out []string) {
		synctest.Test(t, func(t *testing.T) {
			s, began := faulty.New(seed), time.Now()
			s.SetFaults(faulty.Faults{Lost: .2, Refused: .2, Slow: .3})

			for range 50 {
				_, err := s.Trip(t.Context(), "t")
				out = append(out, time.Since(began).String()+" "+err.Error())
			}
		})
		return out
	}

	first, again, other := fates(7), fates(7), fates(8)
	same := 0
	for i := range first {
		if first[i] != again[i] {
			t.Fatalf("call %d: %s, and again %s", i, first[i], again[i])
		}
		if first[i] == other[i] {
			same++
		}
	}

	if same == len(first) {
		t.Error("another seed changes nothing")
	}
}

func TestEachFaultDoesWhatItsNameSays(t *testing.T) {
	for name, c := range map[string]struct {
		faults faulty.Faults
		want   error
		done   bool
	}{
		"lost":     {faulty.Faults{Lost: 1}, faulty.ErrLost, true},
		"refused":  {faulty.Faults{Refused: 1}, faulty.ErrRefused, false},
		"conflict": {faulty.Faults{Conflict: 1}, trips.ErrConflict, false},
		"slow":     {faulty.Faults{Slow: 1}, nil, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, began := faulty.New(1), time.Now()
			s.SetFaults(c.faults)

			ev, err := trips.Request("t", "r", location.Point{Lng: 1}, location.Point{Lng: 2}, trips.Quote{}, began)
			if err != nil {
				t.Fatal(err)
			}

			move := trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: "k"}, Event: ev}
			if _, err := s.Apply(t.Context(), move); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v", name, err)
			}
			if s.CountInjected()[name] != 1 || (name == "slow") != time.Now().After(began) {
				t.Errorf("%s: counted %v", name, s.CountInjected())
			}

			s.SetFaults(faulty.Faults{})
			if _, err := s.Trip(t.Context(), "t"); (err == nil) != c.done {
				t.Errorf("%s: afterwards the trip is %v", name, err)
			}
			if again, err := s.Apply(t.Context(), move); err != nil || again.Trip.Version != 1 {
				t.Errorf("%s: sent again: %+v, %v", name, again, err)
			}
		})
	}
}

func TestInAPauseEveryCallWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, began := faulty.New(1), time.Now()
		s.PauseCalls(5 * time.Second)
		if _, err := s.OpenTrips(t.Context(), 1); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
