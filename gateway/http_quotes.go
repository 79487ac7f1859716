package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// ownQuotes prices plainly and signs with a key that nobody else has.
func ownQuotes(now func() time.Time) *pricing.Quoter {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)                                           // it never fails
	q, _ := pricing.NewQuoter(secret, pricing.QuoterOptions{Now: now}) // a secret of 32 bytes is taken
	return q
}

// journey is where someone wants to go; pointers tell a missing point from the one at zero. With a quote the points may
// be left out.
type journey struct {
	Pickup  *location.Point `json:"pickup"`
	Dropoff *location.Point `json:"dropoff"`
	Quote   string          `json:"quote"`
}

// points are the ends of a journey without a quote.
func (g *door) points(j journey) (from, to location.Point, err error) {
	if j.Pickup == nil || j.Dropoff == nil {
		return from, to, refuse(wire.CodeBadField, `Give both "pickup" and "dropoff", each with lng and lat.`)
	}
	return *j.Pickup, *j.Dropoff, g.servable(*j.Pickup, *j.Dropoff)
}

type quoted struct {
	Quote        string       `json:"quote"`      // to be sent with the request
	ExpiresAt    time.Time    `json:"expires_at"` // of the quote
	Surge        float64      `json:"surge"`      // what the tariff was multiplied by
	DistanceM    float64      `json:"distance_m"`
	DurationS    float64      `json:"duration_s"`
	Fare         trips.Money  `json:"fare"`
	RouteSource  string       `json:"route_source"`
	PickupS      *float64     `json:"pickup_s,omitempty"` // absent when no car is near
	PickupSource string       `json:"pickup_source,omitempty"`
	CarsNearby   int          `json:"cars_nearby"`
	TimeScale    float64      `json:"time_scale,omitempty"` // seconds of a simulated city in a second; absent in a real one
	Path         [][2]float64 `json:"path,omitempty"`       // lng, lat; absent when the way was guessed
}

func (g *door) postQuote(r *http.Request, who trips.Actor) (int, any, error) {
	var j journey
	if err := readJSON(r, &j); err != nil {
		return 0, nil, err
	}
	from, to, err := g.points(j)
	if err != nil {
		return 0, nil, err
	}
	way, path, err := g.cfg.Quote(r.Context(), from, to)
	if err != nil {
		return 0, nil, err
	}
	token, q, err := g.cfg.Quotes.Offer(trips.RiderID(who.ID), from, to, way)
	if err != nil {
		return 0, nil, err
	}
	g.m.quotes.WithLabelValues("given").Inc()
	out := quoted{Quote: token, ExpiresAt: q.Until.UTC(), Surge: q.Multiplier.Factor(), DistanceM: q.Terms.Metres,
		DurationS: q.Terms.Duration.Seconds(), Fare: q.Terms.Fare, RouteSource: q.Terms.Source}
	if g.cfg.TimeScale != 1 { // 0 is left out as well
		out.TimeScale = g.cfg.TimeScale
	}
	for _, p := range path {
		out.Path = append(out.Path, [2]float64{p.Lng, p.Lat})
	}
	near := g.cfg.Drivers.Nearest(from, nearbyMost, nearbyReach, nil)
	out.CarsNearby = len(near)
	if len(near) > 0 {
		if way, _, err := g.cfg.Quote(r.Context(), near[0].Fix.Point, from); err == nil {
			s := way.Duration.Seconds()
			out.PickupS, out.PickupSource = &s, way.Source
		}
	}
	return http.StatusOK, out, nil
}

func (g *door) postTrip(r *http.Request, who trips.Actor) (int, any, error) {
	id, err := commandID(r)
	if err != nil {
		return 0, nil, err
	}
	var j journey
	if err := readJSON(r, &j); err != nil {
		return 0, nil, err
	}
	ev, err := g.request(r.Context(), who, id, j)
	return http.StatusCreated, asJSON(wireTrip(ev.Trip)), err
}

// request opens a trip at the price of its quote or, without one, at the price of this moment. A repeat returns the trip
// as it was opened: it is not priced anew, and its quote may have expired meanwhile.
func (g *door) request(ctx context.Context, who trips.Actor, id string, j journey) (trips.Event, error) {
	if j.Quote != "" {
		return g.requestQuoted(ctx, who, id, j)
	}
	from, to, err := g.points(j)
	if err != nil {
		return trips.Event{}, err
	}
	key := trips.Key{Actor: who, ID: id, Print: "request " + printOf(from) + " " + printOf(to)}
	if ev, err := g.cfg.Store.Recorded(ctx, key); !errors.Is(err, trips.ErrNotFound) {
		return ev, err
	}
	way, _, err := g.cfg.Quote(ctx, from, to)
	if err != nil {
		return trips.Event{}, err
	}
	g.m.quotes.WithLabelValues("none").Inc()
	priced, _ := g.cfg.Quotes.Price(from, way)
	return g.cfg.Desk.Request(ctx, key, trips.RiderID(who.ID), from, to, priced)
}

var errOtherWay = refuse(wire.CodeBadQuote, "The quote is for another way; leave pickup and dropoff out, or ask for a new quote.")

func (g *door) requestQuoted(ctx context.Context, who trips.Actor, id string, j journey) (trips.Event, error) {
	q, late := g.cfg.Quotes.Read(j.Quote, trips.RiderID(who.ID))
	if late != nil && !errors.Is(late, pricing.ErrExpired) {
		g.m.quotes.WithLabelValues("bad").Inc()
		return trips.Event{}, late
	}
	if printOf(*cmp.Or(j.Pickup, &q.From)) != printOf(q.From) || printOf(*cmp.Or(j.Dropoff, &q.To)) != printOf(q.To) {
		g.m.quotes.WithLabelValues("bad").Inc()
		return trips.Event{}, errOtherWay
	}
	key := trips.Key{Actor: who, ID: id, Print: "request " + q.ID}
	if ev, err := g.cfg.Store.Recorded(ctx, key); !errors.Is(err, trips.ErrNotFound) {
		return ev, err
	}
	if late != nil {
		g.m.quotes.WithLabelValues("expired").Inc()
		return trips.Event{}, late
	}
	g.m.quotes.WithLabelValues("taken").Inc()
	return g.cfg.Desk.Request(ctx, key, q.Rider, q.From, q.To, q.Terms)
}

// printOf is a point to a tenth of a metre, as two numbers that mean the same place are told to be the same.
func printOf(p location.Point) string { return fmt.Sprintf("%.6f,%.6f", p.Lng, p.Lat) }

// surgeFor is how long an answer of surge may be kept: prices change every ten seconds.
const surgeFor = "public, max-age=5"

// surge serves the zones that are dearer just now, as GeoJSON.
func (g *door) surge(w http.ResponseWriter, _ *http.Request) {
	type geometry struct {
		Type        string         `json:"type"`
		Coordinates [][][2]float64 `json:"coordinates"`
	}
	type properties struct {
		Multiplier float64 `json:"multiplier"`
		Demand     float64 `json:"demand"` // requests a minute, smoothed
		Supply     float64 `json:"supply"` // free drivers, smoothed
	}
	type feature struct {
		Type       string     `json:"type"`
		ID         string     `json:"id"` // the H3 cell
		Geometry   geometry   `json:"geometry"`
		Properties properties `json:"properties"`
	}
	out := struct {
		Type     string    `json:"type"`
		Features []feature `json:"features"`
	}{"FeatureCollection", []feature{}}
	for _, z := range g.cfg.Quotes.Surge().Zones() {
		corners, err := z.Cell.Boundary()
		if err != nil {
			continue // no cell that a point lies in
		}
		ring := make([][2]float64, 0, len(corners)+1)
		for _, p := range corners {
			ring = append(ring, [2]float64{p.Lng, p.Lat})
		}
		out.Features = append(out.Features, feature{"Feature", z.Cell.String(),
			geometry{"Polygon", [][][2]float64{append(ring, ring[0])}}, properties{z.Multiplier.Factor(), z.Demand, z.Supply}})
	}
	data, err := json.Marshal(out)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/geo+json")
	w.Header().Set("Cache-Control", surgeFor)
	_, _ = w.Write(data) // the client may be gone
}
