package messages

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

var smallNodes = map[string]string{"nodes": "4", "regions": "3", "cars": "2"}

func TestWhatNodesHearFollowsFromWhoListens(t *testing.T) {
	got, err := Nodes().Run(t.Context(), newRun(t, Nodes(), smallNodes))
	if err != nil {
		t.Fatal(err)
	}
	checkFailing(t, got.Claims)
	if got.Seen != 2 || len(got.Table.Rows) != 2 || len(got.Notice) != 3 {
		t.Errorf("%+v", got)
	}

	four := got.Figures.([]Size)[1]
	if four.Published != 60 || four.All.Heard != 240 || four.Subscribed.Heard != 120 || four.All.Bytes == 0 {
		t.Errorf("%+v", four)
	}
}

func TestMoreViewersThanNodesIsAllNodes(t *testing.T) {
	got, err := Nodes().Run(t.Context(), newRun(t, Nodes(), map[string]string{"nodes": "3", "regions": "2", "cars": "1", "viewers": "4"}))
	if err != nil {
		t.Fatal(err)
	}
	checkFailing(t, got.Claims)
	if got.Seen != -1 {
		t.Errorf("one size shows no growth, but option %d was seen", got.Seen)
	}
}

// tellWith runs one size in which each arrangement may be another.
func tellWith(t *testing.T, all, needed arrangement) (city, []Size) {
	t.Helper()
	run := newRun(t, Nodes(), smallNodes)
	c := newCity(run.Values)
	server, err := openServer(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()

	s := Size{Nodes: c.nodes, Published: c.publishedBy(c.nodes)}
	if s.All, err = server.tell(t.Context(), c, c.nodes, all); err == nil {
		s.Subscribed, err = server.tell(t.Context(), c, c.nodes, needed)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, []Size{s}
}

func TestANodeThatMissesARegionIsFound(t *testing.T) {
	c, all := tellWith(t, func(_ city, _ []string, node int, regions []location.Region) []location.Region {
		return regions[min(1, node):]
	}, neededRegions)
	checkFailing(t, judgeNodes(c, all), 0, 2) // and so it keeps too few positions
}

func TestANodeThatListensToMoreThanItNeedsIsFound(t *testing.T) {
	c, all := tellWith(t, everyRegion, everyRegion)
	checkFailing(t, judgeNodes(c, all), 1, 2)
}

func TestANodeThatForgetsWhatItHearsIsFound(t *testing.T) {
	run := newRun(t, Nodes(), smallNodes)
	c := newCity(run.Values)
	server, err := openServer(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()

	s := Size{Nodes: c.nodes, Published: c.publishedBy(c.nodes)}
	server.deaf = true
	if s.All, err = server.tell(t.Context(), c, c.nodes, everyRegion); err != nil {
		t.Fatal(err)
	}
	server.deaf = false
	if s.Subscribed, err = server.tell(t.Context(), c, c.nodes, neededRegions); err != nil {
		t.Fatal(err)
	}
	checkFailing(t, judgeNodes(c, []Size{s}), 2)
}

func TestAnInterruptedRunOfNodesLeavesNothingBehind(t *testing.T) {
	run := newRun(t, Nodes(), map[string]string{"nodes": "24"})
	ctx, interrupt := context.WithCancel(t.Context())
	run.OnPoint = onFirstPoint(interrupt)
	began := time.Now()
	if _, err := Nodes().Run(ctx, run); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to end", took)
	}
}
