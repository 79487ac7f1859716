package events

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

var lagos = location.Point{Lng: 3.43, Lat: 6.44}

// regionsNear returns n regions of a square of so many degrees.
func regionsNear(t testing.TB, n int, degrees float64) []location.Region {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[location.Region]bool{}
	for len(seen) < n {
		region, err := location.RegionOf(location.Point{Lng: lagos.Lng + degrees*r.Float64(), Lat: lagos.Lat + degrees*r.Float64()})
		if err != nil {
			t.Fatal(err)
		}
		seen[region] = true
	}
	var regions []location.Region
	for region := range seen {
		regions = append(regions, region)
	}
	slices.Sort(regions)
	return regions
}

func nodeNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint("node-", i))
	}
	return names
}

func TestUpToEightNodesLoseOnlyTheRegionsOfTheOneThatLeaves(t *testing.T) {
	regions := append(regionsNear(t, 4000, 0.5), "everywhere", "shard-3", "85587fffffffff")
	for n := 2; n <= blockOwners; n++ {
		nodes := nodeNames(n)
		before, after := newOwnerView(nodes, false), newOwnerView(nodes[:n-1], false)
		for _, region := range regions {
			was := before.ownerOf(region)
			if now := after.ownerOf(region); was != nodes[n-1] && now != was {
				t.Fatalf("of %d nodes, region %s moved from %s to %s", n, region, was, now)
			}
		}
	}
}

// Of many nodes, one that leaves gives up its places among the eight of its
// blocks. The ninth of each takes the place, and with it an eighth of what the
// other seven own in this block.
func TestOfManyNodesFewRegionsOfOthersMove(t *testing.T) {
	regions := regionsNear(t, 20_000, 4)
	nodes := nodeNames(40)
	before, after := newOwnerView(nodes, false), newOwnerView(nodes[1:], false)
	moved, others := 0, 0
	for _, region := range regions {
		was, now := before.ownerOf(region), after.ownerOf(region)
		if was == nodes[0] {
			moved++
		} else if was != now {
			others++
		}
	}

	t.Logf("of %d regions, %d of the node that left moved, and %d of others", len(regions), moved, others)
	if moved == 0 || others > 2*moved {
		t.Errorf("%d regions of others moved, and %d of the node that left", others, moved)
	}
}

func TestABlockHasAtMostEightOwners(t *testing.T) {
	view := newOwnerView(nodeNames(1000), false)
	owners := map[string]map[string]bool{}
	for _, region := range regionsNear(t, 20_000, 1) {
		b := location.Block(region)
		if owners[b] == nil {
			owners[b] = map[string]bool{}
		}
		owners[b][view.ownerOf(region)] = true
	}

	all := map[string]bool{}
	for b, names := range owners {
		if len(names) > blockOwners {
			t.Errorf("block %s has %d owners", b, len(names))
		}
		for n := range names {
			all[n] = true
		}
	}
	if len(owners) < 40 || len(all) < 400 {
		t.Errorf("%d blocks are owned by %d nodes of 1,000: too few to share the work", len(owners), len(all))
	}
}

func TestEveryNodeNamesTheSameOwner(t *testing.T) {
	nodes := nodeNames(20)
	shuffled := append(slices.Clone(nodes), "node-3", "node-3")
	rand.New(rand.NewPCG(4, 4)).Shuffle(len(shuffled), func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
	view := newOwnerView(nodes, false)
	for _, region := range append(regionsNear(t, 300, 0.3), "", "everywhere", "shard-9") {
		want := RegionOwner(region, nodes)
		if got := RegionOwner(region, shuffled); got != want || !slices.Contains(nodes, want) {
			t.Fatalf("%s is owned by %s or by %s", region, want, got)
		}
		for range 2 { // from the rule, and from what is known
			if got := view.ownerOf(region); got != want {
				t.Fatalf("%s is owned by %s or by %s", region, want, got)
			}
		}
	}
	if got := RegionOwner("x", nil); got != "" {
		t.Errorf("without nodes, %q owns a region", got)
	}
}

// These owners are the agreement between builds: a change of the rule needs a
// new name for the members' set.
func TestTheRuleOfOwnershipStays(t *testing.T) {
	nodes := nodeNames(20)
	region, err := location.RegionOf(lagos)
	if err != nil {
		t.Fatal(err)
	}
	for region, want := range map[location.Region]string{region: "node-2", "shard-0": "node-14", "everywhere": "node-3"} {
		if got := RegionOwner(region, nodes); got != want {
			t.Errorf("%s is owned by %s, was owned by %s", region, got, want)
		}
	}
	if got := OldRegionOwner("8558745bfffffff", nodes); got != "node-19" {
		t.Errorf("by the rule of earlier builds it is owned by %s", got)
	}
}

func TestOwnersAroundAPlaceOwnEverythingThere(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{1, 3, 8, 9, 100} {
		m := NewMembers(nil, "node-0", 0)
		m.setAlive(slices.Sorted(slices.Values(nodeNames(n))), false)
		for range 60 {
			p := location.Point{Lng: lagos.Lng + r.Float64(), Lat: lagos.Lat + r.Float64()}
			metres := []float64{0, 1000, 3000, 12_000}[r.IntN(4)]
			around := m.OwnersAround(p, metres)
			if !slices.IsSorted(around) || len(slices.Compact(slices.Clone(around))) != len(around) {
				t.Fatalf("not sorted, or not distinct: %v", around)
			}
			if most := map[float64]int{0: 3, 1000: 3, 3000: 4, 12_000: 9}[metres] * blockOwners; len(around) > most {
				t.Errorf("%d owners within %g m", len(around), metres)
			}

			for range 50 {
				q := p
				q.Lat += (2*r.Float64() - 1) * metres / 111_195
				region, err := location.RegionOf(q)
				if err != nil {
					t.Fatal(err)
				}
				if owner := m.OwnerOf(region); !slices.Contains(around, owner) {
					t.Fatalf("of %d nodes, %s owns a region within %g m of %v and is none of %v", n, owner, metres, p, around)
				}
			}
		}
	}

	if got := NewMembers(nil, "a", 0).OwnersAround(location.Point{Lat: 91}, 3000); len(got) != 0 {
		t.Errorf("beyond the pole: %v", got)
	}
}

func TestBesideAnEarlierBuildItsRuleHolds(t *testing.T) {
	m := NewMembers(nil, "node-1", 0)
	nodes := slices.Sorted(slices.Values(nodeNames(12)))
	m.setAlive(nodes, true)
	for _, region := range append(regionsNear(t, 300, 0.3), "everywhere", "85587fffffffff") {
		if got, want := m.OwnerOf(region), OldRegionOwner(region, nodes); got != want {
			t.Errorf("%s is owned by %s, an earlier build says %s", region, got, want)
		}
	}
	if around := m.OwnersAround(lagos, 0); !slices.Equal(around, nodes) || !m.HasEarlierBuild() {
		t.Errorf("only %v may own a place", around)
	}

	m.setAlive(nodes, false)
	if m.HasEarlierBuild() || m.OwnerOf("everywhere") != RegionOwner("everywhere", nodes) {
		t.Error("the earlier build has left, and its rule still holds")
	}
}

// TestTheFormerOwnerIsTheOneBeforeTheNodesChanged says whose trips a node goes
// on with.
func TestTheFormerOwnerIsTheOneBeforeTheNodesChanged(t *testing.T) {
	m := NewMembers(nil, "a", 0)
	if former, _ := m.FormerOwner("r"); former != "" {
		t.Errorf("the nodes have not changed, and %s was the owner", former)
	}

	all, rest := []string{"a", "b", "c"}, []string{"a", "b"}
	m.setAlive(all, false)
	m.setAlive(rest, false)
	m.setAlive(rest, false) // as at each heartbeat
	for _, region := range regionsNear(t, 20, 0.3) {
		former, ago := m.FormerOwner(region)
		if former != RegionOwner(region, all) || m.OwnerOf(region) != RegionOwner(region, rest) || ago < 0 || ago > time.Minute {
			t.Errorf("%s was owned by %s, until %v ago", region, former, ago)
		}
	}
}

func TestWhatAViewKnowsIsBounded(t *testing.T) {
	view := newOwnerView(nodeNames(9), false)
	for i := range 3 * maxKnownBlocks {
		view.nodesOf(location.Cell(i))
		view.ownersAround(location.Point{Lng: float64(i%36_000)/100 - 180}, 0)
	}
	if len(view.blocks) > maxKnownBlocks || len(view.areas) > maxKnownAreas {
		t.Errorf("%d blocks and %d areas are kept", len(view.blocks), len(view.areas))
	}
}

func BenchmarkOwnerOf(b *testing.B) {
	regions := regionsNear(b, 1000, 0.3)
	for _, n := range []int{4, 8, 100, 1000} {
		b.Run(fmt.Sprint(n, "_nodes"), func(b *testing.B) {
			m := NewMembers(nil, "node-0", 0)
			m.setAlive(slices.Sorted(slices.Values(nodeNames(n))), false)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.OwnerOf(regions[i%len(regions)])
			}
		})
	}
}

func BenchmarkOwnersAround(b *testing.B) {
	for _, n := range []int{8, 1000} {
		m := NewMembers(nil, "node-0", 0)
		m.setAlive(slices.Sorted(slices.Values(nodeNames(n))), false)
		b.Run(fmt.Sprint(n, "_nodes"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.OwnersAround(lagos, 3000)
			}
		})
	}
}
