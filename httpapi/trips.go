package httpapi

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

const maxMillis = 1e14 // the year 5138

func (a *API) cancelTrip(r *http.Request, who trips.Actor) (int, any, error) {
	trip, err := tripID(r)
	if err != nil {
		return 0, nil, err
	}

	var ask struct {
		Reason string `json:"reason"`
	}
	if r.ContentLength != 0 {
		if err := readJSON(r, &ask); err != nil {
			return 0, nil, err
		}
	}

	reason, err := translate.CleanReason(ask.Reason)
	if err != nil {
		return 0, nil, err
	}

	id := "cancel-" + string(trip)
	if r.Header.Get(keyHeader) != "" {
		if id, err = commandID(r); err != nil {
			return 0, nil, err
		}
	}

	a.noteRead(r)
	key := trips.IdempotencyKey{Actor: who, ID: id, Fingerprint: "cancel " + string(trip)}
	ev, err := a.cfg.Trips.Apply(r.Context(), key, trip, func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Cancel(who, reason, at)
	})
	return a.answerCommand(r, who, id, http.StatusOK, ev, err)
}

var errKey = translate.Refuse(wire.CodeBadField, "Send the header Idempotency-Key: an id of 1 to 64 bytes without control characters, new for each trip and the same when you retry.")

const keyHeader = "Idempotency-Key"

// tripID returns the trip that a path names. Text that is no id names no trip.
func tripID(r *http.Request) (trips.TripID, error) {
	id := r.PathValue("id")
	if !translate.IsPlainID(id) {
		return "", trips.ErrNotFound
	}
	return trips.TripID(id), nil
}

// commandID returns the id that the client gave its command.
func commandID(r *http.Request) (string, error) {
	id := r.Header.Get(keyHeader)
	if !translate.IsPlainID(id) {
		return "", errKey
	}
	return id, nil
}

func (a *API) getTrip(r *http.Request, who trips.Actor) (int, any, error) {
	id, err := tripID(r)
	if err != nil {
		return 0, nil, err
	}

	t, err := a.cfg.Store.Trip(r.Context(), id)
	if err == nil && !t.Concerns(who) {
		err = trips.ErrNotYours
	}
	return http.StatusOK, asJSON(translate.EncodeTrip(t)), err
}

func (a *API) listTrips(r *http.Request, who trips.Actor) (int, any, error) {
	before := a.cfg.Now().Add(time.Minute)
	if s := r.URL.Query().Get("before"); s != "" {
		ms, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(ms) || ms <= 0 || ms > maxMillis {
			return 0, nil, translate.Refuse(wire.CodeBadField, `"before" is requested_ms of the last trip you have.`)
		}
		before = wire.FromMillis(ms)
	}

	list, err := a.cfg.Store.ListTrips(r.Context(), who, before, pageSize)
	return http.StatusOK, map[string][]json.RawMessage{"trips": listAsJSON(list, translate.EncodeTrip)}, err
}

func (a *API) listChat(r *http.Request, who trips.Actor) (int, any, error) {
	trip, err := tripID(r)
	if err != nil {
		return 0, nil, err
	}

	after := uint64(0)
	if s := r.URL.Query().Get("after"); s != "" {
		if after, err = strconv.ParseUint(s, 10, 32); err != nil {
			return 0, nil, translate.Refuse(wire.CodeBadField, `"after" is the number of the last message you have.`)
		}
	}

	list, err := a.cfg.Room.History(r.Context(), who, trip, uint32(after), historySize)
	return http.StatusOK, map[string][]json.RawMessage{"messages": listAsJSON(list, translate.EncodeChat)}, err
}

func (a *API) listNearby(r *http.Request, _ trips.Actor) (int, any, error) {
	q := r.URL.Query()
	lng, errLng := strconv.ParseFloat(q.Get("lng"), 64)
	lat, errLat := strconv.ParseFloat(q.Get("lat"), 64)
	p := location.Point{Lng: lng, Lat: lat}
	if errLng != nil || errLat != nil {
		return 0, nil, translate.Refuse(wire.CodeBadField, "Give ?lng= and ?lat= in degrees.")
	}
	if err := p.CheckRange(); err != nil {
		return 0, nil, err
	}

	now := a.cfg.Now()
	near, _ := a.findNearby(r.Context(), p)
	cars := listAsJSON(near, func(n sharedstate.NearbyDriver) *wire.Car { return translate.EncodeStrangersCar(n.Driver, now) })
	return http.StatusOK, map[string][]json.RawMessage{"cars": cars}, nil
}

// findNearby returns the free cars near a place, the nearest first, and how many
// other nodes were asked for them.
func (a *API) findNearby(ctx context.Context, p location.Point) (near []sharedstate.NearbyDriver, asked int) {
	if a.cfg.LookAround != nil {
		asked = a.cfg.LookAround(ctx, []sharedstate.Area{{Point: p, Metres: nearbyReach, Limit: nearbyMost, FreeOnly: true}})
	}
	return a.cfg.Drivers.Nearest(p, nearbyMost, nearbyReach, nil), asked
}
