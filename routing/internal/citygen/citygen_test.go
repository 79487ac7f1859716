package citygen

import (
	"math"
	"testing"
)

func TestShoresAreClosedWithTheLandOnTheLeft(t *testing.T) {
	lake := XY{500, 0}
	island := func(p XY) float64 { // round, with a round lake in it
		return min(3000-p.length(), p.subtract(lake).length()-800)
	}

	areas := buildLandAreas(traceCoastline(island))
	if len(areas) != 1 || len(areas[0].Rings) != 2 {
		t.Fatalf("%d areas", len(areas))
	}

	for i, want := range []float64{math.Pi * 3000 * 3000, -math.Pi * 800 * 800} {
		ring := areas[0].Rings[i]
		if ring[0] != ring[len(ring)-1] {
			t.Errorf("ring %d is open", i)
		}
		if got := ringArea(ring); math.Abs(got/want-1) > 0.01 {
			t.Errorf("ring %d has %.0f m², want %.0f", i, got, want)
		}
	}
}

func TestLandThatLeavesTheMapIsClosedAtItsEdge(t *testing.T) {
	// everything in the north
	areas := buildLandAreas(traceCoastline(func(p XY) float64 { return p.Y }))
	if len(areas) != 1 || !isInsideRing(XY{7000, 100}, areas[0].Rings[0]) || isInsideRing(XY{7000, -100}, areas[0].Rings[0]) {
		t.Fatalf("%d areas", len(areas))
	}
}

func TestASimplerLineStaysNearTheOldOne(t *testing.T) {
	circle := smoothCurve([]XY{{1000, 0}, {0, 1000}, {-1000, 0}, {0, -1000}}, 5, true)
	simple := simplifyLine(circle[:len(circle)-1], 2)
	if len(simple) > len(circle)/4 {
		t.Errorf("%d of %d points are left", len(simple), len(circle))
	}

	for _, p := range circle[:len(circle)-1] {
		nearest := math.Inf(1)
		for i := range len(simple) - 1 {
			nearest = min(nearest, -capsule{a: simple[i], b: simple[i+1]}.depthAt(p))
		}
		if nearest > 2.001 {
			t.Fatalf("%v is %.1f m off", p, nearest)
		}
	}
}

func TestRoadsOfOneRankMeetWhereTheyCross(t *testing.T) {
	lines := []line{
		{points: []XY{{-100, 0}, {100, 0}}, rank: arterial},
		{points: []XY{{0, -100}, {0, 100}}, rank: street},
		{points: []XY{{50, -100}, {50, 100}}, rank: motorway},
	}

	n := newNetwork(lines)
	if len(n.edges) != 3+2+2 {
		// the street passes the motorway by, the arterial meets both
		t.Fatalf("%d stretches", len(n.edges))
	}
}
