// Package booking turns a quote and a request into one trip: it finds the way,
// prices it, and opens the trip at the price that the rider saw. It is the same
// for sockets and for HTTP.
package booking

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/pricing"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

var (
	// ErrNoPoints is returned for a request with neither a quote nor both its
	// ends.
	ErrNoPoints = errors.New("a request without a quote needs a pickup and a dropoff")
	// ErrOtherRoute is returned for a request whose points are not those of its
	// quote.
	ErrOtherRoute = errors.New("the quote is for another way")
	// ErrSamePlace is returned for a way that is shorter than trips.MinRide.
	ErrSamePlace = errors.New("pickup and destination are the same place")
)

// EndError says which end of a way an error is about.
type EndError struct {
	End string // "pickup" or "dropoff"
	// Swapped is true if we would drive there with lng and lat swapped.
	Swapped bool
	Err     error
}

func (e *EndError) Error() string { return e.End + ": " + e.Err.Error() }

func (e *EndError) Unwrap() error { return e.Err }

// Router finds ways. It may block, and is called from many goroutines.
type Router interface {
	// Route returns the way from one point to the other. Its errors wrap
	// routing.ErrOutsideCity or routing.ErrNoRoute where these apply.
	Route(ctx context.Context, from, to location.Point) (routing.Route, error)
}

// Config is what a Service is built from.
type Config struct {
	Trips  *trips.Service // opens the trips
	Router Router
	Quoter *pricing.Quoter // nil: no surge, and a key of this node
	// says where we drive; nil: everywhere
	Contains   func(location.Point) bool
	Now        func() time.Time
	Registerer prometheus.Registerer
	Tracer     *tracing.Tracer // nil: no hop is recorded
}

// Service quotes and opens trips. Safe for concurrent use.
type Service struct {
	cfg    Config
	quotes *prometheus.CounterVec // by what became of them
}

// New builds a service.
func New(cfg Config) *Service {
	if cfg.Quoter == nil {
		cfg.Quoter = newLocalQuoter(cfg.Now)
	}
	quotes := promauto.With(cfg.Registerer).NewCounterVec(prometheus.CounterOpts{Name: "ridehail_gateway_quotes_total",
		Help: "Quotes given, and those that came back: taken, expired, bad; none: requests without."}, []string{"outcome"})
	return &Service{cfg: cfg, quotes: quotes}
}

// newLocalQuoter prices plainly and signs with a key that no other node has.
func newLocalQuoter(now func() time.Time) *pricing.Quoter {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	// The only error is a secret shorter than 32 bytes.
	q, _ := pricing.NewQuoter(secret, pricing.QuoterOptions{Now: now})
	return q
}

// Surge is where prices are raised just now.
func (s *Service) Surge() *pricing.Surge { return s.cfg.Quoter.Surge() }

// FindRoute returns the way between two points at the plain tariff, and its
// path, which is empty when the way was guessed and not found on roads.
func (s *Service) FindRoute(ctx context.Context, from, to location.Point) (trips.Quote, []location.Point, error) {
	way, err := s.cfg.Router.Route(ctx, from, to)
	if err != nil {
		return trips.Quote{}, nil, err
	}

	q := trips.Quote{Metres: way.Metres, Duration: way.Duration, Source: way.Source,
		Fare: trips.DefaultTariff.Fare(way.Metres, way.Duration)}
	if way.Source != routing.SourceRoad {
		return q, nil, nil
	}

	q.PickupOffRoad, q.DropoffOffRoad = metresOff(from, way.Path[0]), metresOff(to, way.Path[len(way.Path)-1])
	return q, way.Path, nil
}

// metresOff returns the distance from a place to an end of its way, rounded up,
// and at least 1: 0 would mean unknown.
func metresOff(place, end location.Point) uint16 {
	return uint16(min(math.MaxUint16, 1+math.Floor(location.MetresBetween(place, end))))
}

// findRide is FindRoute for a ride: it refuses a way that leads nowhere.
func (s *Service) findRide(ctx context.Context, from, to location.Point) (trips.Quote, []location.Point, error) {
	way, path, err := s.FindRoute(ctx, from, to)
	if err == nil && (location.MetresBetween(from, to) < trips.MinRide || way.Metres < trips.MinRide) {
		err = ErrSamePlace // Or both are at the same end of a road.
	}
	return way, path, err
}

// Quote is a price that a rider may take.
type Quote struct {
	pricing.Quote
	Token string           // to be sent with the request
	Path  []location.Point // empty when the way was guessed
}

// Quote prices a way for a rider. The points are the journey's; its quote is
// ignored. What it records is under the id of the quote that it returns.
func (s *Service) Quote(ctx context.Context, rider trips.RiderID, j Journey) (Quote, error) {
	from, to, err := s.checkEnds(j)
	if err != nil {
		return Quote{}, err
	}

	id := pricing.NewQuoteID()
	way, path, err := s.traceRide(ctx, id, tracing.Quote, from, to)
	if err != nil {
		return Quote{}, s.findOutsideEnd(ctx, from, to, err)
	}

	token, q, err := s.traceSigning(id, func() (string, pricing.Quote, error) { return s.cfg.Quoter.SignQuote(id, rider, from, to, way) })
	if err != nil {
		return Quote{}, err
	}

	s.quotes.WithLabelValues("given").Inc()
	return Quote{Quote: q, Token: token, Path: path}, nil
}

// Journey is where a rider wants to go; pointers tell a missing point from the
// one at zero. With a quote's token the points may be left out.
type Journey struct {
	Pickup, Dropoff *location.Point
	Quote           string
}

// checkEnds returns both points of a journey, if we drive between them.
func (s *Service) checkEnds(j Journey) (from, to location.Point, err error) {
	if j.Pickup == nil || j.Dropoff == nil {
		return from, to, ErrNoPoints
	}

	for i, p := range []location.Point{*j.Pickup, *j.Dropoff} {
		err := p.CheckRange()
		if err == nil && !s.contains(p) {
			err = routing.ErrOutsideCity
		}
		if err != nil {
			return from, to, s.endError(i, p, err)
		}
	}
	return *j.Pickup, *j.Dropoff, nil
}

func (s *Service) contains(p location.Point) bool { return s.cfg.Contains == nil || s.cfg.Contains(p) }

// endError is an error about the pickup (0) or the dropoff (1).
func (s *Service) endError(end int, p location.Point, err error) error {
	swapped := location.Point{Lng: p.Lat, Lat: p.Lng}
	return &EndError{End: [...]string{"pickup", "dropoff"}[end], Err: err,
		Swapped: s.cfg.Contains != nil && swapped.CheckRange() == nil && s.cfg.Contains(swapped)}
}

// findOutsideEnd returns the error of a router that knows no road at one end,
// with the end that it is. The router is asked for the way from the pickup to
// itself.
func (s *Service) findOutsideEnd(ctx context.Context, from, to location.Point, err error) error {
	if !errors.Is(err, routing.ErrOutsideCity) {
		return err
	}
	if _, pickup := s.cfg.Router.Route(ctx, from, from); errors.Is(pickup, routing.ErrOutsideCity) {
		return s.endError(0, from, err)
	}
	return s.endError(1, to, err)
}

// RequestTrip opens a trip at the price of its quote or, without one, at the
// price of this moment. id is the rider's own for this command. A repeat
// returns the trip as it was opened: it is not priced anew, and its quote may
// have expired meanwhile.
func (s *Service) RequestTrip(ctx context.Context, rider trips.RiderID, id string, j Journey) (trips.Event, error) {
	if j.Quote != "" {
		return s.requestQuotedTrip(ctx, rider, id, j)
	}
	from, to, err := s.checkEnds(j)
	if err != nil {
		return trips.Event{}, err
	}

	key := trips.IdempotencyKey{Actor: trips.Rider(rider), ID: id, Fingerprint: "request " + formatPoint(from) + " " + formatPoint(to)}
	if ev, err := s.cfg.Trips.Store.RecordedEvent(ctx, key); !errors.Is(err, trips.ErrNotFound) {
		return ev, err
	}

	trip := tracing.NewTripID("")
	way, _, err := s.traceRide(ctx, trip, tracing.Request, from, to)
	if err != nil {
		return trips.Event{}, s.findOutsideEnd(ctx, from, to, err)
	}

	s.quotes.WithLabelValues("none").Inc()
	priced, _ := s.cfg.Quoter.PriceWay(from, way)
	return s.cfg.Trips.RequestTripAs(ctx, trips.TripID(trip), key, rider, from, to, priced)
}

func (s *Service) requestQuotedTrip(ctx context.Context, rider trips.RiderID, id string, j Journey) (trips.Event, error) {
	q, late := s.cfg.Quoter.VerifyQuote(j.Quote, rider)
	if late != nil && !errors.Is(late, pricing.ErrQuoteExpired) {
		s.quotes.WithLabelValues("bad").Inc()
		return trips.Event{}, late
	}
	if !isSamePlace(j.Pickup, q.From) || !isSamePlace(j.Dropoff, q.To) {
		s.quotes.WithLabelValues("bad").Inc()
		return trips.Event{}, ErrOtherRoute
	}

	key := trips.IdempotencyKey{Actor: trips.Rider(rider), ID: id, Fingerprint: "request " + q.ID}
	if ev, err := s.cfg.Trips.Store.RecordedEvent(ctx, key); !errors.Is(err, trips.ErrNotFound) {
		return ev, err
	}
	if late != nil {
		s.quotes.WithLabelValues("expired").Inc()
		return trips.Event{}, late
	}

	s.quotes.WithLabelValues("taken").Inc()
	return s.cfg.Trips.RequestTripAs(ctx, trips.TripID(tracing.NewTripID(q.ID)), key, q.Rider, q.From, q.To, q.Terms)
}

// isSamePlace returns true if a point, if it is given, is the quoted one.
func isSamePlace(p *location.Point, quoted location.Point) bool {
	return formatPoint(*cmp.Or(p, &quoted)) == formatPoint(quoted)
}

// formatPoint is a point to a tenth of a metre, as text. A command sent again
// is the same command when its points have the same fingerprints.
func formatPoint(p location.Point) string { return fmt.Sprintf("%.6f,%.6f", p.Lng, p.Lat) }
