package cluster

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
)

// twoAndFour is a run that misses no figure.
func twoAndFour() Report {
	size := func(nodes int) Size {
		s := Size{Nodes: nodes, Same: &Latency{Summary: quantile.Summary{P50: 0.5}}, Across: &Latency{Summary: quantile.Summary{P50: 1, P99: 9}}}
		for range nodes {
			s.PerNode = append(s.PerNode, Node{Offers: 10, BytesInPerS: 1000})
		}
		return s
	}
	return Report{Sizes: []Size{size(2), size(4)}}
}

func TestAReportSaysWhichFigureIsMissed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(two, four *Size)
		missed string // part of the figure's name; empty for none
	}{
		"nothing":                   {func(_, _ *Size) {}, ""},
		"a violation":               {func(_, s *Size) { s.Violations = 1 }, "4 nodes: violations"},
		"a phone saw it":            {func(_, s *Size) { s.BrokenPromises = 1 }, "broken to phones"},
		"a trip that never ends":    {func(_, s *Size) { s.Stuck.OpenTrips = 1 }, "stuck"},
		"an outbox that stands":     {func(_, s *Size) { s.Stuck.Outbox = 1 }, "stuck"},
		"a fare that is not taken":  {func(_, s *Size) { s.Stuck.Jobs = 1 }, "stuck"},
		"a position that is lost":   {func(_, s *Size) { s.Across.Lost = 1 }, "lost between nodes"},
		"positions that come late":  {func(_, s *Size) { s.Across.P99 = 21 }, "p99"},
		"a way that is four times":  {func(_, s *Size) { s.Across.P50 = 2 }, "p50"},
		"one node that dispatches":  {func(s, _ *Size) { s.PerNode[0].Offers = 21 }, "2 nodes: offers"},
		"a node that makes none":    {func(s, _ *Size) { s.PerNode[1].Offers = 0 }, "2 nodes: offers"},
		"traffic that grows with N": {func(_, s *Size) { s.PerNode[3].BytesInPerS = 4000 }, "2 to 4 nodes"},
		"a node that asks all day":  {func(s, _ *Size) { s.Idle.CommandsPerS = 30 }, "commands"},
		"news that stay away":       {func(s, _ *Size) { s.Kills = []Kill{{Killed: "node-2", News: Gap{AfterS: 9}}} }, "news stay away after node-2"},
	} {
		r := twoAndFour()
		c.change(&r.Sizes[0], &r.Sizes[1])
		r.judge()

		var missed []string
		for _, f := range r.Figures {
			if !f.Good {
				missed = append(missed, f.Name)
			}
		}
		if len(missed) != r.Missed || c.missed == "" && len(missed) > 0 || c.missed != "" && (len(missed) != 1 || !strings.Contains(missed[0], c.missed)) {
			t.Errorf("%s: missed %q, want %q", name, missed, c.missed)
		}
		if text := r.Text(); strings.Contains(text, "MISSED") != (c.missed != "") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestTrafficMayGrowAsTheRidesThatCrossNodesDo(t *testing.T) {
	for nodes, want := range map[int]float64{2: 1.5, 4: 1.2, 8: 1.2} {
		if got := growthLimit(nodes); got != want {
			t.Errorf("%d to %d nodes: %g times, want %g", nodes, 2*nodes, got, want)
		}
	}
}

// A node alone hears nothing from others, so that its traffic cannot be
// compared with that of two.
func TestANodeAloneIsNoMeasureOfTraffic(t *testing.T) {
	r := twoAndFour()
	r.Sizes[0] = Size{Nodes: 2, PerNode: r.Sizes[0].PerNode}
	r.Sizes[1] = Size{Nodes: 1, PerNode: []Node{{BytesInPerS: 1}}}
	r.judge()
	if r.Missed != 0 {
		t.Errorf("%+v", r.Figures)
	}
}

func TestTheLongestSilenceBeginsWithTheKillAndMayLastUntilTheEnd(t *testing.T) {
	start := time.Now()
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	for name, c := range map[string]struct {
		came []float64
		want float64
	}{
		"never":             {nil, 10},
		"only before":       {[]float64{-1, -0.1}, 10},
		"after four":        {[]float64{-0.1, 4, 6, 8, 9}, 4},
		"twice, then never": {[]float64{1, 2}, 8},
		"after the end":     {[]float64{1, 5, 8, 12}, 4},
	} {
		var a arrivals
		for _, s := range c.came {
			a.add(at(s))
		}
		if got := a.longestGap(interval{at(0), at(10)}).Seconds(); got != c.want {
			t.Errorf("%s: %g s, want %g", name, got, c.want)
		}
	}
}

func TestARunThatCannotBeIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		says string
	}{
		"no node":          {Config{Sizes: []int{0}}, "sizes of 1 to"},
		"too many":         {Config{Sizes: []int{2, 1000}}, "sizes of 1 to"},
		"nothing survives": {Config{Sizes: []int{1}, Kill: true}, "two or more"},
		"no drivers":       {Config{DriversPerNode: -1}, "a driver"},
		"another Redis":    {Config{Redis: "valkey"}, "not \"valkey\""},
		"no time":          {Config{For: time.Millisecond}, "a second"},
	} {
		if _, err := Run(t.Context(), c.cfg); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASampleAddsUpWhatANodeSays(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`# TYPE ridehail_drivers gauge
ridehail_drivers{status="available"} 3
ridehail_drivers{status="on_trip"} 2
# TYPE ridehail_redis_bytes_total counter
ridehail_redis_bytes_total{direction="received"} 1000
ridehail_redis_bytes_total{direction="sent"} 70
# TYPE ridehail_dispatch_offers_total counter
ridehail_dispatch_offers_total{outcome="made"} 5
ridehail_dispatch_offers_total{outcome="accepted"} 4
# TYPE ridehail_events_received_bytes_total counter
ridehail_events_received_bytes_total{channel="car"} 600
ridehail_events_received_bytes_total{channel="node"} 30
`))
	}))
	defer server.Close()

	s, err := readSample(t.Context(), server.URL)
	if err != nil || s.drivers != 5 || s.redisIn != 1000 || s.redisOut != 70 || s.offers != 5 || s.receivedBy["car"] != 600 || s.receivedBy["node"] != 30 {
		t.Errorf("%v: %+v", err, s)
	}
}

func TestAKindOfRedisThatNeedsNoServerNeedsNone(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // nothing is installed there
	if err := MissingServers(RedisEmbedded, "postgres://somewhere/x"); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{RedisServer, RedisCluster} {
		if err := MissingServers(kind, "postgres://somewhere/x"); err == nil || !strings.Contains(err.Error(), "ci/setup redis") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := os.Stat("/usr/lib/postgresql"); err != nil && MissingServers(RedisEmbedded, "") == nil {
		t.Error("Postgres is not missed")
	}
}
