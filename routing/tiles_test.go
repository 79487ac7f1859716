package routing

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/paulmach/orb/encoding/mvt"
	"github.com/paulmach/orb/maptile"

	"github.com/ridehail/ridehail/location"
)

func tileOf(c *City, p location.Point, z uint32) maptile.Tile {
	return maptile.At(toLineString([]location.Point{p})[0], maptile.Zoom(z))
}

func TestATileShowsWhatTheGeoJSONShowsThere(t *testing.T) {
	c := builtInCity()
	low, high := c.TileZooms()
	for z := low; z <= high; z++ {
		at := tileOf(c, c.Hotspots()[0].Point, z)
		data, err := c.Tile(z, at.X, at.Y)
		if err != nil || len(data) == 0 {
			t.Fatalf("zoom %d: %d bytes, %v", z, len(data), err)
		}

		layers, err := mvt.UnmarshalGzipped(data)
		if err != nil {
			t.Fatal(err)
		}

		seen := map[string]int{}
		for _, l := range layers {
			for _, f := range l.Features {
				seen[l.Name]++
				if f.Properties["kind"] != l.Name {
					t.Fatalf("%v in the layer %s", f.Properties, l.Name)
				}
				if class := f.Properties["class"]; l.Name == "road" && (class == nil || z < 12 && class == "street") {
					t.Fatalf("a road of class %v at zoom %d", class, z)
				}
			}
		}

		if seen["land"] == 0 || seen["road"] == 0 {
			t.Errorf("zoom %d shows %v", z, seen)
		}
	}
}

func TestThereIsNoTileBeyondTheEarthAndNothingInTheOcean(t *testing.T) {
	c := builtInCity()
	for _, at := range [][3]uint32{{tileMin - 1, 0, 0}, {tileMax + 1, 0, 0}, {10, 1 << 10, 0}, {10, 0, 1 << 10}, {99, 1, 1}} {
		if _, err := c.Tile(at[0], at[1], at[2]); !errors.Is(err, ErrNoTile) {
			t.Errorf("%v: %v", at, err)
		}
	}

	if data, err := c.Tile(12, 0, 0); err != nil || data != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestTilesAreTheSameForEverybodyAndOnlySomeAreKept(t *testing.T) {
	c := builtInCity()
	at := tileOf(c, c.Hotspots()[0].Point, 14)
	want, err := c.Tile(14, at.X, at.Y)
	if err != nil {
		t.Fatal(err)
	}

	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range uint32(tileCache) {
				if _, err := c.Tile(14, at.X-i%20, at.Y+i/20); err != nil {
					t.Error(err)
				}
			}

			if got, err := c.Tile(14, at.X, at.Y); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d and %d bytes: %v", len(got), len(want), err)
			}
		})
	}
	all.Wait()

	for i := range uint32(tileCache + 10) {
		if _, err := c.Tile(16, i, 0); err != nil {
			t.Fatal(err)
		}
	}

	if n := len(c.tiles.tiles); n != tileCache || len(c.tiles.order) != n {
		t.Errorf("%d tiles are kept, at most %d may be", n, tileCache)
	}
	zr, err := gzip.NewReader(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(zr); err != nil {
		t.Fatal(err)
	}
}
