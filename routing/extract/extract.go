// Package extract reads OpenStreetMap extracts (.osm, .osm.gz, .osm.pbf) into
// the plan of a city: roads that cars may use, water and parks, names of
// districts, and places that attract rides.
package extract

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/paulmach/osm"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
)

// Error tells why an extract cannot be used.
type Error struct {
	Code string // not_an_extract, damaged, too_large or no_roads
	err  error
}

func (e *Error) Error() string { return e.Code + ": " + e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// The reasons of an Error, for errors.Is.
var (
	ErrNotAnExtract = errors.New("not an OpenStreetMap extract")
	ErrDamaged      = errors.New("a damaged extract")
	ErrTooLarge     = errors.New("more than is read")
	ErrNoRoads      = errors.New("no roads for cars")
)

var codes = map[error]string{ErrNotAnExtract: "not_an_extract", ErrDamaged: "damaged", ErrTooLarge: "too_large", ErrNoRoads: "no_roads"}

func newError(reason error, format string, args ...any) error {
	return &Error{codes[reason], fmt.Errorf("%w: %w", reason, fmt.Errorf(format, args...))}
}

// Attribution must be shown with every map made from the data, by its licence
// (ODbL).
const Attribution = "© OpenStreetMap contributors, ODbL 1.0"

// maxRefs bounds the nodes of roads and areas that are kept, at 33 bytes each
// while the file is read and some 300 in the city. That is enough for a state,
// not for a continent.
const maxRefs = 20_000_000

// Options of Read; the zero value is valid.
type Options struct {
	Name string // of the city; empty: the file's name without its endings
	// called often, with bytes over all passes, by the goroutine that reads;
	// nil: not called
	Progress func(done, total int64)
}

// Report counts what was found and what was left out.
type Report struct {
	Ways      int `json:"ways"`      // of every kind
	Roads     int `json:"roads"`     // or pieces of roads, that cars may use
	Areas     int `json:"areas"`     // water and parks
	Districts int `json:"districts"` // with a name
	Hotspots  int `json:"hotspots"`  // clusters of places that draw rides
	// of roads and areas, outside the extract
	MissingNodes int `json:"missing_nodes"`
	BadNodes     int `json:"bad_nodes"` // not on Earth
	// nodes and ways with a number that came before
	Repeated     int `json:"repeated"`
	BrokenAreas  int `json:"broken_areas"` // outlines that do not close
	Barriers     int `json:"barriers"`     // on roads, which end there
	Restrictions int `json:"restrictions"` // on turns, which are not obeyed
}

// Read makes a plan of a file. It reads the file three times: relations, then
// ways, then only the nodes that these need. Errors are *Error, those of the
// file system, or the context's.
func Read(ctx context.Context, path string, opts Options) (routing.Plan, Report, error) {
	src, err := openSource(path, opts.Progress)
	if err != nil {
		return routing.Plan{}, Report{}, err
	}

	x := &reader{parts: make(map[osm.WayID]bool), outlines: make(map[osm.WayID][]osm.NodeID), seen: make(map[osm.WayID]bool)}
	for _, v := range [passes]visitor{{relation: x.addRelation}, {way: x.addWay}, {node: x.addNode}} {
		if v.node != nil {
			x.listWantedNodes()
		}
		if err := src.readPass(ctx, v); err != nil {
			return routing.Plan{}, x.report, err
		}
	}

	plan := x.buildPlan()
	plan.Name = cmp.Or(opts.Name, nameFromPath(path))
	if len(plan.Roads) == 0 {
		return plan, x.report, newError(ErrNoRoads, "%d ways, none of them a road that cars may use", x.report.Ways)
	}

	return plan, x.report, nil
}

func nameFromPath(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	return name
}

// reader holds what was read so far.
type reader struct {
	report   Report
	groups   []group
	parts    map[osm.WayID]bool         // ways that a multipolygon consists of
	outlines map[osm.WayID][]osm.NodeID // those ways, once they were read
	seen     map[osm.WayID]bool         // ways that were kept
	roads    []road
	areas    []outline
	pois     []poi // at nodes
	wayPois  []wayPoi
	towns    []routing.District
	names    map[string]string // one copy of each

	ids     []osm.NodeID // wanted, sorted
	at      []location.Point
	state   []uint8
	refs    int
	barrier map[int]bool // by index in ids
}

type road struct {
	rule
	nodes []osm.NodeID
}

// outline is a closed way that is an area of its own.
type outline struct {
	kind, name string
	nodes      []osm.NodeID
}

// group is a multipolygon: ways that together form an area.
type group struct {
	kind, name   string
	outer, inner []osm.WayID
}

type wayPoi struct {
	poi
	node osm.NodeID
}

const (
	nodeMissing uint8 = iota
	nodeFound
)

func (x *reader) addRelation(r *osm.Relation) error {
	switch r.Tags.Find("type") {
	case "restriction":
		x.report.Restrictions++
		return nil
	case "multipolygon":
	default:
		return nil
	}

	kind := areaKind(r.Tags)
	if kind == "" {
		return nil
	}

	g := group{kind: kind, name: strings.Clone(r.Tags.Find("name"))}
	for _, m := range r.Members {
		if m.Type != osm.TypeWay {
			continue
		}
		id := osm.WayID(m.Ref)
		x.parts[id] = true

		if m.Role == "inner" {
			g.inner = append(g.inner, id)
		} else {
			g.outer = append(g.outer, id)
		}
	}

	x.refs += len(r.Members)
	x.groups = append(x.groups, g)
	return x.checkSize()
}

func (x *reader) checkSize() error {
	if x.refs > maxRefs {
		return newError(ErrTooLarge, "its roads and areas have more than %d points; cut a smaller piece out of it", maxRefs)
	}
	return nil
}

func (x *reader) addWay(w *osm.Way) error {
	x.report.Ways++
	if len(w.Nodes) == 0 {
		return nil
	}
	rule, isRoad := parseRoad(w.Tags)
	kind, draw := areaKind(w.Tags), rideDraw(w.Tags)
	isPart := x.parts[w.ID]
	if !isRoad && !isPart && kind == "" && draw == 0 {
		return nil
	}
	if x.seen[w.ID] {
		x.report.Repeated++
		return nil
	}

	x.seen[w.ID] = true
	if draw > 0 && !isRoad {
		x.wayPois = append(x.wayPois, wayPoi{poi{strings.Clone(w.Tags.Find("name")), location.Point{}, draw}, w.Nodes[0].ID})
		x.refs++
	}
	closed := len(w.Nodes) > 3 && w.Nodes[0].ID == w.Nodes[len(w.Nodes)-1].ID
	if !isRoad && !isPart && !(closed && kind != "") {
		return x.checkSize()
	}

	nodes := make([]osm.NodeID, len(w.Nodes))
	for i, n := range w.Nodes {
		nodes[i] = n.ID
	}
	x.refs += len(nodes)

	if isRoad {
		rule.name = x.internName(rule.name)
		if rule.against {
			slices.Reverse(nodes)
		}
		x.roads = append(x.roads, road{rule, nodes})
		return x.checkSize()
	}

	if isPart {
		x.outlines[w.ID] = nodes
	}
	if closed && kind != "" {
		x.areas = append(x.areas, outline{kind, strings.Clone(w.Tags.Find("name")), nodes})
	}
	return x.checkSize()
}

// internName returns the one stored copy of a name, because most streets
// consist of many ways.
func (x *reader) internName(s string) string {
	if x.names == nil {
		x.names = make(map[string]string)
	}
	if known, ok := x.names[s]; ok {
		return known
	}

	s = strings.Clone(s)
	x.names[s] = s
	return s
}

// listWantedNodes lists the nodes that roads, areas and places need.
func (x *reader) listWantedNodes() {
	x.ids = make([]osm.NodeID, 0, x.refs)
	for _, r := range x.roads {
		x.ids = append(x.ids, r.nodes...)
	}
	for _, a := range x.areas {
		x.ids = append(x.ids, a.nodes...)
	}
	for _, nodes := range x.outlines {
		x.ids = append(x.ids, nodes...)
	}
	for _, p := range x.wayPois {
		x.ids = append(x.ids, p.node)
	}
	slices.Sort(x.ids)
	x.ids = slices.Compact(x.ids)
	x.at = make([]location.Point, len(x.ids))
	x.state = make([]uint8, len(x.ids))
	x.barrier = make(map[int]bool)
}

func (x *reader) addNode(n *osm.Node) error {
	p := location.Point{Lng: n.Lon, Lat: n.Lat}
	if p.CheckRange() != nil {
		x.report.BadNodes++
		return nil
	}

	if i, ok := slices.BinarySearch(x.ids, n.ID); ok {
		if x.state[i] == nodeFound {
			x.report.Repeated++
			return nil
		}
		x.at[i], x.state[i] = p, nodeFound
		if isBlocked(n.Tags) {
			x.barrier[i] = true
		}
	}

	if len(n.Tags) == 0 {
		return nil
	}
	if name := n.Tags.Find("name"); name != "" && slices.Contains(districts, n.Tags.Find("place")) {
		x.towns = append(x.towns, routing.District{Name: strings.Clone(name), Point: p})
	}
	if draw := rideDraw(n.Tags); draw > 0 {
		x.pois = append(x.pois, poi{strings.Clone(n.Tags.Find("name")), p, draw})
	}

	return nil
}

// findNode returns a node's place and its index in ids; ok is false if it was
// not read.
func (x *reader) findNode(id osm.NodeID) (p location.Point, index int, ok bool) {
	i, ok := slices.BinarySearch(x.ids, id)
	if !ok || x.state[i] != nodeFound {
		return p, i, false
	}
	return x.at[i], i, true
}

// buildPlan makes the plan of everything that was read.
func (x *reader) buildPlan() routing.Plan {
	plan := routing.Plan{Attribution: Attribution, Districts: x.towns}
	for _, r := range x.roads {
		plan.Roads = append(plan.Roads, x.cutRoad(r)...)
	}

	for _, s := range x.state {
		if s == nodeMissing {
			x.report.MissingNodes++
		}
	}

	if x.report.Roads = len(plan.Roads); x.report.Roads == 0 {
		return plan
	}
	plan.Areas = append([]routing.Area{groundArea(plan.Roads)}, x.buildPolygons()...)
	x.report.Areas = len(plan.Areas) - 1

	for _, p := range x.wayPois {
		if at, _, ok := x.findNode(p.node); ok {
			p.Point = at
			x.pois = append(x.pois, p.poi)
		}
	}

	plan.Hotspots = findHotspots(x.pois, plan.Roads)
	x.report.Districts, x.report.Hotspots = len(plan.Districts), len(plan.Hotspots)
	return plan
}

// maxNodeGap is how far apart, in metres, two nodes of a road may be; a longer
// gap is a mapping error.
const maxNodeGap = 50_000

// cutRoad cuts a road at missing nodes, at gaps over maxNodeGap and at
// barriers. At a barrier each piece ends a little before it, so that they do
// not meet.
func (x *reader) cutRoad(r road) (out []routing.Road) {
	var line []location.Point
	end := func() {
		if len(line) > 1 {
			out = append(out, routing.Road{Points: line, Class: r.class, Name: r.name, OneWay: r.oneWay, Bridge: r.bridge, Speed: r.speed})
		}
		line = nil
	}

	// the last point is a barrier that the next piece begins at
	stopped := false
	for _, id := range r.nodes {
		p, i, ok := x.findNode(id)
		if !ok || len(line) > 0 && location.MetresBetween(line[len(line)-1], p) > maxNodeGap {
			end()
			stopped = false
		}
		if !ok {
			continue
		}

		if stopped {
			line[0] = interpolate(line[0], p, 0.1)
			stopped = false
		}
		if !x.barrier[i] {
			line = append(line, p)
			continue
		}
		x.report.Barriers++
		if len(line) > 0 {
			line = append(line, interpolate(line[len(line)-1], p, 0.9))
		}

		end()
		line, stopped = []location.Point{p}, true
	}

	end()
	return out
}

// interpolate returns the point at a share of the way from a to b.
func interpolate(a, b location.Point, share float64) location.Point {
	return location.Point{Lng: a.Lng + share*(b.Lng-a.Lng), Lat: a.Lat + share*(b.Lat-a.Lat)}
}

// groundMargin is how far, in degrees (about 1 km), the ground extends beyond
// the roads.
const groundMargin = 0.01

// groundArea returns the land that everything else is drawn on: the rectangle
// around the roads. There is no coast.
func groundArea(roads []routing.Road) routing.Area {
	lo, hi := location.Point{Lng: math.Inf(1), Lat: math.Inf(1)}, location.Point{Lng: math.Inf(-1), Lat: math.Inf(-1)}
	for _, r := range roads {
		for _, p := range r.Points {
			lo = location.Point{Lng: min(lo.Lng, p.Lng), Lat: min(lo.Lat, p.Lat)}
			hi = location.Point{Lng: max(hi.Lng, p.Lng), Lat: max(hi.Lat, p.Lat)}
		}
	}

	w, e := max(-180, lo.Lng-groundMargin), min(180, hi.Lng+groundMargin)
	s, n := max(-90, lo.Lat-groundMargin), min(90, hi.Lat+groundMargin)
	ring := []location.Point{{Lng: w, Lat: s}, {Lng: e, Lat: s}, {Lng: e, Lat: n}, {Lng: w, Lat: n}, {Lng: w, Lat: s}}
	return routing.Area{Kind: routing.Land, Rings: [][]location.Point{ring}}
}
