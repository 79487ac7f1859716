package routing

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/routingpb"
	"github.com/ridehail/ridehail/routing/routingpb/routingpbconnect"
)

// liar gives the answers that the test chose.
type liar struct {
	route *routingpb.RouteResponse
	times *routingpb.MatrixResponse
	snap  *routingpb.SnapResponse
}

func (l *liar) Route(context.Context, *routingpb.RouteRequest) (*routingpb.RouteResponse, error) {
	return l.route, nil
}

func (l *liar) Matrix(context.Context, *routingpb.MatrixRequest) (*routingpb.MatrixResponse, error) {
	return l.times, nil
}

func (l *liar) Snap(context.Context, *routingpb.SnapRequest) (*routingpb.SnapResponse, error) {
	return l.snap, nil
}

func TestALyingServiceIsNotBelieved(t *testing.T) {
	from, to := twoPlaces()
	honest := func() *routingpb.RouteResponse {
		return &routingpb.RouteResponse{Path: []*routingpb.Point{pointToWire(from), pointToWire(to)}, Speeds: []float32{10},
			Metres: 2 * location.MetresBetween(from, to), DurationMs: 3_600_000}
	}
	l := &liar{route: honest(), times: &routingpb.MatrixResponse{DurationsMs: []int64{3_600_000, 0}}}
	_, rpc := routingpbconnect.NewRoutingHandler(l)
	c := clientOf(t, rpc, ClientOptions{Timeout: 20 * time.Second, Failures: 1 << 30})
	if way, err := c.Route(context.Background(), from, to); err != nil || way.Source != SourceRoad {
		t.Fatalf("an honest answer is not believed: %+v %v", way, err)
	}

	for name, times := range map[string][]int64{
		"none": {}, "negative": {3_600_000, -1}, "too many": {1e6, 1e6, 1e6},
		"huge": {math.MaxInt64, 0}, "faster than any car": {1, 0},
	} {
		t.Run("times "+name, func(t *testing.T) {
			l.route, l.times = &routingpb.RouteResponse{}, &routingpb.MatrixResponse{DurationsMs: times}
			assertStraight(t, c)
		})
	}
	l.times = &routingpb.MatrixResponse{}

	for name, bend := range map[string]func(*routingpb.RouteResponse){
		"no path":         func(r *routingpb.RouteResponse) { r.Path = nil },
		"missing point":   func(r *routingpb.RouteResponse) { r.Path[1] = nil },
		"nan":             func(r *routingpb.RouteResponse) { r.Path[0].Lng = math.NaN() },
		"elsewhere":       func(r *routingpb.RouteResponse) { r.Path[0].Lng++ },
		"nan metres":      func(r *routingpb.RouteResponse) { r.Metres = math.NaN() },
		"negative metres": func(r *routingpb.RouteResponse) { r.Metres = -5 },
		"endless":         func(r *routingpb.RouteResponse) { r.Metres = math.Inf(1) },
		"standing still":  func(r *routingpb.RouteResponse) { r.Speeds[0] = 0 },
		"a rocket":        func(r *routingpb.RouteResponse) { r.Speeds[0] = 4000 },
		"no time":         func(r *routingpb.RouteResponse) { r.DurationMs = 0 },
		"negative time":   func(r *routingpb.RouteResponse) { r.DurationMs = -1 },
		"too many speeds": func(r *routingpb.RouteResponse) { r.Speeds = append(r.Speeds, 1) },
	} {
		t.Run("route "+name, func(t *testing.T) {
			l.route = honest()
			bend(l.route)
			before := c.Stats().Lies
			assertStraight(t, c)
			if c.Stats().Lies != before+2 {
				t.Errorf("%+v", c.Stats())
			}
		})
	}

	l.snap = &routingpb.SnapResponse{Point: pointToWire(to), Metres: 3}
	if _, _, err := c.Snap(context.Background(), from); !errors.Is(err, ErrUnavailable) {
		t.Errorf("snap: %v", err)
	}
}
