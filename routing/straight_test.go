package routing

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ridehail/ridehail/location"
)

func TestACityMeasuresWhatItsStraightLinesAreWorthOnce(t *testing.T) {
	c := builtInCity()
	s := c.Straight()
	if math.Abs(s.Factor-BuiltInStraight.Factor) > 0.1 || math.Abs(s.Speed-BuiltInStraight.Speed) > 1 {
		t.Errorf("measured %+v, built in %+v", s, BuiltInStraight)
	}

	plan := triangle(t).plan
	plan.Straight = Straight{Factor: 2.5, Speed: 4}

	told, err := NewCity(plan)
	if err != nil {
		t.Fatal(err)
	}

	back, err := Load(bytes.NewReader(saved(t, told)))
	if err != nil || back.Straight() != plan.Straight {
		t.Errorf("%+v came back as %+v: %v", plan.Straight, back.Straight(), err)
	}

	for _, bad := range []Straight{{Factor: 0.5, Speed: 10}, {Factor: math.NaN(), Speed: 10}, {Factor: 2}, {Factor: 2, Speed: 1000}} {
		plan.Straight = bad
		if _, err := NewCity(plan); !errors.Is(err, ErrPlan) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestAClientGoesByItsOwnCitysStraightLines(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	c := NewClient(url, ClientOptions{Straight: Straight{Factor: 3, Speed: 5}})
	defer c.Close()

	from, to := twoPlaces()
	air := location.MetresBetween(from, to)
	way, err := c.Route(context.Background(), from, to)
	if err != nil || way.Source != SourceStraight || math.Abs(way.Metres-3*air) > 1 || math.Abs(way.Duration.Seconds()-3*air/5) > 1 {
		t.Errorf("%+v for %.0f m: %v", way, air, err)
	}
}

func TestAFileOfAnOlderVersionSaysHowToGetANewOne(t *testing.T) {
	old := append([]byte("ridehail city 1\n"), saved(t, triangle(t))[len(fileMagic):]...)
	if _, err := Load(bytes.NewReader(old)); !errors.Is(err, ErrOldCity) {
		t.Errorf("%v", err)
	}
}
