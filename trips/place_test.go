package trips_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// northOf returns the place so many metres north of p.
func northOf(p location.Point, metres float64) location.Point {
	return location.Point{Lng: p.Lng, Lat: p.Lat + metres/location.EarthRadius*180/math.Pi}
}

// tripIn returns a trip of Chidi's, whose pickup lies 10 m off the road and
// whose dropoff 90 m.
func tripIn(state trips.State) trips.Trip {
	q := quote
	q.PickupOffRoad, q.DropoffOffRoad = 10, 90
	return trips.Trip{ID: "t", Rider: "ada", Driver: "chidi", State: state, Version: 4, Pickup: marina, Dropoff: airport, Quote: q}
}

func TestAStepIsMadeWhereItsPlaceIs(t *testing.T) {
	before := map[trips.Kind]trips.State{trips.KindArrived: trips.Reserved, trips.KindOnTrip: trips.Arrived, trips.KindCompleted: trips.OnTrip}
	halfway := location.Point{Lng: (marina.Lng + airport.Lng) / 2, Lat: (marina.Lat + airport.Lat) / 2}
	const arrive, start, complete = trips.KindArrived, trips.KindOnTrip, trips.KindCompleted

	for name, c := range map[string]struct {
		kind     trips.Kind
		at       location.Point
		accuracy float64
		age      time.Duration
		pace     float64
		early    bool
		want     error
	}{
		"at the pickup":                       {kind: arrive, at: marina},
		"across the street":                   {kind: arrive, at: northOf(marina, 159)},
		"a street too far":                    {kind: arrive, at: northOf(marina, 161), want: trips.ErrTooFar},
		"by a bad fix":                        {kind: arrive, at: northOf(marina, 359), accuracy: 200},
		"further than a bad fix":              {kind: arrive, at: northOf(marina, 361), accuracy: 200, want: trips.ErrTooFar},
		"by a fix of a second ago":            {kind: arrive, at: northOf(marina, 189), age: time.Second},
		"too far for a second":                {kind: arrive, at: northOf(marina, 191), age: time.Second, want: trips.ErrTooFar},
		"a second of a city at five times":    {kind: arrive, at: northOf(marina, 309), age: time.Second, pace: 5},
		"no fix is stretched further":         {kind: arrive, at: northOf(marina, 311), age: 29 * time.Second, pace: 40, want: trips.ErrTooFar},
		"by a fix of 30 s ago":                {kind: arrive, at: marina, age: 30 * time.Second},
		"by an old fix":                       {kind: arrive, at: marina, age: 31 * time.Second, want: trips.ErrNoPosition},
		"far away, and long ago":              {kind: arrive, at: airport, age: time.Hour, want: trips.ErrNoPosition},
		"no arrival is early":                 {kind: arrive, at: halfway, early: true, want: trips.ErrTooFar},
		"starts where it arrived":             {kind: start, at: marina},
		"starts elsewhere":                    {kind: start, at: halfway, want: trips.ErrTooFar},
		"starts at the destination":           {kind: start, at: airport, want: trips.ErrTooFar},
		"starts early":                        {kind: start, at: halfway, early: true, want: trips.ErrTooFar},
		"at the destination":                  {kind: complete, at: airport},
		"at the destination's road":           {kind: complete, at: northOf(airport, 239)},
		"a street short":                      {kind: complete, at: northOf(airport, 241), want: trips.ErrTooFar},
		"in a garage for an hour":             {kind: complete, at: airport, age: time.Hour},
		"halfway":                             {kind: complete, at: halfway, want: trips.ErrTooFar},
		"halfway, long ago":                   {kind: complete, at: halfway, age: time.Minute, want: trips.ErrNoPosition},
		"never left":                          {kind: complete, at: marina, want: trips.ErrTooFar},
		"the rider gets out halfway":          {kind: complete, at: halfway, early: true},
		"the rider gets out without a signal": {kind: complete, at: halfway, age: time.Hour, early: true},
		"the rider gets out at the pickup":    {kind: complete, at: northOf(marina, 159), early: true, want: trips.ErrTooFar},
		"the rider gets out after a street":   {kind: complete, at: northOf(marina, 161), early: true},
		"a bad fix hides no standing car":     {kind: complete, at: northOf(marina, 359), accuracy: 200, early: true, want: trips.ErrTooFar},
		"at the pickup, long ago":             {kind: complete, at: marina, age: time.Hour, early: true, want: trips.ErrNoPosition},
	} {
		t.Run(name, func(t *testing.T) {
			car := &trips.CarFix{Point: c.at, Accuracy: c.accuracy, Age: c.age, Pace: c.pace}
			step := trips.Step{Kind: c.kind, Early: c.early, Car: car}
			ev, err := tripIn(before[c.kind]).MakeStep(step, people["driver"], noon)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil {
				return
			}

			if ev.Kind != c.kind || ev.Car != *car || ev.Early != c.early || ev.Trip.Version != 5 {
				t.Errorf("the event is %+v", ev)
			}
			if err := trips.CheckPlace(ev.Trip, trips.Step{Kind: ev.Kind, Early: ev.Early, Car: &ev.Car}); err != nil {
				t.Errorf("checked again: %v", err)
			}
		})
	}
}

func TestAStepWithoutAFixOrOutOfTurnIsRefused(t *testing.T) {
	arrive := trips.Step{Kind: trips.KindArrived}
	if _, err := tripIn(trips.Reserved).MakeStep(arrive, people["driver"], noon); !errors.Is(err, trips.ErrNoPosition) {
		t.Errorf("no fix: %v", err)
	}

	// Whether the step may be made at all comes first, so that a repeat is
	// answered by its key wherever the car is.
	if _, err := tripIn(trips.Arrived).MakeStep(arrive, people["driver"], noon); !errors.Is(err, trips.ErrBadMove) {
		t.Errorf("made before: %v", err)
	}
	if _, err := tripIn(trips.Reserved).MakeStep(arrive, people["driver2"], noon); !errors.Is(err, trips.ErrNotYours) {
		t.Errorf("another driver: %v", err)
	}
	cancel := trips.Step{Kind: trips.KindDriverCancel, Car: &trips.CarFix{Point: marina}}
	if _, err := tripIn(trips.Reserved).MakeStep(cancel, people["driver"], noon); !errors.Is(err, trips.ErrBadMove) {
		t.Errorf("no step of a car: %v", err)
	}
}

func TestAnEarlyEndAtTheDestinationIsNoneAndAnotherSaysHowFarItWas(t *testing.T) {
	end := func(at location.Point) trips.Event {
		t.Helper()
		step := trips.Step{Kind: trips.KindCompleted, Early: true, Car: &trips.CarFix{Point: at}}
		ev, err := tripIn(trips.OnTrip).MakeStep(step, people["driver"], noon)
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}

	if ev := end(northOf(airport, 100)); ev.Early {
		t.Errorf("at the destination: %+v", ev)
	}
	if ev := end(northOf(airport, 3100)); !ev.Early || math.Round(ev.MetresShort()) != 3100 {
		t.Errorf("3.1 km short: %+v, %f m", ev, ev.MetresShort())
	}
}

// What a quote of an earlier build or one without roads leaves open is as far as
// a place can be from a road.
func TestAPlaceWhoseRoadIsUnknownIsReachedFromAnyRoadNearIt(t *testing.T) {
	trip := tripIn(trips.Reserved)
	trip.Quote.PickupOffRoad = 0
	for metres, want := range map[float64]error{549: nil, 551: trips.ErrTooFar} {
		step := trips.Step{Kind: trips.KindArrived, Car: &trips.CarFix{Point: northOf(marina, metres)}}
		if err := trips.CheckPlace(trip, step); !errors.Is(err, want) {
			t.Errorf("%.0f m: %v", metres, err)
		}
	}
}

func TestAnEventKeepsItsPlaceAndOneOfAnEarlierBuildHasNone(t *testing.T) {
	car := &trips.CarFix{Point: marina, Accuracy: 12.5, Age: 1500 * time.Millisecond, Pace: 5}
	ev, err := tripIn(trips.Reserved).MakeStep(trips.Step{Kind: trips.KindArrived, Car: car}, people["driver"], noon)
	if err != nil {
		t.Fatal(err)
	}

	text, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	var read trips.Event
	if err := json.Unmarshal(text, &read); err != nil || read != ev {
		t.Errorf("%s is read as %+v: %v", text, read, err)
	}

	old := trips.Event{}
	if err := json.Unmarshal([]byte(`{"kind":"arrived","trip":{"id":"t","quote":{"metres":9000}}}`), &old); err != nil || old.HasCar() || old.Early {
		t.Errorf("an event of an earlier build is %+v: %v", old, err)
	}
}
