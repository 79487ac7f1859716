package cluster

import (
	"fmt"
	"slices"

	"github.com/ridehail/ridehail/internal/quantile"
)

// Report is the result of a run.
type Report struct {
	Redis          string  `json:"redis"`
	DriversPerNode int     `json:"drivers_per_node"`
	RidersPerNode  int     `json:"riders_per_node"`
	PairsPerNode   int     `json:"pairs_per_node"`
	RateHz         float64 `json:"rate_hz"` // of each pair
	Speed          float64 `json:"speed"`
	Seed           uint64  `json:"seed"`
	ForS           float64 `json:"for_s"`
	Sizes          []Size  `json:"sizes"`
	Figures        []Check `json:"figures"`
	Missed         int     `json:"missed"` // of the figures
}

// Size is what one number of nodes gave.
type Size struct {
	Nodes   int      `json:"nodes"`
	Idle    Idle     `json:"idle"` // of each node, without phones
	PerNode []Node   `json:"per_node,omitempty"`
	Same    *Latency `json:"same_node,omitempty"`
	Across  *Latency `json:"across_nodes,omitempty"` // nil for a node alone
	Kills   []Kill   `json:"kills,omitempty"`

	CommitsPerS        float64 `json:"commits_per_s"` // of all nodes, reads included
	RedisCPUPercent    float64 `json:"redis_cpu_percent"`
	PostgresCPUPercent float64 `json:"postgres_cpu_percent"`

	Trips          int      `json:"trips"`
	Completed      int      `json:"completed"`
	Stuck          Stuck    `json:"stuck"`      // at the end
	Violations     int      `json:"violations"` // that the audit found
	BrokenPromises int64    `json:"broken_promises"`
	Broken         []string `json:"broken,omitempty"`
}

// Stuck is what has not come to an end.
type Stuck struct {
	OpenTrips int `json:"open_trips"`
	Outbox    int `json:"outbox"` // messages not yet relayed
	Jobs      int `json:"jobs"`   // of settlements
}

// Idle is what a node costs without phones.
type Idle struct {
	CommandsPerS float64 `json:"commands_per_s"` // to Redis
	CommitsPerS  float64 `json:"commits_per_s"`  // transactions, reads included
	CPUPercent   float64 `json:"cpu_percent"`    // of one core
	BytesInPerS  float64 `json:"bytes_in_per_s"` // from Redis
	BytesOutPerS float64 `json:"bytes_out_per_s"`
}

// Node is what one node did while it was measured. In is what Redis sent to the
// node, which is Redis' traffic out.
type Node struct {
	Name            string             `json:"name"`
	CPUPercent      float64            `json:"cpu_percent"` // of one core
	MessagesInPerS  float64            `json:"messages_in_per_s"`
	MessagesOutPerS float64            `json:"messages_out_per_s"`
	BytesInPerS     float64            `json:"bytes_in_per_s"`
	BytesOutPerS    float64            `json:"bytes_out_per_s"`
	BytesInBy       map[string]float64 `json:"bytes_in_per_s_by_channel"`
	MessagesInBy    map[string]float64 `json:"messages_in_per_s_by_channel"`
	CommandsPerS    float64            `json:"commands_per_s"`
	FixesPerS       float64            `json:"fixes_per_s"` // accepted from its own drivers
	Drivers         int                `json:"drivers"`     // it knows at the end
	Offers          int                `json:"offers"`      // it made
	Goroutines      int                `json:"goroutines"`
	MemoryMiB       float64            `json:"memory_mib"`
}

// Latency is what the pairs of one kind saw, in milliseconds from a driver's
// phone to a rider's.
type Latency struct {
	Pairs int `json:"pairs"`
	quantile.Summary
	Sent          int64 `json:"sent"`
	Delivered     int64 `json:"delivered"`
	Overwritten   int64 `json:"overwritten"` // on purpose, by a newer one
	Lost          int64 `json:"lost"`        // neither delivered nor overwritten
	EventsMissing int64 `json:"events_missing"`
}

// Check is a figure and its limit.
type Check struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Limit float64 `json:"limit"` // the greatest value that is good
	Unit  string  `json:"unit,omitempty"`
	Good  bool    `json:"good"`
}

// The limits of the figures.
const (
	mostGrowth       = 1.2 // of a node's bytes from Redis when the nodes double
	mostOfferSpread  = 2.0
	mostAcrossOfSame = 3.0
	mostAcrossP99    = 20.0 // ms
	mostCommands     = 17.5 // of an idle node, per second; as the build before had
	mostCommits      = 9.5
	mostSilence      = 3.0 // seconds after a master was killed
	// nodeGoneAfter is how many seconds more a killed node may be missed: the
	// others wait for its heartbeats for four, and look once a second.
	nodeGoneAfter = 5.0
)

func (r *Report) check(limit, value float64, unit, name string, args ...any) {
	r.Figures = append(r.Figures, Check{Name: fmt.Sprintf(name, args...), Value: value, Limit: limit, Unit: unit, Good: value <= limit})
}

// judge compares the figures with their limits.
func (r *Report) judge() {
	for i := range r.Sizes {
		r.judgeSize(&r.Sizes[i])
	}

	for _, s := range r.Sizes {
		i := slices.IndexFunc(r.Sizes, func(o Size) bool { return o.Nodes == 2*s.Nodes })
		// A node alone publishes nothing, so there is nothing that could grow.
		if i < 0 || s.Nodes == 1 || s.bytesInPerNode() == 0 || len(r.Sizes[i].PerNode) == 0 {
			continue
		}
		r.check(growthLimit(s.Nodes), r.Sizes[i].bytesInPerNode()/s.bytesInPerNode(), "x", "bytes from Redis per node, %d to %d nodes", s.Nodes, 2*s.Nodes)
	}

	for _, f := range r.Figures {
		if !f.Good {
			r.Missed++
		}
	}
}

// growthLimit is how many times as many bytes a node may get from Redis when the
// nodes double. Riders are at random nodes, so that the share of rides that
// cross nodes grows from 1-1/n to 1-1/2n by itself. From two nodes to four that
// alone is 1.5 times, and more than mostGrowth.
func growthLimit(n int) float64 {
	return max(mostGrowth, (1-1/float64(2*n))/(1-1/float64(n)))
}

func (r *Report) judgeSize(s *Size) {
	r.check(0, float64(s.Violations), "", "%d nodes: violations in the audit", s.Nodes)
	r.check(0, float64(s.BrokenPromises), "", "%d nodes: promises broken to phones", s.Nodes)
	r.check(0, float64(s.Stuck.OpenTrips+s.Stuck.Outbox+s.Stuck.Jobs), "", "%d nodes: trips, messages and jobs that are stuck", s.Nodes)
	if r.Redis != RedisCluster { // an idle node sends each master an echo
		r.check(mostCommands, s.Idle.CommandsPerS, "/s", "%d nodes: commands to Redis of an idle node", s.Nodes)
	}
	r.check(mostCommits, s.Idle.CommitsPerS, "/s", "%d nodes: commits of an idle node", s.Nodes)
	if s.Same != nil {
		r.check(0, float64(s.Same.Lost), "", "%d nodes: positions lost on one node", s.Nodes)
	}
	if s.Across != nil {
		r.check(0, float64(s.Across.Lost), "", "%d nodes: positions lost between nodes", s.Nodes)
		r.check(mostAcrossP99, s.Across.P99, "ms", "%d nodes: position across nodes, p99", s.Nodes)
		r.check(mostAcrossOfSame, s.Across.P50/s.Same.P50, "x", "%d nodes: position across nodes, p50, of the same node's", s.Nodes)
	}
	if len(s.PerNode) > 1 && len(s.Kills) == 0 {
		r.check(mostOfferSpread, s.offerSpread(), "x", "%d nodes: offers of the busiest node, of the idlest's", s.Nodes)
	}
	for i, k := range s.Kills {
		limit := mostSilence
		if i == 0 {
			limit += nodeGoneAfter
		}
		for _, f := range []struct {
			what string
			gap  Gap
		}{{"positions", k.Positions}, {"news", k.News}, {"offers", k.Offers}} {
			r.check(limit, f.gap.AfterS, "s", "%d nodes: %s stay away after %s is killed", s.Nodes, f.what, k.Killed)
		}
	}
}

func (s *Size) bytesInPerNode() (mean float64) {
	for _, n := range s.PerNode {
		mean += n.BytesInPerS / float64(len(s.PerNode))
	}
	return mean
}

// offerSpread is the most offers of a node divided by the fewest. No offer
// counts as one.
func (s *Size) offerSpread() float64 {
	fewest, most := s.PerNode[0].Offers, 0
	for _, n := range s.PerNode {
		fewest, most = min(fewest, n.Offers), max(most, n.Offers)
	}
	return float64(most) / float64(max(fewest, 1))
}
