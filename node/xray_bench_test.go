package node_test

import (
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/wire"
)

// BenchmarkXRayOfFourNodes is how long a node takes to gather a ride from four
// nodes and to put it together, and what that ride takes of their memory. The
// driver drives until about 30 positions are recorded.
func BenchmarkXRayOfFourNodes(b *testing.B) {
	address, _ := openRedis(b)
	cfg := node.Config{Database: createDatabase(b), Redis: address, DatabaseConns: 5, TraceRatio: 1}
	var nodes []*node.Node
	for _, cfg.Name = range []string{"one", "two", "three", "four"} {
		nodes = append(nodes, startNode(b, cfg))
	}
	rider, driver := startPhone(b, nodes[1], client.RoleRider, "ada"), startPhone(b, nodes[0], client.RoleDriver, "dayo")
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	driver.drive(shortMiddle)

	trip := quotedRide(b, nodes[1], rider, driver, func(string) bool {
		for range 75 { // five a second, of which two are recorded
			awaitFrame(rider, (*wire.ServerFrame).GetPosition)
		}
		return false
	})
	r := xrayOf(b, nodes[0], trip)
	await(b, "a whole ride", func() bool {
		r = xrayOf(b, nodes[0], trip)
		return r.Complete
	}, func() string { return describeUnseen(r) })

	hops, all, most := 0, 0, 1
	for _, n := range nodes {
		for _, kept := range n.Tracer().Ring().Trips(1) {
			hops, all, most = hops+kept.Hops, all+kept.Bytes, max(most, kept.Bytes)
		}
	}

	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		fetchXray(b, nodes[0], trip)
		took = append(took, time.Since(began))
	}

	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(took[len(took)-1].Seconds()*1000, "max-ms")
	b.ReportMetric(float64(hops), "hops")
	b.ReportMetric(float64(all)/1024, "ride-KiB")
	b.ReportMetric(float64(most)/1024, "ride-KiB-of-one-node")
	b.ReportMetric(float64(tracing.DefaultRingBytes/most), "rides-kept")
}

// fetchXray reads a trip as it comes.
func fetchXray(b *testing.B, n *node.Node, trip string) {
	res, err := http.Get(n.AdminURL() + "/v1/xray/" + trip)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		b.Fatalf("%d %s %v", res.StatusCode, body, err)
	}
}
