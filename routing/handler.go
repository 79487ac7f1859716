package routing

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/routingpb"
	"github.com/ridehail/ridehail/routing/routingpb/routingpbconnect"
)

//go:generate protoc -I . --go_out=.. --go_opt=module=github.com/ridehail/ridehail --connect-go_out=.. --connect-go_opt=module=github.com/ridehail/ridehail,simple=true routing.proto

// maxPlaces is how many places one Times call may ask about; maxRequest is the bytes that so many take, with room.
const (
	maxPlaces  = 1000
	maxRequest = 64 << 10
)

// NewHandler serves the router by Connect, gRPC and gRPC-Web, with the standard gRPC health service beside it. For
// gRPC the server must speak HTTP/2; without TLS that means http.Protocols with unencrypted HTTP/2.
func NewHandler(r *Router) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(routingpbconnect.NewRoutingHandler(&service{r}, connect.WithReadMaxBytes(maxRequest)))
	mux.Handle(grpchealth.NewHandler(grpchealth.NewStaticChecker(routingpbconnect.RoutingName)))
	return mux
}

type service struct{ router *Router }

func (s *service) Route(ctx context.Context, req *routingpb.RouteRequest) (*routingpb.RouteResponse, error) {
	from, to, err := twoPoints(req.GetFrom(), req.GetTo())
	if err != nil {
		return nil, err
	}
	way, err := s.router.Route(ctx, from, to)
	if err != nil {
		return nil, coded(err)
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

func (s *service) Times(ctx context.Context, req *routingpb.TimesRequest) (*routingpb.TimesResponse, error) {
	if n := len(req.GetFrom()); n > maxPlaces {
		return nil, invalid(fmt.Errorf("%d places, at most %d in one call", n, maxPlaces))
	}
	to, err := point("to", req.GetTo())
	if err != nil {
		return nil, err
	}
	from := make([]location.Point, len(req.GetFrom()))
	for i, p := range req.GetFrom() {
		if from[i], err = point(fmt.Sprintf("from[%d]", i), p); err != nil {
			return nil, err
		}
	}
	times, err := s.router.Times(ctx, from, to)
	if err != nil {
		return nil, coded(err)
	}
	res := &routingpb.TimesResponse{}
	for _, t := range times {
		res.DurationsMs = append(res.DurationsMs, t.Milliseconds())
	}
	return res, nil
}

func (s *service) Snap(_ context.Context, req *routingpb.SnapRequest) (*routingpb.SnapResponse, error) {
	p, err := point("point", req.GetPoint())
	if err != nil {
		return nil, err
	}
	at, metres, err := s.router.Snap(p)
	if err != nil {
		return nil, coded(err)
	}
	return &routingpb.SnapResponse{Point: &routingpb.Point{Lng: at.Lng, Lat: at.Lat}, Metres: metres}, nil
}

func twoPoints(a, b *routingpb.Point) (from, to location.Point, err error) {
	if from, err = point("from", a); err != nil {
		return from, to, err
	}
	to, err = point("to", b)
	return from, to, err
}

func point(field string, p *routingpb.Point) (location.Point, error) {
	if p == nil {
		return location.Point{}, invalid(fmt.Errorf("%s is missing", field))
	}
	at := location.Point{Lng: p.GetLng(), Lat: p.GetLat()}
	if err := at.Check(); err != nil {
		return location.Point{}, invalid(fmt.Errorf("%s: %w", field, err))
	}
	return at, nil
}

func invalid(err error) error { return connect.NewError(connect.CodeInvalidArgument, err) }

// coded gives the router's errors the codes that routing.proto promises.
func coded(err error) error {
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
