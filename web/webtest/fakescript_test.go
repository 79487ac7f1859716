package webtest

import (
	"math"
	"time"

	"github.com/ridehail/ridehail/wire"
)

// scriptLocked moves the trip by one tick. A step happens on the tick at which
// its state has lasted long enough.
func (f *fakeNode) scriptLocked() {
	if f.trip == nil {
		return
	}
	f.ticks++
	far := &wire.Point{Lng: f.trip.Pickup.Lng - 0.012, Lat: f.trip.Pickup.Lat + 0.004}
	switch f.trip.State {
	case "requested":
		f.afterLocked(5, func() {
			f.trip.State, f.trip.DriverId = "reserved", "driver-017"
			f.moveLocked("reserved")
		})
	case "reserved":
		f.positionLocked(far, f.trip.Pickup, 30)
		if !f.holdDriver && len(f.chat) > 0 {
			// A slow browser has time to chat before the ride.
			f.afterLocked(30, func() { f.trip.State = "arrived"; f.moveLocked("arrived") })
		}
	case "arrived":
		f.positionLocked(far, f.trip.Pickup, 1)
		if f.ticks == 3 {
			f.sayLocked("driver", "I am here, the dark blue one", "d1")
		}
		f.afterLocked(8, func() {
			f.trip.State, f.trip.StartedMs = "on_trip", wire.ToMillis(time.Now())
			f.moveLocked("on_trip")
		})
	case "on_trip":
		f.positionLocked(f.trip.Pickup, f.trip.Dropoff, 30)
		f.afterLocked(30, func() {
			f.trip.State, f.trip.EndedMs = "completed", wire.ToMillis(time.Now().Add(6*time.Minute))
			f.moveLocked("completed")
		})
	case "completed":
		if f.ticks == 6 {
			f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Receipt{Receipt: &wire.Receipt{TripId: "trip-1",
				Reference: "rh-7f3a09", Amount: f.trip.Fare, AtMs: wire.ToMillis(time.Now())}}})
		}
	}
}

func (f *fakeNode) afterLocked(ticks uint32, act func()) {
	if f.ticks >= ticks {
		f.ticks = 0
		act()
	}
}

func (f *fakeNode) positionLocked(from, to *wire.Point, ticks uint32) {
	share := min(1, float64(f.ticks)/float64(ticks))
	p := &wire.Point{Lng: from.Lng + (to.Lng-from.Lng)*share, Lat: from.Lat + (to.Lat-from.Lat)*share}
	now := wire.ToMillis(time.Now())
	f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Position{Position: &wire.Position{N: f.ticks, DriverId: "driver-017",
		Seq: f.ticks, AtMs: now - 3, ReceivedMs: now - 1.2, SentMs: now - 1, Point: p, Speed: 12,
		Heading: float32(math.Atan2(to.Lng-from.Lng, to.Lat-from.Lat) * 180 / math.Pi)}}})
}
