package booking

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/store/faulty"
	"github.com/ridehail/ridehail/trips"
)

var (
	market  = location.Point{Lng: 3.38, Lat: 6.45}
	airport = location.Point{Lng: 3.40, Lat: 6.50}
	atSea   = location.Point{Lng: 3.38, Lat: 5}
)

// fixedRoute leads from everywhere to everywhere.
type fixedRoute struct {
	asked  int
	metres float64 // 6,000 if 0
	off    float64 // degrees of latitude from the pickup to the road
}

func (r *fixedRoute) Route(_ context.Context, from, to location.Point) (routing.Route, error) {
	r.asked++
	from.Lat += r.off
	return routing.Route{Path: []location.Point{from, to}, Metres: cmp.Or(r.metres, 6000), Duration: 10 * time.Minute, Source: routing.SourceRoad}, nil
}

// counter is a service by a clock set by hand.
type counter struct {
	*Service
	now  time.Time
	road fixedRoute
}

func newCounter(t testing.TB) *counter {
	t.Helper()
	c := &counter{now: time.Unix(1_700_000_000, 0)}
	clock := func() time.Time { return c.now }

	quoter, err := pricing.NewQuoter(bytes.Repeat([]byte("s"), 32), pricing.QuoterOptions{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	c.Service = New(Config{Trips: &trips.Service{Store: faulty.New(1), Now: clock}, Router: &c.road, Quoter: quoter, Now: clock,
		Contains: func(p location.Point) bool { return p.Lat > 6 }, Registerer: prometheus.NewRegistry()})
	return c
}

func TestARequestIsRefusedInTheDomainsWords(t *testing.T) {
	c := newCounter(t)
	q, err := c.Quote(t.Context(), "r", Journey{Pickup: &market, Dropoff: &airport})
	if err != nil {
		t.Fatal(err)
	}

	for name, x := range map[string]struct {
		journey Journey
		want    error
	}{
		"nowhere":          {Journey{}, ErrNoPoints},
		"no dropoff":       {Journey{Pickup: &market}, ErrNoPoints},
		"at sea":           {Journey{Pickup: &market, Dropoff: &atSea}, routing.ErrOutsideCity},
		"to itself":        {Journey{Pickup: &market, Dropoff: &market}, ErrSamePlace},
		"49 m":             {Journey{Pickup: &market, Dropoff: &location.Point{Lng: 3.38, Lat: 6.45044}}, ErrSamePlace},
		"off the Earth":    {Journey{Pickup: &location.Point{Lat: 91}, Dropoff: &airport}, location.ErrPoint},
		"no quote of ours": {Journey{Quote: q.Token + "x"}, pricing.ErrBadQuote},
		"another way":      {Journey{Quote: q.Token, Dropoff: &market}, ErrOtherRoute},
	} {
		if ev, err := c.RequestTrip(t.Context(), "r", "k", x.journey); !errors.Is(err, x.want) || ev.Trip.ID != "" {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}

	if _, err := c.RequestTrip(t.Context(), "other", "k", Journey{Quote: q.Token}); !errors.Is(err, pricing.ErrBadQuote) {
		t.Errorf("another rider's quote: %v", err)
	}
}

// seaRouter knows no road south of the coast, as a router on its own map may.
type seaRouter struct{ fixedRoute }

func (r *seaRouter) Route(ctx context.Context, from, to location.Point) (routing.Route, error) {
	if from.Lat < 6 || to.Lat < 6 {
		return routing.Route{}, fmt.Errorf("asked of a service: %w", routing.ErrOutsideCity)
	}
	return r.fixedRoute.Route(ctx, from, to)
}

func TestAPlaceThatIsNotServedIsNamedWithItsLikelyMistake(t *testing.T) {
	// lng and lat of the market and of the airport the wrong way round.
	swap := func(p location.Point) *location.Point { return &location.Point{Lng: p.Lat, Lat: p.Lng} }
	for _, known := range []string{"by the node", "by the router alone"} {
		c := newCounter(t)
		hint := true
		if known == "by the router alone" {
			c.cfg.Router, c.cfg.Contains, hint = new(seaRouter), nil, false
		}

		for name, x := range map[string]struct {
			journey Journey
			end     string
			swapped bool
		}{
			"pickup at sea":                        {Journey{Pickup: &atSea, Dropoff: &airport}, "pickup", false},
			"dropoff at sea":                       {Journey{Pickup: &market, Dropoff: &atSea}, "dropoff", false},
			"both at sea":                          {Journey{Pickup: &atSea, Dropoff: &atSea}, "pickup", false},
			"pickup swapped":                       {Journey{Pickup: swap(market), Dropoff: &airport}, "pickup", hint},
			"dropoff swapped":                      {Journey{Pickup: &market, Dropoff: swap(airport)}, "dropoff", hint},
			"dropoff no place":                     {Journey{Pickup: &market, Dropoff: &location.Point{Lng: 6.5, Lat: -200}}, "dropoff", false},
			"dropoff swapped and so off the Earth": {Journey{Pickup: &market, Dropoff: &location.Point{Lng: 6.5, Lat: 103}}, "dropoff", hint},
		} {
			_, quoted := c.Quote(t.Context(), "r", x.journey)
			_, requested := c.RequestTrip(t.Context(), "r", name, x.journey)
			for _, err := range []error{quoted, requested} {
				end := new(EndError)
				if !errors.As(err, &end) || end.End != x.end || end.Swapped != x.swapped {
					t.Errorf("%s, known %s: %v is about %+v", name, known, err, end)
				}
			}
		}
	}
}

func TestARepeatedRequestAsksForNoWayAndNoPrice(t *testing.T) {
	c := newCounter(t)
	j := Journey{Pickup: &market, Dropoff: &airport}

	first, err := c.RequestTrip(t.Context(), "r", "k", j)
	if err != nil {
		t.Fatal(err)
	}

	// The same place to a tenth of a metre.
	nearly := location.Point{Lng: market.Lng + 1e-8, Lat: market.Lat}
	again, err := c.RequestTrip(t.Context(), "r", "k", Journey{Pickup: &nearly, Dropoff: &airport})
	if err != nil || again.Trip.ID != first.Trip.ID || c.road.asked != 1 {
		t.Errorf("trip %s, then %s, %v; the router was asked %d times", first.Trip.ID, again.Trip.ID, err, c.road.asked)
	}
	if _, err := c.RequestTrip(t.Context(), "r", "k", Journey{Pickup: &airport, Dropoff: &market}); !errors.Is(err, trips.ErrKeyReused) {
		t.Errorf("another way under the same id: %v", err)
	}
}

func TestEachQuoteIsCountedByWhatBecameOfIt(t *testing.T) {
	c := newCounter(t)
	q, err := c.Quote(t.Context(), "r", Journey{Pickup: &market, Dropoff: &airport})
	if err != nil || len(q.Path) != 2 || q.Token == "" {
		t.Fatalf("%+v, %v", q, err)
	}

	request := func(rider trips.RiderID, id string, j Journey) { _, _ = c.RequestTrip(t.Context(), rider, id, j) }
	request("r", "k", Journey{Quote: q.Token})
	request("r", "k", Journey{Quote: q.Token}) // a repeat is not counted
	request("r2", "k", Journey{Pickup: &market, Dropoff: &airport})
	request("r", "k2", Journey{Quote: "x"})
	c.now = q.ExpiresAt
	request("r", "k3", Journey{Quote: q.Token})

	for _, outcome := range []string{"given", "taken", "none", "bad", "expired"} {
		if n := testutil.ToFloat64(c.quotes.WithLabelValues(outcome)); n != 1 {
			t.Errorf("%s: %v times", outcome, n)
		}
	}
}

func Example() {
	now := time.Now
	bookings := New(Config{Trips: &trips.Service{Store: faulty.New(1), Now: now}, Router: new(fixedRoute), Now: now,
		Registerer: prometheus.NewRegistry()})

	quote, err := bookings.Quote(context.Background(), "rider-1", Journey{Pickup: &market, Dropoff: &airport})
	if err != nil {
		fmt.Println(err)
		return
	}

	ev, err := bookings.RequestTrip(context.Background(), "rider-1", "my first request", Journey{Quote: quote.Token})
	fmt.Println(ev.Trip.State, ev.Trip.Quote.Fare == quote.Terms.Fare, err)
	// Output: requested true <nil>
}

// Two points that share the nearest place on a road are one place, however far
// they lie from it.
func TestARideToWhereItBeginsIsRefusedAtTheQuoteAndAtTheRequest(t *testing.T) {
	c := newCounter(t)
	rounded := location.Point{Lng: market.Lng + 1e-9, Lat: market.Lat - 1e-9}
	for name, to := range map[string]location.Point{"the same": market, "within rounding": rounded} {
		if _, err := c.Quote(t.Context(), "r", Journey{Pickup: &market, Dropoff: &to}); !errors.Is(err, ErrSamePlace) {
			t.Errorf("%s: %v", name, err)
		}
	}

	c.road.metres = 12
	if _, err := c.Quote(t.Context(), "r", Journey{Pickup: &market, Dropoff: &airport}); !errors.Is(err, ErrSamePlace) {
		t.Errorf("a way of 12 m: %v", err)
	}
	if _, err := c.RequestTrip(t.Context(), "r", "k", Journey{Pickup: &market, Dropoff: &airport}); !errors.Is(err, ErrSamePlace) {
		t.Errorf("a request for 12 m: %v", err)
	}
}

// The rule of places needs to know how far a place lies from the end of its
// way, also when the trip is requested by the quote's token.
func TestATripKnowsHowFarItsPlacesLieOffTheRoad(t *testing.T) {
	c := newCounter(t)
	c.road.off = 0.001 // degrees of latitude
	q, err := c.Quote(t.Context(), "r", Journey{Pickup: &market, Dropoff: &airport})
	if err != nil {
		t.Fatal(err)
	}

	for rider, j := range map[trips.RiderID]Journey{"r": {Quote: q.Token}, "plain": {Pickup: &market, Dropoff: &airport}} {
		ev, err := c.RequestTrip(t.Context(), rider, "k", j)
		if err != nil || ev.Trip.Quote.PickupOffRoad != 112 || ev.Trip.Quote.DropoffOffRoad != 1 {
			t.Errorf("%s: %+v, %v", rider, ev.Trip.Quote, err)
		}
	}
}
