package routing

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/location"
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
	city     *City
	searches sync.Pool
	x, y     []float64 // of every node, in metres that are never longer than the real ones
	scale    float64
}

// NewRouter prepares a router.
func NewRouter(c *City) *Router {
	r := &Router{city: c}
	r.searches.New = func() any { return newSearch(len(c.graph.nodes)) }
	farthest := max(math.Abs(c.min.Lat), math.Abs(c.max.Lat))
	r.scale = metresPerDegree * math.Cos(farthest*math.Pi/180)
	for _, n := range c.graph.nodes {
		r.x, r.y = append(r.x, n.Lng*r.scale), append(r.y, n.Lat*metresPerDegree)
	}
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
	s := r.searches.Get().(*search)
	defer r.searches.Put(s)
	cost, last, err := r.aStar(ctx, s, a, b)
	if err != nil {
		return Route{}, err
	}
	return r.trace(s, a, b, cost, last), nil
}

// along is the cost of driving from a to b without leaving their edge, or unreached.
func (r *Router) along(a, b spot) uint64 {
	e := &r.city.graph.edges[a.edge]
	if a.edge != b.edge || e.oneWay && a.share > b.share {
		return unreached
	}
	return e.part(math.Abs(b.share - a.share))
}

// leave calls do for each end of the edge that a car at s may drive to, with the cost; enter for each end that it may
// come from.
func (r *Router) leave(s spot, do func(node int32, cost uint64, via arc)) {
	e := &r.city.graph.edges[s.edge]
	do(e.to, e.part(1-s.share), arc{edge: -1, forward: true})
	if !e.oneWay {
		do(e.from, e.part(s.share), arc{edge: -1})
	}
}

func (r *Router) enter(s spot, do func(node int32, cost uint64)) {
	e := &r.city.graph.edges[s.edge]
	do(e.from, e.part(s.share))
	if !e.oneWay {
		do(e.to, e.part(1-s.share))
	}
}

// patience is how many nodes are looked at between two looks at the context.
const patience = 1024

// direct stands for the last node of a way that stays on one edge.
const direct = -1

// aStar returns the cost of the fastest way in milliseconds and the last node on it (P. Hart, N. Nilsson, B. Raphael,
// IEEE Trans. SSC 4, 1968). The estimate, the straight line at the city's top speed, never exceeds the truth, and a
// node may be taken again when a cheaper way to it turns up, so the answer is exactly Dijkstra's.
func (r *Router) aStar(ctx context.Context, s *search, a, b spot) (uint64, int32, error) {
	g := r.city.graph
	bx, by := b.point.Lng*r.scale, b.point.Lat*metresPerDegree
	perMetre := 0.999 * 1000 / g.fastest // milliseconds; less a thousandth, for rounding
	ahead := func(n int32) uint64 { return uint64(math.Hypot(r.x[n]-bx, r.y[n]-by) * perMetre) }
	var ends [2]struct {
		node int32
		cost uint64
	}
	n := 0
	r.enter(b, func(node int32, cost uint64) {
		ends[n].node, ends[n].cost = node, cost
		n++
	})
	s.begin()
	best, last := r.along(a, b), int32(direct)
	r.leave(a, func(node int32, cost uint64, via arc) { s.reach(node, cost, ahead(node), via) })
	for taken := 1; ; taken++ {
		e, ok := s.next()
		if !ok || e.key >= best {
			break
		}
		if taken%patience == 0 && ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
		for _, end := range ends[:n] {
			if end.node == e.node && e.cost+end.cost < best {
				best, last = e.cost+end.cost, e.node
			}
		}
		for _, out := range g.out[g.outAt[e.node]:g.outAt[e.node+1]] {
			back := arc{node: e.node, edge: out.edge, ms: out.ms, forward: out.forward}
			if cost := e.cost + uint64(out.ms); cost < s.costOf(out.node) {
				s.reach(out.node, cost, ahead(out.node), back)
			}
		}
	}
	if best == unreached {
		return 0, 0, ErrNoRoute
	}
	return best, last, nil
}

// trace walks back from the last node and puts the way together.
func (r *Router) trace(s *search, a, b spot, cost uint64, last int32) Route {
	edges := r.city.graph.edges
	way := Route{Duration: time.Duration(cost) * time.Millisecond, Source: SourceRoad}
	if last == direct {
		way.add(&edges[a.edge], a.share, b.share)
		way.close(edges[a.edge].speed)
		return way
	}
	var arcs []arc
	node := last
	for s.via[node].edge >= 0 {
		arcs = append(arcs, s.via[node])
		node = s.via[node].node
	}
	way.add(&edges[a.edge], a.share, endShare(s.via[node].forward))
	slices.Reverse(arcs)
	for _, step := range arcs {
		way.add(&edges[step.edge], endShare(!step.forward), endShare(step.forward))
	}
	e := &edges[b.edge]
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
