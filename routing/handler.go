package routing

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"go.opentelemetry.io/otel/trace"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/routingpb"
	"github.com/ridehail/ridehail/routing/routingpb/routingpbconnect"
)

//go:generate protoc -I . --go_out=.. --go_opt=module=github.com/ridehail/ridehail --connect-go_out=.. --connect-go_opt=module=github.com/ridehail/ridehail,simple=true routing.proto

// maxPlaces bounds the places on one side of a matrix, maxPairs the times in
// it. maxRequest bounds the bytes of a request with that many places.
const (
	maxPlaces  = 1000
	maxPairs   = 100_000
	maxRequest = 128 << 10
)

// HandlerOption adjusts NewHandler.
type HandlerOption func() connect.HandlerOption

// WithTracing makes a span of each call, within the trace of its caller. With nil
// it does nothing.
func WithTracing(spans trace.TracerProvider) HandlerOption {
	return func() connect.HandlerOption { return traceAnswers(spans) }
}

// NewHandler returns a handler that serves the router by Connect, gRPC and
// gRPC-Web, and the standard gRPC health service. For gRPC the server must
// speak HTTP/2; without TLS that means http.Protocols with unencrypted HTTP/2.
func NewHandler(r *Router, opts ...HandlerOption) http.Handler {
	all := []connect.HandlerOption{connect.WithReadMaxBytes(maxRequest)}
	for _, opt := range opts {
		all = append(all, opt())
	}
	mux := http.NewServeMux()
	mux.Handle(routingpbconnect.NewRoutingHandler(&service{r}, all...))
	mux.Handle(grpchealth.NewHandler(grpchealth.NewStaticChecker(routingpbconnect.RoutingName)))
	return mux
}

type service struct{ router *Router }

func (s *service) Route(ctx context.Context, req *routingpb.RouteRequest) (*routingpb.RouteResponse, error) {
	from, to, err := parseTwoPoints(req.GetFrom(), req.GetTo())
	if err != nil {
		return nil, err
	}

	way, err := s.router.Route(ctx, from, to)
	if err != nil {
		return nil, toConnectError(err)
	}

	res := &routingpb.RouteResponse{Metres: way.Metres, DurationMs: way.Duration.Milliseconds()}
	for _, p := range way.Path {
		res.Path = append(res.Path, &routingpb.Point{Lng: p.Lng, Lat: p.Lat})
	}
	for _, v := range way.Speeds {
		res.Speeds = append(res.Speeds, float32(v))
	}

	return res, nil
}

func (s *service) Matrix(ctx context.Context, req *routingpb.MatrixRequest) (*routingpb.MatrixResponse, error) {
	from, err := parsePoints("from", req.GetFrom())
	if err != nil {
		return nil, err
	}

	to, err := parsePoints("to", req.GetTo())
	if err != nil {
		return nil, err
	}
	if len(from)*len(to) > maxPairs {
		return nil, invalidArgument(fmt.Errorf("%d pairs, at most %d in one call", len(from)*len(to), maxPairs))
	}

	rows, err := s.router.Matrix(ctx, from, to)
	if err != nil {
		return nil, toConnectError(err)
	}

	res := &routingpb.MatrixResponse{DurationsMs: make([]int64, 0, len(from)*len(to))}
	for _, row := range rows {
		for _, t := range row {
			res.DurationsMs = append(res.DurationsMs, t.Milliseconds())
		}
	}

	return res, nil
}

// parsePoints parses the places on one side of a matrix.
func parsePoints(field string, all []*routingpb.Point) ([]location.Point, error) {
	if len(all) > maxPlaces {
		return nil, invalidArgument(fmt.Errorf("%d places in %q, at most %d in one call", len(all), field, maxPlaces))
	}
	out := make([]location.Point, len(all))
	for i, p := range all {
		var err error
		if out[i], err = parsePoint(fmt.Sprintf("%s[%d]", field, i), p); err != nil {
			return nil, err
		}
	}

	return out, nil
}

func (s *service) Snap(_ context.Context, req *routingpb.SnapRequest) (*routingpb.SnapResponse, error) {
	p, err := parsePoint("point", req.GetPoint())
	if err != nil {
		return nil, err
	}

	at, metres, err := s.router.Snap(p)
	if err != nil {
		return nil, toConnectError(err)
	}
	return &routingpb.SnapResponse{Point: &routingpb.Point{Lng: at.Lng, Lat: at.Lat}, Metres: metres}, nil
}

func parseTwoPoints(a, b *routingpb.Point) (from, to location.Point, err error) {
	if from, err = parsePoint("from", a); err != nil {
		return from, to, err
	}
	to, err = parsePoint("to", b)
	return from, to, err
}

func parsePoint(field string, p *routingpb.Point) (location.Point, error) {
	if p == nil {
		return location.Point{}, invalidArgument(fmt.Errorf("%s is missing", field))
	}
	at := location.Point{Lng: p.GetLng(), Lat: p.GetLat()}
	if err := at.CheckRange(); err != nil {
		return location.Point{}, invalidArgument(fmt.Errorf("%s: %w", field, err))
	}
	return at, nil
}

func invalidArgument(err error) error { return connect.NewError(connect.CodeInvalidArgument, err) }

// toConnectError converts the router's errors to the codes that routing.proto
// promises.
func toConnectError(err error) error {
	switch {
	case errors.Is(err, ErrOutsideCity):
		return connect.NewError(connect.CodeOutOfRange, err)
	case errors.Is(err, ErrNoRoute):
		return connect.NewError(connect.CodeNotFound, err)
	case errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	default:
		return connect.NewError(connect.CodeInternal, err)
	}
}
