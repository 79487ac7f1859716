package sharedstate

import (
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// A step of a trip asks where the car is, on the node of the driver's socket or,
// after a change of nodes, by a replica.
func TestTheLastFixIsTheNewestOneOfAnyNodeAndHasItsAge(t *testing.T) {
	c := newClock()
	d := NewDrivers(DriverOptions{Now: c.now, FixFilter: location.DefaultFixFilter().WithPace(5)})
	if fix := d.LastFix("d", c.now()); fix != nil {
		t.Errorf("an unknown driver is at %+v", fix)
	}
	d.Connect("d", "n1")
	if fix := d.LastFix("d", c.now()); fix != nil {
		t.Errorf("a driver without a fix is at %+v", fix)
	}

	late := c.fixAt(lagoon) // by a phone whose clock is a minute slow
	late.At, late.Accuracy = late.At.Add(-time.Minute), 7
	if why := d.Move("d", late); why != location.Accepted {
		t.Fatal(why)
	}
	c.advance(3 * time.Second)
	want := trips.CarFix{Point: lagoon, Accuracy: 7, Age: 3 * time.Second, Pace: 5}
	if fix := d.LastFix("d", c.now()); fix == nil || *fix != want {
		t.Errorf("got %+v, want %+v", fix, want)
	}

	// A refused fix leaves the last believed one.
	_ = d.Move("d", location.Fix{Point: location.Point{Lng: 4, Lat: 7}, At: c.now(), Accuracy: 5000})
	if fix := d.LastFix("d", c.now()); *fix != want {
		t.Errorf("after a refused fix: %+v", fix)
	}

	there := location.Point{Lng: 3.41, Lat: 6.45}
	d.ApplyReplica(Driver{ID: "r", Node: "n2", Connected: true, Fix: c.fixAt(there), ReceivedAt: c.now()})
	if fix := d.LastFix("r", c.now().Add(time.Second)); fix == nil || fix.Point != there || fix.Age != time.Second {
		t.Errorf("of another node: %+v", fix)
	}
}
