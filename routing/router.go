package routing

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/internal/ch"
)

// The errors of Router and Client that callers tell apart.
var (
	ErrOutsideCity = errors.New("no road within 400 m")
	ErrNoRoute     = errors.New("no way by road")
)

// Sources of a route or a travel time.
const (
	SourceRoad     = "road"
	SourceStraight = "straight_line"
)

// Route is a way from one place to another. Path begins and ends on a road, at
// the points nearest to the places, and has at least two points.
type Route struct {
	Path []location.Point
	// metres per second from each point of Path to the next; one value less
	// than Path
	Speeds   []float64
	Metres   float64
	Duration time.Duration
	Source   string // SourceRoad or SourceStraight
}

// Router finds the fastest ways in a city. It is safe for concurrent use.
type Router struct {
	city    *City
	finders sync.Pool
}

// NewRouter returns a router in a city.
func NewRouter(c *City) *Router {
	r := &Router{city: c}
	r.finders.New = func() any { return c.hierarchy.NewFinder() }
	return r
}

// City returns the router's city.
func (r *Router) City() *City { return r.city }

// Snap returns the point on a road nearest to p and its distance in metres, or
// ErrOutsideCity.
func (r *Router) Snap(p location.Point) (location.Point, float64, error) {
	s, err := r.snapToEdge(p)
	return s.point, s.off, err
}

func (r *Router) snapToEdge(p location.Point) (edgePoint, error) {
	if err := p.CheckRange(); err != nil {
		return edgePoint{}, err
	}
	s, ok := r.city.index.findNearest(p, snapRadius)
	if !ok {
		return edgePoint{}, fmt.Errorf("%w of longitude %.5f, latitude %.5f", ErrOutsideCity, p.Lng, p.Lat)
	}
	return s, nil
}

// Route returns the fastest way. Errors are ErrOutsideCity, ErrNoRoute,
// location.ErrPoint or the context's error.
func (r *Router) Route(ctx context.Context, from, to location.Point) (Route, error) {
	a, err := r.snapToEdge(from)
	if err != nil {
		return Route{}, fmt.Errorf("route from: %w", err)
	}

	b, err := r.snapToEdge(to)
	if err != nil {
		return Route{}, fmt.Errorf("route to: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return Route{}, err
	}

	f := r.finders.Get().(*ch.Finder)
	defer r.finders.Put(f)

	way := f.Route(r.leaveSeeds(a), r.enterSeeds(b))
	straight := r.costOnEdge(a, b)
	if straight == unreached && way.Cost == unreached {
		return Route{}, ErrNoRoute
	}
	if straight <= way.Cost {
		return r.routeOnEdge(a, b, straight), nil
	}

	return r.assembleRoute(a, b, way), nil
}

// unreached is the cost, in milliseconds, where there is no way.
const unreached = ch.Unreached

// costOnEdge returns the milliseconds from a to b without leaving their edge,
// or unreached.
func (r *Router) costOnEdge(a, b edgePoint) uint64 {
	e := &r.city.graph.edges[a.edge]
	if a.edge != b.edge || e.oneWay && a.share > b.share {
		return unreached
	}
	return e.costOfShare(math.Abs(b.share - a.share))
}

// leaveSeeds returns the ends of the edge that a car at s may drive to;
// enterSeeds returns those that it may come from.
func (r *Router) leaveSeeds(s edgePoint) []ch.Seed {
	e := &r.city.graph.edges[s.edge]
	seeds := []ch.Seed{{Node: e.to, Cost: e.costOfShare(1 - s.share)}}
	if !e.oneWay {
		seeds = append(seeds, ch.Seed{Node: e.from, Cost: e.costOfShare(s.share)})
	}
	return seeds
}

func (r *Router) enterSeeds(s edgePoint) []ch.Seed {
	e := &r.city.graph.edges[s.edge]
	seeds := []ch.Seed{{Node: e.from, Cost: e.costOfShare(s.share)}}
	if !e.oneWay {
		seeds = append(seeds, ch.Seed{Node: e.to, Cost: e.costOfShare(1 - s.share)})
	}
	return seeds
}

// routeOnEdge returns a route that stays on one edge.
func (r *Router) routeOnEdge(a, b edgePoint, cost uint64) Route {
	e := &r.city.graph.edges[a.edge]
	way := Route{Duration: time.Duration(cost) * time.Millisecond, Source: SourceRoad}
	way.appendStretch(e, a.share, b.share)
	way.ensureTwoPoints(e.speed)
	return way
}

// assembleRoute returns the route from a to the end of its edge, over the edges
// that were found, and along the edge of b.
func (r *Router) assembleRoute(a, b edgePoint, found ch.Way) Route {
	g := r.city.graph
	way := Route{Duration: time.Duration(found.Cost) * time.Millisecond, Source: SourceRoad}
	e := &g.edges[a.edge]
	way.appendStretch(e, a.share, endShare(found.First == e.to && (e.from != e.to || e.oneWay || a.share >= 0.5)))

	last := found.First
	for _, i := range found.Arcs {
		step := g.arcs[i]
		way.appendStretch(&g.edges[step.edge], endShare(!step.forward), endShare(step.forward))
		last = step.to
	}

	e = &g.edges[b.edge]
	comesForward := last == e.from && (e.from != e.to || e.oneWay || b.share <= 0.5)
	way.appendStretch(e, endShare(!comesForward), b.share)
	way.ensureTwoPoints(e.speed)
	return way
}

func endShare(forward bool) float64 {
	if forward {
		return 1
	}
	return 0
}

// appendStretch appends a stretch of an edge. Points that repeat the last one
// are left out.
func (w *Route) appendStretch(e *edge, from, to float64) {
	for _, p := range e.pointsBetween(from, to) {
		if len(w.Path) > 0 {
			step := location.MetresBetween(w.Path[len(w.Path)-1], p)
			if step < 0.01 {
				continue
			}
			w.Speeds = append(w.Speeds, e.speed)
			w.Metres += step
		}

		w.Path = append(w.Path, p)
	}
}

// ensureTwoPoints repeats the only point of a route that leads nowhere.
func (w *Route) ensureTwoPoints(speed float64) {
	if len(w.Path) == 1 {
		w.Path, w.Speeds = append(w.Path, w.Path[0]), append(w.Speeds, speed)
	}
}
