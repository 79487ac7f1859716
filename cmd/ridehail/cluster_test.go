package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/cluster"
)

// runCluster runs `ridehail cluster` with small crowds, and returns its only
// size. Its children are this test binary.
func runCluster(t *testing.T, args ...string) cluster.Size {
	t.Helper()
	slowtest.Require(t)
	if err := cluster.MissingServers(cluster.RedisServer, ""); err != nil {
		if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip("a cluster needs Redis and Postgres: ", err)
	}

	t.Setenv(asProgram, "1")
	p := start(t, append([]string{"cluster", "--json", "--speed", "100", "--idle", "1s",
		"--drivers-per-node", "20", "--riders-per-node", "8", "--pairs-per-node", "8"}, args...)...)
	if code := p.wait(t); code != exitDone {
		t.Fatalf("exit %d: %s", code, &p.logs)
	}

	var r cluster.Report
	if err := json.Unmarshal([]byte(p.out.String()), &r); err != nil || len(r.Sizes) != 1 {
		t.Fatalf("%v: %s", err, &p.out)
	}
	s := r.Sizes[0]
	if s.Violations > 0 || s.BrokenPromises > 0 {
		t.Errorf("%d violations and %d broken promises: %s", s.Violations, s.BrokenPromises, strings.Join(s.Broken, "\n"))
	}
	if s.Stuck != (cluster.Stuck{}) {
		t.Errorf("at the end there are still %+v", s.Stuck)
	}
	if s.Completed == 0 {
		t.Errorf("none of %d rides was completed", s.Trips)
	}
	return s
}

func TestTwoNodesAreMeasuredTogether(t *testing.T) {
	s := runCluster(t, "--nodes", "2", "--redis", "server", "--for", "4s")
	if len(s.PerNode) != 2 || s.Same == nil || s.Across == nil {
		t.Fatalf("%+v", s)
	}
	for _, n := range s.PerNode {
		// Half of the phones are here, and what crosses goes through Redis.
		if n.FixesPerS < 5 || n.BytesInPerS == 0 || n.BytesOutPerS == 0 || n.MessagesInPerS == 0 || n.Goroutines == 0 || n.Drivers < 1 {
			t.Errorf("%+v", n)
		}
	}
	for where, l := range map[string]*cluster.Latency{"on one node": s.Same, "across nodes": s.Across} {
		if l.Delivered == 0 || l.Lost != 0 || l.EventsMissing != 0 || l.P50 <= 0 {
			t.Errorf("%s: %+v", where, *l)
		}
	}
}

func TestRidesGoOnWhenANodeIsKilled(t *testing.T) {
	s := runCluster(t, "--nodes", "2", "--redis", "embedded", "--for", "16s", "--kill")
	checkKills(t, s, 12, "node-2")
}

// TestRidesGoOnWhenANodeAndAMasterOfRedisAreKilled has three masters with a
// replica each.
func TestRidesGoOnWhenANodeAndAMasterOfRedisAreKilled(t *testing.T) {
	s := runCluster(t, "--nodes", "2", "--redis", "cluster", "--for", "40s", "--kill")
	checkKills(t, s, 15, "node-2", "the master ")
}

// checkKills checks that these were killed, and that positions, news and offers
// came again before the next was, so many seconds later.
func checkKills(t *testing.T, s cluster.Size, seconds float64, killed ...string) {
	t.Helper()
	if len(s.Kills) != len(killed) {
		t.Fatalf("%+v", s.Kills)
	}
	for i, k := range s.Kills {
		if !strings.HasPrefix(k.Killed, killed[i]) {
			t.Errorf("%s was killed instead of %s", k.Killed, killed[i])
		}
		for what, gap := range map[string]cluster.Gap{"positions": k.Positions, "news": k.News, "offers": k.Offers} {
			if gap.AfterS <= 0 || gap.AfterS >= seconds {
				t.Errorf("after %s was killed, %s stayed away for %.1f s", k.Killed, what, gap.AfterS)
			}
		}
	}
}

func TestAClusterThatCannotBeIsRefusedInOneLine(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"--nodes 0", "sizes of 1 to"},
		{"--nodes 1 --kill", "two or more"},
		{"--redis valkey --database postgres://nowhere/x", "not \"valkey\""},
		{"--database mysql://nowhere/x", "want postgres://"},
	} {
		var out, logs strings.Builder
		code := run(t.Context(), nil, append([]string{"cluster"}, strings.Fields(c.args)...), &out, &logs)
		if code != exitUsage || !strings.Contains(logs.String(), c.says) {
			t.Errorf("%s: exit %d, %s", c.args, code, &logs)
		}
	}
}
