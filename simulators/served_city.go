package simulators

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/routing"
)

// ErrMismatch means that a node runs another city than the simulators, or at
// another speed. Cars would teleport there, or drive where it has no road.
var ErrMismatch = errors.New("the simulators do not fit the node")

// servedCity is what a node tells of its city. Nodes of earlier builds tell no
// speed.
type servedCity struct {
	Name      string     `json:"name"`
	Bounds    [4]float64 `json:"bounds"` // west, south, east, north
	TimeScale float64    `json:"time_scale"`
}

// sameDegrees allows for machines that round differently; it is a tenth of a
// metre.
const sameDegrees = 1e-6

func (s servedCity) hasBounds(other [4]float64) bool {
	for i := range other {
		if math.Abs(s.Bounds[i]-other[i]) > sameDegrees {
			return false
		}
	}
	return true
}

func (s servedCity) String() string {
	return fmt.Sprintf("%s from %.4f, %.4f to %.4f, %.4f", s.Name, s.Bounds[0], s.Bounds[1], s.Bounds[2], s.Bounds[3])
}

// joinCity waits until a node gives a token, and then agrees on the city.
// Errors: as waitForNode and agreeOnCity.
func (n *network) joinCity(ctx context.Context, role, id string, city *routing.City, speed float64) (float64, error) {
	if err := n.waitForNode(ctx, role, id); err != nil {
		return 0, err
	}
	return n.agreeOnCity(ctx, city, speed)
}

// agreeOnCity asks each node which city it serves, and returns its speed in
// seconds of the city per second. speed is the speed that was asked for: 0
// means the nodes', or 1 if none tells its own. A nil city is not compared.
// Errors: ErrMismatch, or that of the context. A node that does not answer, as
// while it is down, is not checked; the log says so.
func (n *network) agreeOnCity(ctx context.Context, city *routing.City, speed float64) (float64, error) {
	toldBy := "" // the node that speed is of
	for i := range n.servers {
		server := n.client.ServerForAttempt(i)
		var served servedCity
		switch err := n.client.CallAPI(ctx, server, client.Request{Method: http.MethodGet, Path: "/v1/map"}, &served); {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case errors.Is(err, ErrRefused):
			continue // It serves no map.
		case err != nil:
			n.log.Warn("a node does not tell its city and speed, so they are not compared with ours", "node", server, "err", err)
			continue
		}

		if err := compareCities(server, served, city); err != nil {
			return 0, err
		}

		switch {
		case served.TimeScale == 0 || served.TimeScale == speed:
		case speed == 0:
			speed, toldBy = served.TimeScale, server
		case toldBy == "":
			return 0, fmt.Errorf("%w: the node at %s runs %s; leave --speed out or start the node with --speed %g",
				ErrMismatch, server, describeSpeed(served.TimeScale), speed)
		default:
			return 0, fmt.Errorf("%w: the node at %s runs %s, and the one at %s %s; start all with the same --speed",
				ErrMismatch, toldBy, describeSpeed(speed), server, describeSpeed(served.TimeScale))
		}
	}
	return cmp.Or(speed, 1), nil
}

// compareCities returns ErrMismatch unless a node serves the city.
func compareCities(server string, served servedCity, city *routing.City) error {
	if city == nil || served.Bounds == [4]float64{} {
		return nil
	}
	lo, hi := city.Bounds()
	ours := servedCity{Name: city.Name(), Bounds: [4]float64{lo.Lng, lo.Lat, hi.Lng, hi.Lat}}
	if served.Name == ours.Name && served.hasBounds(ours.Bounds) {
		return nil
	}
	return fmt.Errorf("%w: the node at %s serves %s, and --city %s is %s; give the --city that the node was started with",
		ErrMismatch, server, served, city.Spec(), ours)
}

func describeSpeed(x float64) string {
	if x == 1 {
		return "in real time"
	}
	return fmt.Sprintf("%g times real time", x)
}
