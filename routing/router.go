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

// Errors that callers tell apart.
var (
	ErrOutsideCity = errors.New("no road within 400 m")
	ErrNoRoute     = errors.New("no way by road")
)

// Sources of a route or a travel time.
const (
	SourceRoad     = "road"
	SourceStraight = "straight_line"
)

// Route is a way from one place to another. Path begins and ends on a road, at the points nearest to those asked for,
// and has at least two points.
type Route struct {
	Path     []location.Point
	Speeds   []float64 // metres per second from each point of Path to the next, so one less than Path
	Metres   float64
	Duration time.Duration
	Source   string // SourceRoad or SourceStraight
}

// Router finds the fastest ways in a city. It is safe for concurrent use.
type Router struct {
	city    *City
	finders sync.Pool
}

// NewRouter prepares a router.
func NewRouter(c *City) *Router {
	r := &Router{city: c}
	r.finders.New = func() any { return c.ways.NewFinder() }
	return r
}

// City is the city that the router knows.
func (r *Router) City() *City { return r.city }

// Snap returns the point on a road nearest to p and how many metres away it is, or ErrOutsideCity.
func (r *Router) Snap(p location.Point) (location.Point, float64, error) {
	s, err := r.spot(p)
	return s.point, s.off, err
}

func (r *Router) spot(p location.Point) (spot, error) {
	if err := p.Check(); err != nil {
		return spot{}, err
	}
	s, ok := r.city.index.nearest(p, reach)
	if !ok {
		return spot{}, fmt.Errorf("%w of longitude %.5f, latitude %.5f", ErrOutsideCity, p.Lng, p.Lat)
	}
	return s, nil
}

// Route finds the fastest way. It returns ErrOutsideCity, ErrNoRoute or the context's error.
func (r *Router) Route(ctx context.Context, from, to location.Point) (Route, error) {
	a, err := r.spot(from)
	if err != nil {
		return Route{}, fmt.Errorf("route from: %w", err)
	}
	b, err := r.spot(to)
	if err != nil {
		return Route{}, fmt.Errorf("route to: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return Route{}, err
	}
	f := r.finders.Get().(*ch.Finder)
	defer r.finders.Put(f)
	way := f.Route(r.leave(a), r.enter(b))
	straight := r.along(a, b)
	if straight == unreached && way.Cost == unreached {
		return Route{}, ErrNoRoute
	}
	if straight <= way.Cost {
		return r.stretch(a, b, straight), nil
	}
	return r.trace(a, b, way), nil
}

// unreached is the cost, in milliseconds, of what no way leads to.
const unreached = ch.Unreached

// along is the cost of driving from a to b without leaving their edge, or unreached.
func (r *Router) along(a, b spot) uint64 {
	e := &r.city.graph.edges[a.edge]
	if a.edge != b.edge || e.oneWay && a.share > b.share {
		return unreached
	}
	return e.part(math.Abs(b.share - a.share))
}

// leave lists the ends of the edge that a car at s may drive to, enter those that it may come from.
func (r *Router) leave(s spot) []ch.Seed {
	e := &r.city.graph.edges[s.edge]
	seeds := []ch.Seed{{Node: e.to, Cost: e.part(1 - s.share)}}
	if !e.oneWay {
		seeds = append(seeds, ch.Seed{Node: e.from, Cost: e.part(s.share)})
	}
	return seeds
}

func (r *Router) enter(s spot) []ch.Seed {
	e := &r.city.graph.edges[s.edge]
	seeds := []ch.Seed{{Node: e.from, Cost: e.part(s.share)}}
	if !e.oneWay {
		seeds = append(seeds, ch.Seed{Node: e.to, Cost: e.part(1 - s.share)})
	}
	return seeds
}

// stretch is a way that stays on one edge.
func (r *Router) stretch(a, b spot, cost uint64) Route {
	e := &r.city.graph.edges[a.edge]
	way := Route{Duration: time.Duration(cost) * time.Millisecond, Source: SourceRoad}
	way.add(e, a.share, b.share)
	way.close(e.speed)
	return way
}

// trace puts a way together: to the end of its first edge, over whole edges, and from one end of its last edge.
func (r *Router) trace(a, b spot, found ch.Way) Route {
	g := r.city.graph
	way := Route{Duration: time.Duration(found.Cost) * time.Millisecond, Source: SourceRoad}
	e := &g.edges[a.edge]
	way.add(e, a.share, endShare(found.First == e.to && (e.from != e.to || e.oneWay || a.share >= 0.5)))
	last := found.First
	for _, i := range found.Arcs {
		step := g.arcs[i]
		way.add(&g.edges[step.edge], endShare(!step.forward), endShare(step.forward))
		last = step.to
	}
	e = &g.edges[b.edge]
	comesForward := last == e.from && (e.from != e.to || e.oneWay || b.share <= 0.5)
	way.add(e, endShare(!comesForward), b.share)
	way.close(e.speed)
	return way
}

func endShare(forward bool) float64 {
	if forward {
		return 1
	}
	return 0
}

// add appends a stretch of an edge. Points that repeat the last one are left out.
func (w *Route) add(e *edge, from, to float64) {
	for _, p := range e.between(from, to) {
		if len(w.Path) > 0 {
			step := location.Metres(w.Path[len(w.Path)-1], p)
			if step < 0.01 {
				continue
			}
			w.Speeds = append(w.Speeds, e.speed)
			w.Metres += step
		}
		w.Path = append(w.Path, p)
	}
}

// close gives a way that leads nowhere its second point.
func (w *Route) close(speed float64) {
	if len(w.Path) == 1 {
		w.Path, w.Speeds = append(w.Path, w.Path[0]), append(w.Speeds, speed)
	}
}
