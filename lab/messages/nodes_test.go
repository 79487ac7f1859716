package messages

import (
	"testing"

	"github.com/ridehail/ridehail/lab/finding/findingtest"
	"github.com/ridehail/ridehail/location"
)

var smallNodes = map[string]string{"nodes": "4", "regions": "3", "cars": "2"}

func TestWhatNodesHearFollowsFromWhoListens(t *testing.T) {
	got := findingtest.CheckShown(t, Nodes(), findingtest.NewRun(t, Nodes(), smallNodes))
	findingtest.CheckFailing(t, got.Claims)
	if got.Seen != "C" || len(got.Table.Rows) != 2 {
		t.Errorf("%+v", got)
	}

	four := got.Figures.([]Size)[1]
	if four.Published != 60 || four.All.Heard != 240 || four.Subscribed.Heard != 120 || four.All.Bytes == 0 {
		t.Errorf("%+v", four)
	}
}

func TestMoreViewersThanNodesIsAllNodes(t *testing.T) {
	run := findingtest.NewRun(t, Nodes(), map[string]string{"nodes": "3", "regions": "2", "cars": "1", "viewers": "4"})
	got := findingtest.CheckShown(t, Nodes(), run)
	findingtest.CheckFailing(t, got.Claims)
	if got.Seen != "" {
		t.Errorf("one size shows no growth, but option %s was seen", got.Seen)
	}
}

// tellWith runs one size in which each arrangement may be another.
func tellWith(t *testing.T, all, needed arrangement) (city, []Size) {
	t.Helper()
	run := findingtest.NewRun(t, Nodes(), smallNodes)
	c := newCity(run.Values)
	server, err := openServer(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()

	size, err := server.tellBoth(t.Context(), c, c.nodes, all, needed)
	if err != nil {
		t.Fatal(err)
	}
	return c, []Size{size}
}

func TestANodeThatMissesARegionIsFound(t *testing.T) {
	c, all := tellWith(t, func(_ city, _ []string, node int, regions []location.Region) []location.Region {
		return regions[min(1, node):]
	}, neededRegions)
	findingtest.CheckFailing(t, judgeNodes(c, all), 0, 2) // and so it keeps too few positions
}

func TestANodeThatListensToMoreThanItNeedsIsFound(t *testing.T) {
	c, all := tellWith(t, everyRegion, everyRegion)
	findingtest.CheckFailing(t, judgeNodes(c, all), 1, 2)
}

func TestANodeThatForgetsACarIsFound(t *testing.T) {
	c, all := tellWith(t, everyRegion, neededRegions)
	findingtest.CheckFailing(t, judgeNodes(c, all))
	all[0].All.Kept--
	findingtest.CheckFailing(t, judgeNodes(c, all), 2)
}

func TestAnInterruptedRunOfNodesLeavesNothingBehind(t *testing.T) {
	findingtest.CheckStops(t, Nodes(), findingtest.NewRun(t, Nodes(), map[string]string{"nodes": "24"}))
}
