package simulation

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/trips"
)

// car is one driver with a car. While it drives, its position follows from
// route and departedAt. The shared state is told the position before each
// decision that reads it.
type car struct {
	id          trips.DriverID
	shiftBegins time.Time // of the shift under way or to come
	shiftEnds   time.Time
	onShift     bool // on duty
	busy        bool // with an offer or a trip
	hold        hold
	at          location.Point
	route       *routing.Route // nil: stands
	departedAt  time.Time      // when it set out on way
	// It grows with each task. A scheduled step of an older task does nothing.
	taskSeq    int
	rng        *rand.Rand
	dutyTime   time.Duration
	loadedTime time.Duration
}

// A driver works for shift, then rests.
const (
	shift = 6 * time.Hour
	rest  = 2 * time.Hour
)

// currentPoint returns where the car is at a time, on its route or standing.
func (c *car) currentPoint(now time.Time) location.Point {
	if c.route == nil {
		return c.at
	}
	p, _ := travelAlong(c.route, now.Sub(c.departedAt))
	return p
}

// travelAlong returns the point that a car reaches on a route after a time, and
// the metres it drove until then.
func travelAlong(w *routing.Route, d time.Duration) (location.Point, float64) {
	var metres float64
	left := d.Seconds()
	for i, v := range w.Speeds {
		a, b := w.Path[i], w.Path[i+1]
		step := location.MetresBetween(a, b)
		if takes := step / v; takes >= left {
			share := 1.0
			if takes > 0 {
				share = left / takes
			}
			return location.Point{Lng: a.Lng + share*(b.Lng-a.Lng), Lat: a.Lat + share*(b.Lat-a.Lat)}, metres + share*step
		}

		left -= step / v
		metres += step
	}

	return w.Path[len(w.Path)-1], metres
}

// decideAnswer returns how a driver answers an offer, and after how long. It
// depends only on seed, driver, trip and pickup time, so that the same offer
// made a moment later gets the same answer.
func decideAnswer(seed uint64, id trips.DriverID, trip trips.TripID, pickup time.Duration) (answer offerAnswer, after time.Duration) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %s", seed, id, trip)
	r := rand.New(rand.NewPCG(h.Sum64(), seed))
	after = 2*time.Second + time.Duration(r.Float64()*float64(6*time.Second))

	// It is less for a longer pickup: .5 from a quarter of an hour on.
	likes := .95
	if beyond := pickup - 5*time.Minute; beyond > 0 {
		likes -= .45 * min(1, beyond.Minutes()/10)
	}

	switch u := r.Float64(); {
	case u < .02:
		return answerSilence, after
	case u < 1-likes:
		return answerDecline, after
	}

	return answerAccept, after
}

type offerAnswer int

const (
	answerAccept offerAnswer = iota
	answerDecline
	answerSilence
)
