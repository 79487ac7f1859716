package pricing

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/location"
)

var (
	market  = location.Point{Lng: 3.40, Lat: 6.45}
	village = location.Point{Lng: 3.60, Lat: 6.60}
	start   = time.Unix(1_700_000_000, 0)
)

// tickMarket ticks every ten seconds with that many requests and free drivers
// at the market.
func tickMarket(s *Surge, from time.Time, ticks, requests, free int) time.Time {
	for range ticks {
		from = from.Add(10 * time.Second)
		s.Tick(from, CountByZone(slices.Repeat([]location.Point{market}, requests)), CountByZone(slices.Repeat([]location.Point{market}, free)))
	}
	return from
}

func TestThePriceRisesWhereDriversAreShortAndFallsAgain(t *testing.T) {
	s := NewSurge(SurgeOptions{})
	now := tickMarket(s, start, 60, 0, 50)
	if m := s.MultiplierAt(market); m != NoSurge {
		t.Fatalf("quiet: %v", m)
	}
	now = tickMarket(s, now, 60, 5, 3)
	if m := s.MultiplierAt(market); m != 25 {
		t.Errorf("30 requests a minute for 3 drivers: %v", m)
	}
	if m := s.MultiplierAt(village); m != NoSurge {
		t.Errorf("far away: %v", m)
	}
	if zones := s.RaisedZones(); len(zones) == 0 || zones[0].Multiplier <= NoSurge || zones[0].Demand <= 0 {
		t.Errorf("zones: %+v", zones)
	}

	now = tickMarket(s, now, 180, 0, 50)
	if m, zones := s.MultiplierAt(market), s.RaisedZones(); m != NoSurge || len(zones) != 0 {
		t.Errorf("half an hour later: %v, %+v", m, zones)
	}
	tickMarket(s, now, 2000, 0, 0)
	if len(s.zones) != 0 {
		t.Errorf("%d zones are remembered though nothing happens there", len(s.zones))
	}
}

func TestEnoughDriversMakeNoSurge(t *testing.T) {
	s := NewSurge(SurgeOptions{})
	tickMarket(s, start, 100, 5, 200)
	if m := s.MultiplierAt(market); m != NoSurge {
		t.Errorf("30 requests a minute for 200 drivers: %v", m)
	}
}

func TestNextDoorIsNotMuchCheaper(t *testing.T) {
	s := NewSurge(SurgeOptions{})
	c, err := location.CellOf(market)
	if err != nil {
		t.Fatal(err)
	}

	rings, err := c.ParentCell().RingsAround(1)
	if err != nil {
		t.Fatal(err)
	}

	next, err := rings[1][0].Centre()
	if err != nil {
		t.Fatal(err)
	}

	now := start
	for range 100 {
		now = now.Add(10 * time.Second)
		s.Tick(now, CountByZone(slices.Repeat([]location.Point{market}, 20)), CountByZone([]location.Point{market, next}))
	}

	if m := s.MultiplierAt(next); m < 20 {
		t.Errorf("market %v, next door %v", s.MultiplierAt(market), m)
	}
}

func TestWhateverHappensThePriceStaysInItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := SurgeOptions{Cap: Multiplier(rapid.IntRange(10, 40).Draw(t, "cap")), Step: Multiplier(rapid.IntRange(1, 3).Draw(t, "step"))}
		s, now, last := NewSurge(o), start, NoSurge
		for range rapid.IntRange(1, 60).Draw(t, "ticks") {
			now = now.Add(time.Duration(rapid.Int64Range(-5, 60).Draw(t, "seconds")) * time.Second)
			s.Tick(now, CountByZone(slices.Repeat([]location.Point{market, {Lng: 1e9}}, rapid.IntRange(0, 40).Draw(t, "requests"))),
				CountByZone(slices.Repeat([]location.Point{market}, rapid.IntRange(0, 40).Draw(t, "free"))))
			m := s.MultiplierAt(market)
			if m < NoSurge || m > max(o.Cap, NoSurge) || m-last > o.Step || last-m > o.Step {
				t.Fatalf("from %v to %v with %+v", last, m, o)
			}
			last = m
		}
	})
}

func TestMoreRequestsAreNeverCheaperAndMoreDriversNeverDearer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		requests, free := rapid.IntRange(0, 20).Draw(t, "requests"), rapid.IntRange(0, 30).Draw(t, "free")
		at := func(requests, free int) Multiplier {
			s := NewSurge(SurgeOptions{})
			tickMarket(s, start, 80, requests, free)
			return s.MultiplierAt(market)
		}

		m := at(requests, free)
		if at(requests+1, free) < m || at(requests, free+1) > m {
			t.Fatalf("%d requests and %d drivers: %v, one request more %v, one driver more %v", requests, free, m,
				at(requests+1, free), at(requests, free+1))
		}
	})
}
