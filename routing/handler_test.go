package routing

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/routingpb"
	"github.com/ridehail/ridehail/routing/routingpb/routingpbconnect"
)

func TestNonsenseIsRefusedByTheService(t *testing.T) {
	server := httptest.NewServer(NewHandler(NewRouter(builtInCity())))
	defer server.Close()

	rpc := routingpbconnect.NewRoutingClient(server.Client(), server.URL)
	here, ctx := &routingpb.Point{Lng: 3.4, Lat: 6.45}, context.Background()
	for name, ask := range map[string]func() error{
		"missing": func() error { _, err := rpc.Route(ctx, &routingpb.RouteRequest{From: here}); return err },
		"nan": func() error {
			_, err := rpc.Snap(ctx, &routingpb.SnapRequest{Point: &routingpb.Point{Lng: math.NaN()}})
			return err
		},
		"infinite": func() error {
			_, err := rpc.Matrix(ctx, &routingpb.MatrixRequest{To: []*routingpb.Point{here}, From: []*routingpb.Point{{Lat: math.Inf(1)}}})
			return err
		},
		"off the Earth": func() error {
			_, err := rpc.Snap(ctx, &routingpb.SnapRequest{Point: &routingpb.Point{Lng: 3, Lat: 91}})
			return err
		},
		"too many": func() error {
			_, err := rpc.Matrix(ctx, &routingpb.MatrixRequest{To: []*routingpb.Point{here}, From: make([]*routingpb.Point, maxPlaces+1)})
			return err
		},
		"too many pairs": func() error {
			side := slices.Repeat([]*routingpb.Point{here}, maxPlaces)
			_, err := rpc.Matrix(ctx, &routingpb.MatrixRequest{From: side, To: side})
			return err
		},
	} {
		if err := ask(); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}

	many := make([]*routingpb.Point, 10*maxPlaces)
	for i := range many {
		many[i] = here
	}
	_, err := rpc.Matrix(ctx, &routingpb.MatrixRequest{To: []*routingpb.Point{here}, From: many})
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a huge request: %v", err)
	}
}

func TestHealthIsAnsweredOverGRPC(t *testing.T) {
	server := httptest.NewUnstartedServer(NewHandler(NewRouter(builtInCity())))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()

	transport := &http.Transport{Protocols: server.Config.Protocols}
	defer transport.CloseIdleConnections()

	h2 := &http.Client{Transport: transport}

	health := grpchealth.NewClient(h2, server.URL, connect.WithGRPC())
	for _, service := range []string{"", routingpbconnect.RoutingName} {
		res, err := health.Check(context.Background(), &grpchealth.CheckRequest{Service: service})
		if err != nil || res.Status != grpchealth.StatusServing {
			t.Errorf("health of %q: %v %v", service, res, err)
		}
	}

	rpc := routingpbconnect.NewRoutingClient(h2, server.URL, connect.WithGRPC())
	from, to := twoPlaces()

	res, err := rpc.Route(context.Background(), &routingpb.RouteRequest{From: pointToWire(from), To: pointToWire(to)})
	if err != nil || len(res.GetPath()) < 2 {
		t.Errorf("route over gRPC: %v", err)
	}

	sea := pointToWire(location.Point{Lng: 3.4, Lat: 6.2})
	_, err = rpc.Snap(context.Background(), &routingpb.SnapRequest{Point: sea})
	if connect.CodeOf(err) != connect.CodeOutOfRange {
		t.Errorf("outside over gRPC: %v", err)
	}
}
