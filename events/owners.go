package events

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/ridehail/ridehail/location"
)

// blockOwners is how many nodes share the regions of a block. A city spreads
// over so many, and a question about a place goes to no more.
const blockOwners = 8

// RegionOwner returns the region's owner among nodes, or "" when there are
// none. It is rendezvous hashing, twice: the eight nodes whose weights with the
// region's block are highest share the block, and of these the region belongs
// to the one whose weight with the region is highest. A node that comes or goes
// moves its own regions. Where it is one of a block's eight, another takes or
// gives up the place, and with it an eighth of the block. The order of nodes
// does not matter. All nodes must use the same rule.
func RegionOwner(region location.Region, nodes []string) string {
	return newOwnerView(nodes, false).ownerOf(region)
}

// OwnerNumber returns which of so many nodes, from 0 on, owns the region, for a
// simulation of nodes without names.
func OwnerNumber(region location.Region, nodes int) int {
	names := make([]string, nodes)
	for i := range names {
		names[i] = fmt.Sprint("node-", i)
	}
	return slices.Index(names, RegionOwner(region, names))
}

// OldRegionOwner is the rule of earlier builds: the node whose hash with the
// region is highest. It holds for all nodes while one of such a build is alive.
func OldRegionOwner(region location.Region, nodes []string) string {
	var best string
	var top uint64
	for _, n := range nodes {
		h := xxhash.Sum64String(string(region) + "\n" + n)
		if best == "" || h > top || (h == top && n < best) {
			best, top = n, h
		}
	}
	return best
}

// ownerView is who owns what while the same nodes are alive. Any goroutine may
// use it.
type ownerView struct {
	nodes   []string    // sorted
	all     []ownerNode // of nodes, in their order
	earlier bool        // the rule of earlier builds holds

	mu     sync.RWMutex // guards below; both are emptied when they are full
	blocks map[location.Cell][]ownerNode
	areas  map[area][]string
}

// ownerNode is a node with the hash of its name, by which it is weighed.
type ownerNode struct {
	name string
	hash uint64
}

// area is a place for which the owners are known: a point in steps of areaStep,
// and the distance around it.
type area struct {
	lng, lat int32
	metres   float64
}

// The blocks of a node's own cities are far fewer than the limit.
const (
	maxKnownBlocks = 4096
	maxKnownAreas  = 8192
)

// Points within areaStep degrees share an area. areaMargin is more than the
// distance from such a point to the area's, in metres.
const (
	areaStep   = 0.002
	areaMargin = 160
)

// newOwnerView returns a view of nodes, in any order. With earlier, one of them
// is of an earlier build.
func newOwnerView(nodes []string, earlier bool) *ownerView {
	v := &ownerView{earlier: earlier, nodes: slices.Compact(slices.Sorted(slices.Values(nodes))),
		blocks: map[location.Cell][]ownerNode{}, areas: map[area][]string{}}
	for _, n := range v.nodes {
		v.all = append(v.all, ownerNode{name: n, hash: xxhash.Sum64String(n)})
	}
	return v
}

// ownerOf returns the region's owner, or "" without nodes.
func (v *ownerView) ownerOf(region location.Region) string {
	if v.earlier {
		return OldRegionOwner(region, v.nodes)
	}
	c, ok := region.Cell()
	if !ok {
		return heaviest(v.all, xxhash.Sum64String(string(region)))
	}
	return heaviest(v.nodesOf(c.Block()), uint64(c))
}

// nodesOf returns the nodes that share a block.
func (v *ownerView) nodesOf(block location.Cell) []ownerNode {
	if len(v.all) <= blockOwners {
		return v.all
	}
	v.mu.RLock()
	known, ok := v.blocks[block]
	v.mu.RUnlock()
	if ok {
		return known
	}

	known = slices.SortedStableFunc(slices.Values(v.all), func(a, b ownerNode) int {
		return cmp.Compare(weigh(uint64(block), b.hash), weigh(uint64(block), a.hash))
	})[:blockOwners:blockOwners]
	known = slices.Clone(known)
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.blocks) >= maxKnownBlocks {
		clear(v.blocks)
	}
	v.blocks[block] = known
	return known
}

// ownersAround returns the nodes that share a block within some metres of p,
// sorted. It returns none for a point that is not on Earth.
func (v *ownerView) ownersAround(p location.Point, metres float64) []string {
	if p.CheckRange() != nil {
		return nil
	}
	if v.earlier || len(v.nodes) <= blockOwners {
		return v.nodes // By the rule of earlier builds, blocks are not shared.
	}

	key := area{lng: int32(math.Round(p.Lng / areaStep)), lat: int32(math.Round(p.Lat / areaStep)), metres: metres}
	v.mu.RLock()
	known, ok := v.areas[key]
	v.mu.RUnlock()
	if ok {
		return known
	}

	known = v.findOwnersAround(key)
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.areas) >= maxKnownAreas {
		clear(v.areas)
	}
	v.areas[key] = known
	return known
}

func (v *ownerView) findOwnersAround(a area) []string {
	at := location.Point{Lng: min(180, float64(a.lng)*areaStep), Lat: min(90, float64(a.lat)*areaStep)}
	blocks, err := location.BlocksAround(at, a.metres+areaMargin)
	if err != nil {
		return nil // the caller has checked the point
	}

	var owners []string
	for _, b := range blocks {
		for _, n := range v.nodesOf(b) {
			if !slices.Contains(owners, n.name) {
				owners = append(owners, n.name)
			}
		}
		if len(owners) == len(v.nodes) {
			break
		}
	}
	slices.Sort(owners)
	return owners
}

// heaviest returns the node with the highest weight, the first of equals, or ""
// without nodes.
func heaviest(nodes []ownerNode, key uint64) (best string) {
	var top uint64
	for i := range nodes {
		if w := weigh(key, nodes[i].hash); i == 0 || w > top {
			best, top = nodes[i].name, w
		}
	}
	return best
}

// weigh returns a node's weight for a key: the sum of both hashes, mixed by the
// finalizer of SplitMix64 (G. Steele, D. Lea, C. Flood, Fast Splittable
// Pseudorandom Number Generators, OOPSLA 2014). The cells of one place differ in
// few bits, so that they are mixed before.
func weigh(key, node uint64) uint64 { return mix(mix(key) + node) }

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
