package routing

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/trace"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/routingpb"
	"github.com/ridehail/ridehail/routing/routingpb/routingpbconnect"
)

// maxAnswer bounds the bytes of an answer.
const maxAnswer = 4 << 20

// rpcBackend is the backend that speaks routing.proto over Connect.
type rpcBackend struct {
	client routingpbconnect.RoutingClient
}

func newRPCBackend(h *http.Client, url string, tracing trace.TracerProvider) rpcBackend {
	return rpcBackend{routingpbconnect.NewRoutingClient(h, strings.TrimRight(url, "/"), traceCalls(tracing),
		// answers are small, and the service is near
		connect.WithAcceptCompression("gzip", nil, nil),
		connect.WithReadMaxBytes(maxAnswer),
	)}
}

func (r rpcBackend) matrixLimits() (places, pairs int) { return maxPlaces, maxPairs }

func (r rpcBackend) requestRoute(ctx context.Context, from, to location.Point) (Route, error) {
	res, err := r.client.Route(ctx, &routingpb.RouteRequest{From: pointToWire(from), To: pointToWire(to)})
	if err != nil {
		return Route{}, fromConnectError(err)
	}
	return readRoute(res, from, to)
}

func (r rpcBackend) requestMatrix(ctx context.Context, from, to []location.Point) ([][]time.Duration, error) {
	res, err := r.client.Matrix(ctx, &routingpb.MatrixRequest{From: pointsToWire(from), To: pointsToWire(to)})
	if err != nil {
		return nil, fromConnectError(err)
	}
	return readMatrix(res, from, to)
}

func (r rpcBackend) requestSnap(ctx context.Context, p location.Point) (location.Point, float64, error) {
	res, err := r.client.Snap(ctx, &routingpb.SnapRequest{Point: pointToWire(p)})
	if err != nil {
		return location.Point{}, 0, fromConnectError(err)
	}
	return readSnap(res, p)
}

// fromConnectError turns the codes of routing.proto, when the service itself
// sent them, into this package's errors.
func fromConnectError(err error) error {
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
		return fmt.Errorf("%w: %w", errServiceGone, err)
	}

	return err
}

func pointToWire(p location.Point) *routingpb.Point { return &routingpb.Point{Lng: p.Lng, Lat: p.Lat} }

func pointsToWire(ps []location.Point) []*routingpb.Point {
	out := make([]*routingpb.Point, len(ps))
	for i, p := range ps {
		out[i] = pointToWire(p)
	}
	return out
}
