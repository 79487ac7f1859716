package httpapi

import (
	"net/http"
	"time"

	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire/translate"
)

// journey is a booking.Journey as JSON.
type journey struct {
	Pickup  *location.Point `json:"pickup"`
	Dropoff *location.Point `json:"dropoff"`
	Quote   string          `json:"quote"`
}

type quote struct {
	Quote string `json:"quote"` // to be sent with the request
	// of the quote
	ExpiresAt   time.Time   `json:"expires_at"`
	Surge       float64     `json:"surge"` // the tariff was multiplied by it
	DistanceM   float64     `json:"distance_m"`
	DurationS   float64     `json:"duration_s"`
	Fare        trips.Money `json:"fare"`
	RouteSource string      `json:"route_source"`
	// PickupS and PickupSource are absent when no car is near.
	PickupS      *float64 `json:"pickup_s,omitempty"`
	PickupSource string   `json:"pickup_source,omitempty"`
	CarsNearby   int      `json:"cars_nearby"`
	// TimeScale is the seconds of a simulated city in a second; absent in a
	// real one.
	TimeScale float64 `json:"time_scale,omitempty"`
	// Path has points of lng, lat; absent when the way was estimated.
	Path [][2]float64 `json:"path,omitempty"`
}

func (a *API) postQuote(r *http.Request, who trips.Actor) (int, any, error) {
	var j journey
	if err := readJSON(r, &j); err != nil {
		return 0, nil, err
	}

	a.noteRead(r)
	q, err := a.cfg.Booking.Quote(r.Context(), trips.RiderID(who.ID), booking.Journey(j))
	if err != nil {
		return 0, nil, err
	}

	out := quote{Quote: q.Token, ExpiresAt: q.ExpiresAt.UTC(), Surge: q.Multiplier.Factor(), DistanceM: q.Terms.Metres,
		DurationS: q.Terms.Duration.Seconds(), Fare: q.Terms.Fare, RouteSource: q.Terms.Source}
	if a.cfg.TimeScale != 1 { // 0 is left out as well
		out.TimeScale = a.cfg.TimeScale
	}

	for _, p := range q.Path {
		out.Path = append(out.Path, [2]float64{p.Lng, p.Lat})
	}

	near := a.findNearbyFor(r.Context(), q.ID, q.From)
	out.CarsNearby = len(near)

	if len(near) > 0 {
		if way, err := a.cfg.Booking.FindPickup(r.Context(), q.ID, near[0].Fix.Point, q.From); err == nil {
			s := way.Duration.Seconds()
			out.PickupS, out.PickupSource = &s, way.Source
		}
	}

	a.recordQuote(r, q.ID, out)
	return http.StatusOK, out, nil
}

func (a *API) postTrip(r *http.Request, who trips.Actor) (int, any, error) {
	id, err := commandID(r)
	if err != nil {
		return 0, nil, err
	}

	var j journey
	if err := readJSON(r, &j); err != nil {
		return 0, nil, err
	}

	a.noteRead(r)
	ev, err := a.cfg.Booking.RequestTrip(r.Context(), trips.RiderID(who.ID), id, booking.Journey(j))
	return a.answerCommand(r, who, id, http.StatusCreated, ev, err)
}

// answerCommand answers with the trip that a command led to.
func (a *API) answerCommand(r *http.Request, who trips.Actor, command string, status int, ev trips.Event, err error) (int, any, error) {
	answer := asJSON(translate.EncodeTrip(ev.Trip))
	if err == nil {
		a.recordCommand(r, who, command, ev, answer)
	}
	return status, answer, err
}
