package routing

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/routingpb"
	"github.com/ridehail/ridehail/routing/routingpb/routingpbconnect"
)

// maxAnswer bounds the bytes of an answer.
const maxAnswer = 4 << 20

// rpc is the backend that speaks routing.proto, by Connect.
type rpc struct {
	client routingpbconnect.RoutingClient
}

func newConnect(h *http.Client, url string) rpc {
	return rpc{routingpbconnect.NewRoutingClient(h, strings.TrimRight(url, "/"),
		connect.WithAcceptCompression("gzip", nil, nil), // the answers are small and near
		connect.WithReadMaxBytes(maxAnswer),
	)}
}

func (r rpc) limits() (places, pairs int) { return maxPlaces, maxPairs }

func (r rpc) route(ctx context.Context, from, to location.Point) (Route, error) {
	res, err := r.client.Route(ctx, &routingpb.RouteRequest{From: toWire(from), To: toWire(to)})
	if err != nil {
		return Route{}, uncoded(err)
	}
	return readRoute(res, from, to)
}

func (r rpc) matrix(ctx context.Context, from, to []location.Point) ([][]time.Duration, error) {
	res, err := r.client.Matrix(ctx, &routingpb.MatrixRequest{From: allToWire(from), To: allToWire(to)})
	if err != nil {
		return nil, uncoded(err)
	}
	return readMatrix(res, from, to)
}

func (r rpc) snap(ctx context.Context, p location.Point) (location.Point, float64, error) {
	res, err := r.client.Snap(ctx, &routingpb.SnapRequest{Point: toWire(p)})
	if err != nil {
		return location.Point{}, 0, uncoded(err)
	}
	return readSnap(res, p)
}

// uncoded turns the codes of routing.proto, when the service itself sent them, into this package's errors.
func uncoded(err error) error {
	var coded *connect.Error
	if !errors.As(err, &coded) {
		return err
	}
	switch code, wire := coded.Code(), connect.IsWireError(err); {
	case wire && code == connect.CodeOutOfRange:
		return fmt.Errorf("%w: %s", ErrOutsideCity, coded.Message())
	case wire && code == connect.CodeNotFound:
		return ErrNoRoute
	case code == connect.CodeUnavailable:
		return fmt.Errorf("%w: %w", errAway, err)
	}
	return err
}

func toWire(p location.Point) *routingpb.Point { return &routingpb.Point{Lng: p.Lng, Lat: p.Lat} }

func allToWire(ps []location.Point) []*routingpb.Point {
	out := make([]*routingpb.Point, len(ps))
	for i, p := range ps {
		out[i] = toWire(p)
	}
	return out
}
