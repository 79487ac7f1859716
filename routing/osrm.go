package routing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ridehail/ridehail/location"
)

// osrmBackend is the backend that asks an OSRM server through its HTTP API:
// version 1 of the services route, table and nearest, with the profile driving.
type osrmBackend struct {
	http *http.Client
	url  string
}

func newOSRMBackend(h *http.Client, url string) osrmBackend {
	return osrmBackend{h, strings.TrimRight(url, "/")}
}

// osrmPlaces bounds the places on each side of a table: by default the server
// takes 100 places in all.
const osrmPlaces = 50

func (o osrmBackend) matrixLimits() (places, pairs int) { return osrmPlaces, osrmPlaces * osrmPlaces }

// osrmAnswer is the beginning of every answer. Code is "Ok" or the reason why
// there is no answer.
type osrmAnswer struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// osrmPlace is the point on a road that the server found for a place.
type osrmPlace struct {
	Location [2]float64 `json:"location"` // lng, lat
	Distance float64    `json:"distance"` // metres from the place
}

type osrmRoutes struct {
	osrmAnswer
	Routes []struct {
		Distance float64 `json:"distance"` // metres
		Duration float64 `json:"duration"` // seconds
		Geometry struct {
			Coordinates [][2]float64 `json:"coordinates"`
		} `json:"geometry"`
		Legs []struct {
			Annotation struct {
				Speed []float64 `json:"speed"` // metres per second
			} `json:"annotation"`
		} `json:"legs"`
	} `json:"routes"`
}

type osrmTable struct {
	osrmAnswer
	Durations [][]*float64 `json:"durations"` // seconds; null: no way
	Sources   []osrmPlace  `json:"sources"`
}

type osrmNearest struct {
	osrmAnswer
	Waypoints []osrmPlace `json:"waypoints"`
}

func (o osrmBackend) requestRoute(ctx context.Context, from, to location.Point) (Route, error) {
	var res osrmRoutes
	err := o.fetchAnswer(ctx, "route", []location.Point{from, to},
		"overview=full&geometries=geojson&annotations=speed&radiuses="+radiusList(2), &res)
	if err != nil {
		return Route{}, err
	}
	if len(res.Routes) == 0 {
		return Route{}, implausible("Ok without a route")
	}

	r := &res.Routes[0]
	way := Route{Metres: r.Distance, Source: SourceRoad}
	for _, c := range r.Geometry.Coordinates {
		p := location.Point{Lng: c[0], Lat: c[1]}
		if err := p.CheckRange(); err != nil {
			return Route{}, implausible("%w", err)
		}
		way.Path = append(way.Path, p)
	}

	ms, err := toMilliseconds(r.Duration)
	if err != nil {
		return Route{}, err
	}

	var speeds []float64
	if len(r.Legs) == 1 {
		speeds = r.Legs[0].Annotation.Speed
	}

	mean := max(minSpeed, min(maxSpeed, r.Distance/max(0.001, r.Duration)))
	for i := range max(0, len(way.Path)-1) {
		v := mean
		if len(speeds) == len(way.Path)-1 && speeds[i] >= minSpeed {
			// a stop at a traffic light is not simulated
			v = speeds[i]
		}
		way.Speeds = append(way.Speeds, v)
	}
	return checkRoute(way, ms, from, to)
}

func (o osrmBackend) requestMatrix(ctx context.Context, from, to []location.Point) ([][]time.Duration, error) {
	if len(from) == 0 || len(to) == 0 {
		return make([][]time.Duration, len(from)), nil
	}
	all := append(append([]location.Point{}, from...), to...)
	var res osrmTable
	query := "annotations=duration&sources=" + indexList(0, len(from)) + "&destinations=" + indexList(len(from), len(to)) +
		"&radiuses=" + strings.Repeat("unlimited;", len(from)) + radiusList(len(to))
	if err := o.fetchAnswer(ctx, "table", all, query, &res); err != nil {
		return nil, err
	}
	if len(res.Durations) != len(from) || len(res.Sources) != len(from) {
		return nil, implausible("%d rows and %d places for %d", len(res.Durations), len(res.Sources), len(from))
	}

	rows := make([][]time.Duration, len(from))
	for i, row := range res.Durations {
		if len(row) != len(to) {
			return nil, implausible("%d times for %d places", len(row), len(to))
		}
		rows[i] = make([]time.Duration, len(to))
		for j, seconds := range row {
			switch {
			case !(res.Sources[i].Distance <= snapRadius):
				// no road is near: on foot, as in Router.Matrix
				rows[i][j] = walkTime(from[i], to[j])
			case seconds == nil:
				rows[i][j] = NoWay
			default:
				ms, err := toMilliseconds(*seconds)
				if err != nil {
					return nil, err
				}
				if rows[i][j], err = readTime(ms, location.MetresBetween(from[i], to[j])-2*snapRadius); err != nil {
					return nil, err
				}
			}
		}
	}
	return rows, nil
}

func (o osrmBackend) requestSnap(ctx context.Context, p location.Point) (location.Point, float64, error) {
	var res osrmNearest
	if err := o.fetchAnswer(ctx, "nearest", []location.Point{p}, "number=1&radiuses="+radiusList(1), &res); err != nil {
		return location.Point{}, 0, err
	}
	if len(res.Waypoints) == 0 {
		return location.Point{}, 0, implausible("Ok without a place")
	}

	at := location.Point{Lng: res.Waypoints[0].Location[0], Lat: res.Waypoints[0].Location[1]}
	if err := at.CheckRange(); err != nil {
		return location.Point{}, 0, implausible("%w", err)
	}
	return checkSnap(p, at, res.Waypoints[0].Distance)
}

// toMilliseconds converts seconds. It refuses times that no drive takes.
func toMilliseconds(seconds float64) (int64, error) {
	if !(seconds >= 0 && seconds <= longestTime.Seconds()) {
		return 0, implausible("a time of %g s", seconds)
	}
	return int64(math.Round(seconds * 1000)), nil
}

// radiusList limits the distance to a road to snapRadius for n places.
func radiusList(n int) string {
	return strings.TrimSuffix(strings.Repeat(strconv.Itoa(snapRadius)+";", n), ";")
}

// indexList returns n consecutive numbers as text.
func indexList(begin, n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = strconv.Itoa(begin + i)
	}
	return strings.Join(out, ";")
}

// fetchAnswer asks a service of the server and decodes its answer. It decides
// by the code in the answer, which a failed request has too, and not by the
// HTTP status.
func (o osrmBackend) fetchAnswer(ctx context.Context, service string, places []location.Point, query string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.formatURL(service, places, query), nil)
	if err != nil {
		return err
	}

	res, err := o.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errServiceGone, err)
	}
	defer res.Body.Close()

	if res.StatusCode >= 500 {
		return fmt.Errorf("%w: %s", errServiceGone, res.Status)
	}

	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%w: %w", errServiceGone, err)
	}
	if len(body) > maxAnswer {
		return implausible("more than %d MB", maxAnswer>>20)
	}

	var status osrmAnswer
	if err := json.Unmarshal(body, &status); err != nil && res.StatusCode != http.StatusOK {
		return fmt.Errorf("not an OSRM server: %s", res.Status)
	}
	if err := status.toError(); err != nil {
		return err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return errors.Join(implausible("not the documented format"), err)
	}
	return nil
}

func (o osrmBackend) formatURL(service string, places []location.Point, query string) string {
	var url strings.Builder
	fmt.Fprintf(&url, "%s/%s/v1/driving/", o.url, service)

	for i, p := range places {
		if i > 0 {
			url.WriteByte(';')
		}
		fmt.Fprintf(&url, "%.6f,%.6f", p.Lng, p.Lat)
	}

	url.WriteString("?generate_hints=false&" + query)
	return url.String()
}

// toError converts the code of an answer; it returns nil for Ok.
func (a osrmAnswer) toError() error {
	switch a.Code {
	case "Ok":
		return nil
	case "NoRoute", "NoTable":
		return ErrNoRoute
	case "NoSegment":
		return fmt.Errorf("%w: %s", ErrOutsideCity, a.Message)
	default: // InvalidQuery, InvalidOptions, InvalidUrl, TooBig, …
		return fmt.Errorf("osrm: %s: %s", a.Code, a.Message)
	}
}
