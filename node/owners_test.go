package node

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
)

// Pickups lie on all roads, so that the work of a city is spread as its roads
// are.
func TestNodesShareTheCity(t *testing.T) {
	city, err := routing.Open("1")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	pickups := map[location.Region]int{}
	for range 40_000 {
		region, err := location.RegionOf(city.RandomPoint(r))
		if err != nil {
			t.Fatal(err)
		}
		pickups[region]++
	}

	for nodes := 1; nodes <= 8; nodes++ {
		worst := 0.0
		for set := range 100 {
			worst = max(worst, unevenness(pickups, nodeNames(set, nodes)))
		}
		t.Logf("%d regions, %d nodes: the busiest has at most %.2f times the work of the idlest", len(pickups), nodes, worst)
		if worst >= 2 {
			t.Errorf("of %d nodes, one has %.2f times the work of another", nodes, worst)
		}
	}
}

func nodeNames(set, nodes int) (names []string) {
	for i := range nodes {
		names = append(names, fmt.Sprintf("node-%d-%d", set, i))
	}
	return names
}

// unevenness returns the work of the node with the most by that of the node
// with the least.
func unevenness(pickups map[location.Region]int, nodes []string) float64 {
	work := map[string]int{}
	for region, n := range pickups {
		work[events.RegionOwner(region, nodes)] += n
	}
	least, most := 1<<30, 0
	for _, n := range nodes {
		least, most = min(least, work[n]), max(most, work[n])
	}
	return float64(most) / float64(max(1, least))
}
