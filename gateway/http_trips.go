package gateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// doorConfig is what the HTTP door needs of the node.
type doorConfig struct {
	Desk       *trips.Desk
	Store      trips.Store
	Room       *chat.Room
	Receipts   payments.Store
	Alerts     sos.Store
	Webhook    http.Handler // nil: no payment provider
	Drivers    *sharedstate.Drivers
	Quote      func(ctx context.Context, from, to location.Point) (trips.Quote, []location.Point, error)
	Quotes     *pricing.Quoter
	Contains   func(location.Point) bool
	Auth       *Auth
	City       City
	DevTokens  bool
	TimeScale  float64
	BodyWithin time.Duration    // 0: no bound, for tests without a connection
	Socket     http.HandlerFunc // /v1/ws
	Ready      func(context.Context) error
	Revoke     func(context.Context, revocation) error
	Registerer prometheus.Registerer
	Now        func() time.Time
	Log        *slog.Logger
}

// door answers HTTP. It keeps nothing but the pace of its users.
type door struct {
	cfg  doorConfig
	m    *metrics
	pace *pace
}

func newDoor(cfg doorConfig, m *metrics) *door {
	if cfg.Quotes == nil {
		cfg.Quotes = ownQuotes(cfg.Now)
	}
	return &door{cfg: cfg, m: m, pace: newPace(cfg.Now)}
}

const (
	pageSize    = 50
	historySize = 200
	nearbyMost  = 20
	nearbyReach = 5000 // metres
)

// servable says whether we drive between the points.
func (g *door) servable(points ...location.Point) error {
	for _, p := range points {
		if err := p.Check(); err != nil {
			return err
		}
		if g.cfg.Contains != nil && !g.cfg.Contains(p) {
			return refuse(wire.CodeOutsideCity, "We do not serve this place; choose a point near a road of the city.")
		}
	}
	return nil
}

func (g *door) cancelTrip(r *http.Request, who trips.Actor) (int, any, error) {
	var ask struct {
		Reason string `json:"reason"`
	}
	if r.ContentLength != 0 {
		if err := readJSON(r, &ask); err != nil {
			return 0, nil, err
		}
	}
	if len(ask.Reason) > maxReason || !printable(ask.Reason) {
		return 0, nil, errReason
	}
	trip := trips.TripID(r.PathValue("id"))
	id := cmp.Or(r.Header.Get("Idempotency-Key"), "cancel-"+string(trip))
	if !plainID(id) {
		return 0, nil, errKey
	}
	key := trips.Key{Actor: who, ID: id, Print: "cancel " + string(trip)}
	ev, err := g.cfg.Desk.Move(r.Context(), key, trip, func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Cancel(who, ask.Reason, at)
	})
	return http.StatusOK, asJSON(wireTrip(ev.Trip)), err
}

var errKey = refuse(wire.CodeBadField, "Send the header Idempotency-Key: an id of 1 to 64 bytes without control characters, new for each trip and the same when you retry.")

func commandID(r *http.Request) (string, error) {
	id := r.Header.Get("Idempotency-Key")
	if !plainID(id) {
		return "", errKey
	}
	return id, nil
}

func (g *door) getTrip(r *http.Request, who trips.Actor) (int, any, error) {
	t, err := g.cfg.Store.Trip(r.Context(), trips.TripID(r.PathValue("id")))
	if err == nil && !t.Concerns(who) {
		err = trips.ErrNotYours
	}
	return http.StatusOK, asJSON(wireTrip(t)), err
}

func (g *door) listTrips(r *http.Request, who trips.Actor) (int, any, error) {
	before := g.cfg.Now().Add(time.Minute)
	if s := r.URL.Query().Get("before"); s != "" {
		ms, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(ms) || ms <= 0 || ms > 1e14 {
			return 0, nil, refuse(wire.CodeBadField, `"before" is requested_ms of the last trip you have.`)
		}
		before = wire.Time(ms)
	}
	list, err := g.cfg.Store.List(r.Context(), who, before, pageSize)
	return http.StatusOK, map[string][]json.RawMessage{"trips": each(list, wireTrip)}, err
}

func (g *door) chatHistory(r *http.Request, who trips.Actor) (int, any, error) {
	after := uint64(0)
	if s := r.URL.Query().Get("after"); s != "" {
		var err error
		if after, err = strconv.ParseUint(s, 10, 32); err != nil {
			return 0, nil, refuse(wire.CodeBadField, `"after" is the number of the last message you have.`)
		}
	}
	said, err := g.cfg.Room.History(r.Context(), who, trips.TripID(r.PathValue("id")), uint32(after), historySize)
	return http.StatusOK, map[string][]json.RawMessage{"messages": each(said, wireChat)}, err
}

func (g *door) nearby(r *http.Request, _ trips.Actor) (int, any, error) {
	q := r.URL.Query()
	lng, errLng := strconv.ParseFloat(q.Get("lng"), 64)
	lat, errLat := strconv.ParseFloat(q.Get("lat"), 64)
	p := location.Point{Lng: lng, Lat: lat}
	if errLng != nil || errLat != nil {
		return 0, nil, refuse(wire.CodeBadField, "Give ?lng= and ?lat= in degrees.")
	}
	if err := p.Check(); err != nil {
		return 0, nil, err
	}
	now := g.cfg.Now()
	near := g.cfg.Drivers.Nearest(p, nearbyMost, nearbyReach, nil)
	cars := each(near, func(n sharedstate.Near) *wire.Car { return strangersCar(n.Driver, now) })
	return http.StatusOK, map[string][]json.RawMessage{"cars": cars}, nil
}

// asJSON is a frame's JSON as the socket sends it; compacted, because protojson varies its spaces on purpose.
func asJSON(m proto.Message) json.RawMessage {
	data, err := wire.JSON.Append(nil, m)
	var out bytes.Buffer
	if err != nil || json.Compact(&out, data) != nil {
		return json.RawMessage("null") // only text that is not UTF-8 gets here, and the doors let none in
	}
	return out.Bytes()
}

func each[T any, M proto.Message](list []T, convert func(T) M) []json.RawMessage {
	out := make([]json.RawMessage, 0, len(list))
	for _, v := range list {
		out = append(out, asJSON(convert(v)))
	}
	return out
}
