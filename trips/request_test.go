package trips_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

func TestARequestBeginsATripAtVersionOneInThePickupsRegion(t *testing.T) {
	ev, err := trips.Request("trip-1", "ada", marina, airport, quote, noon)
	if err != nil {
		t.Fatal(err)
	}

	region, err := location.RegionOf(marina)
	if err != nil {
		t.Fatal(err)
	}

	want := trips.Trip{ID: "trip-1", Rider: "ada", State: trips.Requested, Version: 1, Region: region, Pickup: marina,
		Dropoff: airport, Quote: quote, RequestedAt: noon}
	if ev != (trips.Event{Kind: trips.KindRequested, At: noon, By: trips.Rider("ada"), Trip: want}) {
		t.Errorf("got %+v", ev)
	}
}

func TestARequestFromOrToNowhereIsRefused(t *testing.T) {
	nan := math.NaN()
	for _, bad := range []location.Point{{Lng: nan}, {Lat: nan}, {Lat: 91}, {Lng: -541}, {Lng: math.Inf(1)}} {
		if _, err := trips.Request("t", "ada", bad, airport, quote, noon); !errors.Is(err, trips.ErrBadPoint) {
			t.Errorf("from %v: %v", bad, err)
		}
		if _, err := trips.Request("t", "ada", marina, bad, quote, noon); !errors.Is(err, trips.ErrBadPoint) {
			t.Errorf("to %v: %v", bad, err)
		}
	}
}

func TestEveryEventReadsBackFromJSONAsItWas(t *testing.T) {
	for place := range paths {
		want := trips.Event{Kind: trips.KindArrived, At: noon, By: people["driver"], Trip: tripAt(t, place)}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got trips.Event
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("%s: %+v, %v\nfrom %s", place, got, err, text)
		}
	}
}
