package messages

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// Nodes returns the experiment nodes.
func Nodes() finding.Experiment {
	return finding.Experiment{
		Name:      "nodes",
		Topic:     finding.MessagesOrMemory,
		Asks:      []string{"R1", "R2"},
		Question:  "What does it cost when every node hears everything?",
		Teaser:    "tell all, or subscribe",
		Situation: "Each node tells all others where its cars are. Twice the nodes, twice the cars: together they hear",
		Options:   []string{"as much as before", "twice as much", "four times as much", "eight times as much"},
		Knobs: []finding.Knob{
			{Name: "nodes", Label: "Nodes", Help: "The most of them; halved three times.", Default: 16, Low: 2, High: 24, Step: 1},
			{Name: "regions", Label: "Regions", Help: "Of the city; each node has cars in all of them.", Default: 8, Low: 1, High: 16, Step: 1},
			{Name: "viewers", Label: "Viewers", Help: "Nodes besides a region's owner whose riders look at it.", Default: 1, Low: 0, High: 4, Step: 1},
			{Name: "cars", Label: "Cars", Help: "Of each node in each region.", Default: 5, Low: 1, High: 20, Step: 1},
		},
		Takes:      1 * time.Second,
		TakesRedis: true,
		Real:       "events on one Redis, a client for each node; wire.Fleet; sharedstate; owners by rendezvous hashing",
		Made:       "the cars; " + fmt.Sprint(rounds) + " rounds, in which each node tells of each region once",
		Code: []finding.Code{
			{File: "node/fleet.go", Func: "fleetReplicator.publishFleets", Why: "one message a region"},
			{File: "node/node.go", Func: "Node.startBackground", Why: "listens to all regions"},
		},
		Next:  "ridehail lab nodes --viewers 4, for a city whose riders are spread over more nodes",
		Frame: func(v finding.Values) plot.Chart { return newCity(v).emptyChart() },
		Run:   runNodes,
	}
}

// rounds is how often each node tells of its cars. The app does so five times a
// second.
const rounds = 5

// city is what the knobs ask for.
type city struct{ nodes, regions, viewers, cars int }

func newCity(v finding.Values) city {
	return city{nodes: v.Int("nodes"), regions: v.Int("regions"), viewers: v.Int("viewers"), cars: v.Int("cars")}
}

// nodeCounts are the numbers of nodes that are tried: the most, and up to three
// times half of it, rising.
func (c city) nodeCounts() (out []int) {
	for n := c.nodes; n >= 2 && len(out) < 4; n /= 2 {
		out = append(out, n)
	}
	slices.Reverse(out)
	return out
}

// publishedBy is how many messages so many nodes send.
func (c city) publishedBy(nodes int) int { return rounds * nodes * c.regions }

// subscribersOf is how many nodes need a region: its owner and the viewers.
func (c city) subscribersOf(nodes int) int { return min(nodes, 1+c.viewers) }

// positionsKept is how many positions of cars all nodes hold when so many nodes
// hear of each region: each its own, and those that it hears of.
func (c city) positionsKept(nodes, hearing int) int {
	return c.cars * c.regions * (nodes + hearing*(nodes-1))
}

// Fleet is what nodes heard, in one arrangement.
type Fleet struct {
	Heard int   `json:"heard"` // messages, by all nodes together
	Bytes int64 `json:"bytes"` // of those messages
	Kept  int   `json:"kept"`  // positions of cars in the nodes' shared states
}

// Size is both arrangements with one number of nodes.
type Size struct {
	Nodes      int   `json:"nodes"`
	Published  int   `json:"published"`
	All        Fleet `json:"told_all"`
	Subscribed Fleet `json:"subscribed"`
}

const (
	allCurve        = "told all"
	subscribedCurve = "subscribed"
)

func (c city) emptyChart() plot.Chart {
	all := plot.Curve{Name: "nodes x published", Style: plot.Law}
	needed := plot.Curve{Name: "published x (owner + viewers)", Style: plot.Law}
	for n := 1; n <= c.nodes; n++ {
		all.Points = append(all.Points, plot.Point{X: float64(n), Y: float64(n * c.publishedBy(n))})
		needed.Points = append(needed.Points, plot.Point{X: float64(n), Y: float64(c.subscribersOf(n) * c.publishedBy(n))})
	}
	return plot.Chart{X: plot.Axis{Name: "nodes", End: float64(c.nodes)},
		Y:      plot.Axis{Name: "messages heard by all", End: float64(c.nodes * c.publishedBy(c.nodes))},
		Panels: []plot.Panel{{Curves: []plot.Curve{all, needed}}}}
}

// runNodes lets ever more nodes tell of their cars, in both arrangements.
func runNodes(ctx context.Context, run *finding.Run) (finding.Result, error) {
	c := newCity(run.Values)
	server, err := openServer(ctx, run)
	if err != nil {
		return finding.Result{}, err
	}
	defer server.close()

	var all []Size
	for _, n := range c.nodeCounts() {
		size, err := server.tellBoth(ctx, c, n, everyRegion, neededRegions)
		if err != nil {
			return finding.Result{}, fmt.Errorf("nodes: %d nodes: %w", n, err)
		}
		run.Point(allCurve, float64(n), float64(size.All.Heard))
		run.Point(subscribedCurve, float64(n), float64(size.Subscribed.Heard))
		all = append(all, size)
	}

	return finding.Result{Seen: seenGrowth(all), Table: nodesTable(all), Chart: c.buildChart(all), Claims: judgeNodes(c, all),
		Notice: noticeNodes(c, all), Parts: []finding.Part{server.part}, Figures: all}, nil
}

func (c city) buildChart(all []Size) plot.Chart {
	out := c.emptyChart()
	told, subscribed := plot.Curve{Name: allCurve, Dots: true}, plot.Curve{Name: subscribedCurve, Dots: true}
	for _, s := range all {
		told.Points = append(told.Points, plot.Point{X: float64(s.Nodes), Y: float64(s.All.Heard)})
		subscribed.Points = append(subscribed.Points, plot.Point{X: float64(s.Nodes), Y: float64(s.Subscribed.Heard)})
	}
	out.Panels[0].Curves = append(out.Panels[0].Curves, told, subscribed)
	return out
}

// judgeNodes says which laws held, with every number of nodes.
func judgeNodes(c city, all []Size) []finding.Claim {
	told, needed, kept := true, true, true
	for _, s := range all {
		hearing := c.subscribersOf(s.Nodes)
		told = told && s.All.Heard == s.Nodes*s.Published
		needed = needed && s.Subscribed.Heard == hearing*s.Published
		kept = kept && s.All.Kept == c.positionsKept(s.Nodes, s.Nodes) && s.Subscribed.Kept == c.positionsKept(s.Nodes, hearing)
	}

	most := all[len(all)-1]
	n, hearing := most.Nodes, c.subscribersOf(most.Nodes)
	return []finding.Claim{
		{Text: "told all, the nodes hear", Law: "nodes x published", Source: "Gunther 1993 (crosstalk)", Exact: true,
			Want: fmt.Sprint(n * most.Published), Got: fmt.Sprint(most.All.Heard), Holds: told},
		{Text: "subscribed, they hear", Law: "published x (owner + viewers)", Source: "Eugster 2003", Exact: true,
			Want: fmt.Sprint(hearing * most.Published), Got: fmt.Sprint(most.Subscribed.Heard), Holds: needed},
		{Text: "positions kept, by both", Law: "cars x (own + heard)", Source: "Gray 1996", Exact: true,
			Want:  fmt.Sprintf("%d, %d", c.positionsKept(n, n), c.positionsKept(n, hearing)),
			Got:   fmt.Sprintf("%d, %d", most.All.Kept, most.Subscribed.Kept),
			Holds: kept},
	}
}

// lastGrowth returns by how much the nodes and what they hear grow in the last
// step.
func lastGrowth(all []Size) (nodes, told, subscribed float64, ok bool) {
	if len(all) < 2 {
		return 0, 0, 0, false
	}

	a, b := all[len(all)-2], all[len(all)-1]
	return float64(b.Nodes) / float64(a.Nodes), float64(b.All.Heard) / float64(max(1, a.All.Heard)),
		float64(b.Subscribed.Heard) / float64(max(1, a.Subscribed.Heard)), true
}

// seenGrowth returns the option that came true: heard grows by the power of
// the nodes that is the option's number.
func seenGrowth(all []Size) int {
	nodes, told, _, ok := lastGrowth(all)
	if !ok {
		return finding.NoGuess
	}

	power := math.Log(told) / math.Log(nodes)
	if option := int(math.Round(power)); math.Abs(power-float64(option)) < .1 && option >= 0 && option <= 3 {
		return option
	}
	return finding.NoGuess
}

func nodesTable(all []Size) finding.Table {
	t := finding.Table{Columns: []string{"nodes", "published", "told all: heard", "KiB", "kept", "subscribed: heard", "KiB", "kept", "fewer by"}}
	for _, s := range all {
		t.Rows = append(t.Rows, []string{fmt.Sprint(s.Nodes), fmt.Sprint(s.Published),
			fmt.Sprint(s.All.Heard), formatKibibytes(s.All.Bytes), fmt.Sprint(s.All.Kept),
			fmt.Sprint(s.Subscribed.Heard), formatKibibytes(s.Subscribed.Bytes), fmt.Sprint(s.Subscribed.Kept),
			fmt.Sprintf("%.1f x", float64(s.All.Heard)/float64(max(1, s.Subscribed.Heard)))})
	}
	return t
}

func formatKibibytes(n int64) string { return fmt.Sprintf("%.0f", float64(n)/1024) }

// noticeNodes words the figures.
func noticeNodes(c city, all []Size) []string {
	most := all[len(all)-1]
	growth := "One number of nodes shows no growth: it takes 4 nodes to halve them."
	if nodes, told, subscribed, ok := lastGrowth(all); ok {
		growth = fmt.Sprintf("%.1f times the nodes heard %.1f times as much when told all, %.1f times as much when subscribed.", nodes, told, subscribed)
	}
	return []string{
		fmt.Sprintf("Told all, %d nodes heard %d messages for %d published, and keep %d copies of %d cars.",
			most.Nodes, most.All.Heard, most.Published, most.All.Kept, most.Nodes*c.regions*c.cars),
		growth,
		fmt.Sprintf("This app tells all: every node hears every driver. Owner and viewers would hear %d of %d.",
			most.Subscribed.Heard, most.All.Heard),
	}
}
