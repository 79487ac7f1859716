package extract

import (
	"github.com/paulmach/osm"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
)

// buildPolygons makes areas of closed ways and of multipolygons. Parks come
// first, because water is drawn over them.
func (x *reader) buildPolygons() []routing.Area {
	var parks, waters []routing.Area
	add := func(a routing.Area) {
		if a.Kind == routing.Water {
			waters = append(waters, a)
		} else {
			parks = append(parks, a)
		}
	}

	for _, a := range x.areas {
		ring, ok := x.buildRing(a.nodes)
		if !ok {
			x.report.BrokenAreas++
			continue
		}
		add(routing.Area{Kind: a.kind, Name: a.name, Rings: [][]location.Point{ring}})
	}

	for _, g := range x.groups {
		outer := x.joinRings(g.outer)
		if len(outer) == 0 {
			x.report.BrokenAreas++
			continue
		}

		holes := x.joinRings(g.inner)
		for _, ring := range outer {
			a := routing.Area{Kind: g.kind, Name: g.name, Rings: [][]location.Point{ring}}
			for _, hole := range holes {
				if isInsideRing(hole[0], ring) {
					a.Rings = append(a.Rings, hole)
				}
			}

			add(a)
		}
	}
	return append(parks, waters...)
}

// buildRing returns the outline through the nodes; ok is false when a node is
// missing or fewer than three differ.
func (x *reader) buildRing(nodes []osm.NodeID) ([]location.Point, bool) {
	line := make([]location.Point, 0, len(nodes))
	for _, id := range nodes {
		p, _, ok := x.findNode(id)
		if !ok {
			return nil, false
		}
		line = append(line, p)
	}
	return line, len(line) > 3
}

// joinRings joins ways end to end until they close; a way may be reversed.
// Those that never close are left out.
func (x *reader) joinRings(ways []osm.WayID) (out [][]location.Point) {
	ends := make(map[osm.NodeID][]int) // ways that begin or end there
	parts := make([][]osm.NodeID, len(ways))
	for i, id := range ways {
		if nodes := x.outlines[id]; len(nodes) > 1 {
			parts[i] = nodes
			ends[nodes[0]] = append(ends[nodes[0]], i)
			ends[nodes[len(nodes)-1]] = append(ends[nodes[len(nodes)-1]], i)
		}
	}

	used := make([]bool, len(ways))
	for i, nodes := range parts {
		if used[i] || nodes == nil {
			continue
		}
		used[i] = true
		chain := append([]osm.NodeID(nil), nodes...)
		for chain[0] != chain[len(chain)-1] {
			j := firstUnused(ends[chain[len(chain)-1]], used)
			if j < 0 {
				break
			}
			used[j] = true
			chain = appendPart(chain, parts[j])
		}

		if chain[0] != chain[len(chain)-1] {
			continue
		}
		if ring, ok := x.buildRing(chain); ok {
			out = append(out, ring)
		}
	}
	return out
}

func firstUnused(candidates []int, used []bool) int {
	for _, j := range candidates {
		if !used[j] {
			return j
		}
	}
	return -1
}

// appendPart appends a part that touches the chain's end, reversed if
// necessary.
func appendPart(chain, part []osm.NodeID) []osm.NodeID {
	if part[0] == chain[len(chain)-1] {
		return append(chain, part[1:]...)
	}
	for i := len(part) - 2; i >= 0; i-- {
		chain = append(chain, part[i])
	}
	return chain
}

// isInsideRing says whether a point is in a ring, by the number of its sides to
// the east.
func isInsideRing(p location.Point, ring []location.Point) bool {
	in := false
	for i := range ring[1:] {
		a, b := ring[i], ring[i+1]
		if (a.Lat > p.Lat) != (b.Lat > p.Lat) && p.Lng < a.Lng+(p.Lat-a.Lat)/(b.Lat-a.Lat)*(b.Lng-a.Lng) {
			in = !in
		}
	}
	return in
}
