package location

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/uber/h3-go/v4"
)

// pointOnEarth returns a point, all places on Earth being as likely.
func pointOnEarth(r *rand.Rand) Point {
	return Point{Lng: 360*r.Float64() - 180, Lat: math.Asin(2*r.Float64()-1) / rad}
}

func TestABlockIsWhatH3CallsTheAncestor(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		p := pointOnEarth(r)
		region, err := RegionOf(p)
		if err != nil {
			t.Fatal(err)
		}
		parent, err := h3.CellFromString(string(region)).Parent(BlockResolution)
		if err != nil || Block(region) != parent.String() {
			t.Fatalf("block of %s at %v: %s, want %s (%v)", region, p, Block(region), parent, err)
		}

		for _, resolution := range []int{0, 1, 5, 6, 15} {
			c, err := h3.LatLngToCell(h3.NewLatLng(p.Lat, p.Lng), resolution)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := Region(c.String()).Cell()
			if !ok || got != Cell(c) || got.Resolution() != resolution {
				t.Fatalf("cell of %s: %s, %v", c, got, ok)
			}
		}
	}
}

func TestARegionThatIsNoSmallCellIsItsOwnBlock(t *testing.T) {
	old, err := OldRegionOf(Point{3.43, 6.44})
	if err != nil {
		t.Fatal(err)
	}
	fine, err := RegionOf(Point{3.43, 6.44})
	if err != nil {
		t.Fatal(err)
	}

	for _, r := range []Region{"", "everywhere", "shard-7", "node\nname", old, "82587ffffffffff", // no cell, or a large one
		Region("0" + fine), fine[1:], Region("8A" + fine[2:]), fine + "f", // not as H3 writes them
		"89fffffffffffff", "897ffffffffffff", "89587ffffffffff", "095874000003fff", "895874000000000"} { // broken bits
		if Block(r) != string(r) {
			t.Errorf("%q is in block %q", r, Block(r))
		}
	}

	if b := Block(fine); b != string(old) {
		t.Errorf("the block of %s is %s, in the middle of region %s", fine, b, old)
	}
}

func TestRandomTextIsACellOnlyWhereH3SaysSo(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 200_000 {
		c := r.Uint64()&(1<<52-1) | 8<<56 | r.Uint64N(16)<<52
		if r.IntN(2) == 0 {
			c |= 1<<(3*(15-(c>>52&0xf))) - 1
		}
		got, ok := Region(fmt.Sprintf("%015x", c)).Cell()
		if want := h3.Cell(c).IsValid(); ok != want && !isDeletedByPentagon(h3.Cell(c)) || ok && got != Cell(c) {
			t.Fatalf("%x: %v, H3 says %v", c, ok, want)
		}
	}
}

// isDeletedByPentagon reports whether the index is of the gap of a pentagon:
// its first digit that is not 0 is 1.
func isDeletedByPentagon(c h3.Cell) bool {
	base := h3.Cell(uint64(c)&^(0xf<<52) | (1<<45 - 1))
	if !base.IsPentagon() {
		return false
	}
	for i := 14; i >= 0; i-- {
		if d := uint64(c) >> (3 * i) & 7; d != 0 {
			return d == 1
		}
	}
	return false
}

func TestBlocksAroundHoldEveryRegionWithinTheDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		p := pointOnEarth(r)
		if p.Lat > 85 || p.Lat < -85 {
			continue
		}
		metres := []float64{0, 400, 3000, 12_000, 40_000}[r.IntN(5)]
		blocks, err := BlocksAround(p, metres)
		if err != nil {
			t.Fatal(err)
		}

		for range 200 {
			q := offsetBy(p, metres*r.Float64(), r.Float64()*360)
			region, err := RegionOf(q)
			if err != nil {
				t.Fatal(err)
			}
			if c, _ := region.Cell(); !slices.Contains(blocks, c.Block()) {
				t.Fatalf("%v is %.0f m from %v, in block %s, which is none of %v", q, MetresBetween(p, q), p, c.Block(), blocks)
			}
		}
	}
}

// The distances in steps are of the whole Earth.
func TestCellsAreAsLargeAsIsSaid(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for range 20_000 {
		p := pointOnEarth(r)
		region, err := RegionOf(p)
		if err != nil {
			t.Fatal(err)
		}
		fine, _ := region.Cell()
		for _, step := range steps {
			c, err := h3.LatLngToCell(h3.NewLatLng(p.Lat, p.Lng), step.resolution)
			if err != nil {
				t.Fatal(err)
			}
			corners, err := Cell(c).Boundary()
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range corners {
				if edge := MetresBetween(v, corners[(i+1)%len(corners)]); len(corners) == 6 && edge < step.edge {
					t.Fatalf("an edge of %s has %.0f m", c, edge)
				}
			}

			above, err := h3.Cell(fine).Parent(step.resolution)
			if err != nil {
				t.Fatal(err)
			}
			centre, err := Cell(above).Centre()
			if err != nil || MetresBetween(p, centre) > step.reach {
				t.Fatalf("%v is %.0f m from the centre of %s, which holds its region", p, MetresBetween(p, centre), above)
			}
		}
	}
}

func TestAreasAroundAreBounded(t *testing.T) {
	for _, metres := range []float64{-5, 0, 50_000, 1e12} {
		blocks, err := BlocksAround(Point{3.4, 6.4}, metres)
		if err != nil || len(blocks) == 0 || len(blocks) > 80 {
			t.Errorf("%g metres: %d blocks, %v", metres, len(blocks), err)
		}
	}
	if _, err := BlocksAround(Point{3.4, 91}, 10); err == nil {
		t.Error("latitude 91 has blocks around it")
	}
}

func BenchmarkBlock(b *testing.B) {
	region, _ := RegionOf(Point{3.4, 6.4})
	for b.Loop() {
		c, _ := region.Cell()
		_ = c.Block()
	}
}

func BenchmarkBlocksAround(b *testing.B) {
	for _, metres := range []float64{3000, 12_000} {
		b.Run(fmt.Sprint(metres), func(b *testing.B) {
			for b.Loop() {
				if _, err := BlocksAround(Point{3.4, 6.4}, metres); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
