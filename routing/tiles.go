package routing

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/mvt"
	"github.com/paulmach/orb/geojson"
	"github.com/paulmach/orb/maptile"
	"github.com/paulmach/orb/planar"
	"github.com/paulmach/orb/simplify"

	"github.com/ridehail/ridehail/location"
)

// Vector tiles cut the city into squares that the page fetches as it needs
// them, in the Mapbox Vector Tile format. The layers are land, water, park,
// road and district. Features have the same properties as in the GeoJSON.

const (
	// maxGeoJSON is the number of bytes of GeoJSON beyond which a page fetches
	// tiles instead. A phone parses some 20 MB a second, and a map should be
	// there within a fraction of a second.
	maxGeoJSON = 4 << 20
	// tileMin and tileMax are the zooms at which tiles are made. Beyond tileMax
	// the page enlarges them: such a tile is some 600 m wide and exact to 15
	// cm.
	tileMin, tileMax = 8, 16
	tileCache        = 256 // tiles kept, some 20 KB each
	// how far lines go on over a tile's border, where the tile is 4,096 wide
	tileBuffer = 64
	tileGrain  = 3.0 // units that a line may differ from the true one
)

// ErrNoTile is returned for a tile that cannot exist.
var ErrNoTile = errors.New("no such tile")

// drawable is a feature of the map.
type drawable struct {
	layer      int
	bound      orb.Bound
	geometry   orb.Geometry
	properties geojson.Properties
	from       uint32 // the lowest zoom at which it is drawn
}

var layerNames = [...]string{"land", "water", "park", "road", "district"}

// tiler makes tiles on demand and keeps the newest. It is safe for concurrent
// use.
type tiler struct {
	prepare func() []drawable

	mu    sync.Mutex
	tiles map[maptile.Tile][]byte
	order []maptile.Tile // oldest first
}

func newTiler(c *City) *tiler {
	return &tiler{tiles: make(map[maptile.Tile][]byte), prepare: sync.OnceValue(c.listDrawables)}
}

// Tiled says whether the city is too large for one GeoJSON, so that a page
// should fetch tiles.
func (c *City) Tiled() bool { return len(c.GeoJSON()) > maxGeoJSON }

// TileZooms returns the lowest and the highest zoom of Tile.
func (c *City) TileZooms() (min, max uint32) { return tileMin, tileMax }

// Tile returns a vector tile of the map, gzipped, or nil where there is nothing
// to draw. Callers must not change it. It returns ErrNoTile outside of
// TileZooms and beyond the Earth.
func (c *City) Tile(z, x, y uint32) ([]byte, error) {
	if z < tileMin || z > tileMax || x >= 1<<z || y >= 1<<z {
		return nil, fmt.Errorf("%w: zoom %d, column %d, row %d", ErrNoTile, z, x, y)
	}
	at, t := maptile.New(x, y, maptile.Zoom(z)), c.tiles
	t.mu.Lock()
	tile, ok := t.tiles[at]
	t.mu.Unlock()

	if ok {
		return tile, nil
	}

	tile, err := makeTile(at, t.prepare())
	if err != nil {
		return nil, fmt.Errorf("tile %d/%d/%d: %w", z, x, y, err)
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.tiles[at]; !ok {
		if len(t.order) == tileCache {
			delete(t.tiles, t.order[0])
			t.order = slices.Delete(t.order, 0, 1)
		}
		t.tiles[at], t.order = tile, append(t.order, at)
	}

	return tile, nil
}

// listDrawables returns the same features as the GeoJSON has.
func (c *City) listDrawables() (out []drawable) {
	add := func(layer string, g orb.Geometry, from uint32, p geojson.Properties) {
		out = append(out, drawable{slices.Index(layerNames[:], layer), g.Bound(), g, p, from})
	}
	named := func(p geojson.Properties, name string) geojson.Properties {
		if name != "" {
			p["name"] = name
		}
		return p
	}

	for _, a := range c.plan.Areas {
		var polygon orb.Polygon
		for _, ring := range a.Rings {
			polygon = append(polygon, orb.Ring(toLineString(ring)))
		}
		if len(polygon) > 0 {
			add(a.Kind, polygon, tileMin, named(geojson.Properties{"kind": a.Kind}, a.Name))
		}
	}

	for _, l := range joinEdges(c.graph) {
		p := geojson.Properties{"kind": "road", "class": l.class.String()}
		if l.bridge {
			p["bridge"] = true
		}
		add("road", toLineString(l.line), lowestZoom(l.class), named(p, l.name))
	}

	for _, d := range c.plan.Districts {
		add("district", orb.Point{d.Lng, d.Lat}, 10, geojson.Properties{"kind": "district", "name": d.Name})
	}
	return out
}

// lowestZoom returns the lowest zoom at which a road is drawn; below it the
// road is thinner than a pixel.
func lowestZoom(c Class) uint32 {
	switch c {
	case Motorway:
		return tileMin
	case Arterial:
		return 10
	default:
		return 12
	}
}

func toLineString(line []location.Point) orb.LineString {
	out := make(orb.LineString, len(line))
	for i, p := range line {
		out[i] = orb.Point{p.Lng, p.Lat}
	}
	return out
}

// makeTile draws the features that touch a tile.
func makeTile(at maptile.Tile, all []drawable) ([]byte, error) {
	bound := at.Bound(float64(tileBuffer) / mvt.DefaultExtent)
	layers := make(mvt.Layers, len(layerNames))
	for i, name := range layerNames {
		layers[i] = &mvt.Layer{Name: name, Version: 2, Extent: mvt.DefaultExtent}
	}
	drawn := false
	for i := range all {
		d := &all[i]
		if uint32(at.Z) < d.from || !bound.Intersects(d.bound) {
			continue
		}

		// projecting and clipping change it
		f := geojson.NewFeature(orb.Clone(d.geometry))
		f.Properties = d.properties
		layers[d.layer].Features = append(layers[d.layer].Features, f)
		drawn = true
	}

	if !drawn {
		return nil, nil
	}
	layers.ProjectToTile(at)
	simplest := simplify.DouglasPeucker(tileGrain)
	if at.Z == tileMax {
		simplest = simplify.DouglasPeucker(0.5)
	}

	layers.Clip(orb.Bound{Min: orb.Point{-tileBuffer, -tileBuffer},
		Max: orb.Point{mvt.DefaultExtent + tileBuffer, mvt.DefaultExtent + tileBuffer}})
	layers.Simplify(simplest)
	for _, l := range layers {
		l.Features = slices.DeleteFunc(l.Features, hasVanished)
	}
	layers = slices.DeleteFunc(layers, func(l *mvt.Layer) bool { return len(l.Features) == 0 })
	if len(layers) == 0 {
		return nil, nil
	}
	return mvt.MarshalGzipped(layers)
}

// hasVanished says whether nothing is left of a feature at this zoom.
func hasVanished(f *geojson.Feature) bool {
	switch f.Geometry.Dimensions() {
	case 1:
		return planar.Length(f.Geometry) < 1
	case 2:
		return math.Abs(planar.Area(f.Geometry)) < 1
	}
	return false
}
