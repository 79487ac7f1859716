package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/lab/latency"
	"github.com/ridehail/ridehail/node"
)

func TestEveryPositionBetweenTwoNodesIsCounted(t *testing.T) {
	address, _ := openRedis(t)
	cfg := node.Config{Database: createDatabase(t), Redis: address}
	cfg.Name = "one"
	one := startNode(t, cfg)
	cfg.Name = "two"
	two := startNode(t, cfg)

	servers := []string{one.PublicURL(), two.PublicURL()}
	r, err := latency.Run(t.Context(), latency.Config{Server: servers[0], DriverServers: servers, RiderServers: servers,
		Pairs: 6, Rate: 10, For: time.Second, Warmup: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.Text())
	if r.Sent != 60 || r.Lost != 0 || r.Delivered == 0 || r.Delivered+r.Overwritten != r.Sent || r.Duplicated != 0 {
		t.Errorf("sent %d, delivered %d, overwritten %d, lost %d, twice %d", r.Sent, r.Delivered, r.Overwritten, r.Lost, r.Duplicated)
	}

	// A rider may be given the car of another pair, on the same node.
	if r.Across == 0 || len(r.Servers) != 2 {
		t.Errorf("%d pairs are across %v", r.Across, r.Servers)
	}
	if r.Hops.NodeToNode == nil || r.Hops.NodeToNode.P50 <= 0 || !strings.Contains(r.Hops.Node.Mechanism, "Redis") || r.LatencyAcross == nil {
		t.Errorf("hops %+v", r.Hops)
	}
}
