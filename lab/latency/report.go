package latency

import (
	"fmt"
	"math"
	"strings"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/lab/line"
)

// Report is the result of a run. Sent = Delivered + Overwritten + Lost. A
// position is overwritten on purpose when a newer one comes before the rider
// has acked, or takes its place between two nodes. Duplicated ones are not among the delivered. TripEvents are those
// of all phones from the first connection on. ClockOffset is the node's clock
// minus ours.
type Report struct {
	Pairs       int              `json:"pairs"`
	RateHz      float64          `json:"rate_hz"` // per pair
	Servers     []string         `json:"servers"`
	Across      int              `json:"pairs_across_nodes"` // driver and rider at different ones
	Sent        int64            `json:"sent"`
	Delivered   int64            `json:"delivered"`
	Overwritten int64            `json:"overwritten"`
	Lost        int64            `json:"lost"`
	Duplicated  int64            `json:"duplicated"`
	TripEvents  Numbered         `json:"trip_events"`
	Latency     quantile.Summary `json:"latency_ms"`
	Hops        Hops             `json:"hops_ms"`
	// LatencyAcross is of the pairs across nodes; nil: there are none.
	LatencyAcross *quantile.Summary `json:"latency_across_nodes_ms,omitempty"`
	ClockOffset   float64           `json:"clock_offset_ms"`
	Line          *LineReport       `json:"line,omitempty"` // nil: none was put in between
	// Ledger is what became of what was sent, as the phones can tell.
	Ledger  []LedgerRow `json:"ledger"`
	Machine Machine     `json:"machine"`

	hist *quantile.Histogram // microseconds
}

// LedgerRow is what became of the messages of one class on their way to phones.
// Sent is the sum of all that follows: copies that came again are counted as
// repeated. What a node read back from its database, and what waits in it,
// cannot be told from outside.
type LedgerRow struct {
	Mechanism   string `json:"mechanism"`
	Class       string `json:"class"`
	Sent        int64  `json:"sent"`
	Delivered   int64  `json:"delivered"`
	Repeated    int64  `json:"repeated"`
	Overwritten int64  `json:"overwritten"`
	Lost        int64  `json:"lost"`
}

// ledger returns the accounts of positions and of trip events.
func (r Report) ledger() []LedgerRow {
	rows := []LedgerRow{
		{Class: "position", Delivered: r.Delivered, Repeated: r.Duplicated, Overwritten: r.Overwritten, Lost: r.Lost},
		{Class: "trip_event", Delivered: r.TripEvents.Delivered, Repeated: r.TripEvents.Duplicated, Lost: r.TripEvents.Missing},
	}
	for i := range rows {
		row := &rows[i]
		row.Mechanism = "socket"
		row.Sent = row.Delivered + row.Repeated + row.Overwritten + row.Lost
	}
	return rows
}

// LineReport says what the line between the phones and the node was like, and
// what it carried: up to the node, down to the phones.
type LineReport struct {
	Delay float64 `json:"delay_ms"`     // of each way
	Loss  float64 `json:"loss_percent"` // of the chunks, each way
	line.Stats

	spec line.Spec
}

// Hops are the parts of the way from driver to rider. Node is from the driver's
// socket to the rider's, on one node or from one to another. NodeToNode is only
// of those that go to another; nil: none do.
type Hops struct {
	DriverToNode Hop  `json:"driver_to_node"`
	Node         Hop  `json:"node"`
	NodeToRider  Hop  `json:"node_to_rider"`
	NodeToNode   *Hop `json:"node_to_node,omitempty"`
}

// Hop is the latency of one part, in milliseconds, and how that part talks.
type Hop struct {
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	Mechanism string  `json:"mechanism"`
}

// The mechanisms of the hops.
const (
	webSocket    = "WebSocket"
	sharedMemory = "shared memory"
	redisPubSub  = "Redis publish/subscribe"
)

// nodeMechanism names how positions go from the driver's socket to the rider's.
func nodeMechanism(across, pairs int) string {
	switch across {
	case 0:
		return sharedMemory
	case pairs:
		return redisPubSub
	}
	return redisPubSub + ", and " + sharedMemory
}

func describeHop(h *quantile.Histogram, mechanism string) Hop {
	return Hop{h.At(50, 1e3), h.At(99, 1e3), mechanism}
}

// bar is one column of the histogram: updates that took at most upTo
// milliseconds and more than those of the bar before.
type bar struct {
	upTo  float64
	count int64
}

// histogramBars returns bars whose width doubles from 0.0625 ms on, and the
// greatest count.
func (r Report) histogramBars() (out []bar, top int64) {
	if r.hist == nil {
		return nil, 0
	}

	counts := map[int]int64{}
	lo, hi := math.MaxInt, 0
	for to, count := range r.hist.Buckets() {
		i := 0
		if to > 62 {
			i = int(math.Ceil(math.Log2(float64(to) / 62.5)))
		}
		counts[i] += count
		lo, hi = min(lo, i), max(hi, i)
	}

	for i := lo; i <= hi && lo != math.MaxInt; i++ {
		out = append(out, bar{0.0625 * math.Pow(2, float64(i)), counts[i]})
		top = max(top, counts[i])
	}

	return out, top
}

// Text draws the report for a terminal.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d pairs at %g Hz\n", r.Pairs, r.RateHz)
	for _, row := range r.ledger() {
		fmt.Fprintf(&b, "  %-10s %d sent = %d delivered + %d repeated + %d overwritten on purpose + %d lost\n",
			row.Class, row.Sent, row.Delivered, row.Repeated, row.Overwritten, row.Lost)
	}
	b.WriteByte('\n')

	bars, top := r.histogramBars()
	for _, x := range bars {
		fmt.Fprintf(&b, "  %9.2f ms  %-50s %d\n", x.upTo, strings.Repeat("█", int(math.Ceil(50*float64(x.count)/float64(top)))), x.count)
	}
	r.writeLatencies(&b)
	return b.String()
}

func (r Report) writeLatencies(b *strings.Builder) {
	l := r.Latency
	fmt.Fprintf(b, "\n  end to end      p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f ms\n", l.P50, l.P90, l.P99, l.P999, l.Max)

	between := "inside the node"
	if r.Across > 0 {
		between = "between nodes"
		fmt.Fprintf(b, "  %d nodes; %d of %d pairs have their driver at one and their rider at another\n", len(r.Servers), r.Across, r.Pairs)
	}
	for _, h := range []struct {
		name string
		Hop
	}{{"driver to node", r.Hops.DriverToNode}, {between, r.Hops.Node}, {"node to rider", r.Hops.NodeToRider}} {
		times := fmt.Sprintf("p50 %.2f  p99 %.2f ms", h.P50, h.P99)
		fmt.Fprintf(b, "  %-15s %-25s %s\n", h.name, times, h.Mechanism)
	}

	fmt.Fprintf(b, "  the node's clock is %+.3f ms from ours\n", r.ClockOffset)
	if r.Line != nil {
		fmt.Fprintf(b, "  a line between phones and node: %s;\n  it lost %d of %d packets up and %d of %d down, and TCP sent them again\n",
			r.Line.spec.Describe(), r.Line.Up.Lost, r.Line.Up.Chunks, r.Line.Down.Lost, r.Line.Down.Chunks)
	}

	b.WriteString(r.Machine.loadWarning(l.P50))
}

// SVG draws the histogram as a picture.
func (r Report) SVG() string {
	bars, _ := r.histogramBars()
	var p plot.Panel
	for _, x := range bars {
		p.Bars = append(p.Bars, plot.Bar{Name: fmt.Sprintf("%.3g", x.upTo), Height: float64(x.count)})
	}

	return plot.Chart{
		Title:  fmt.Sprintf("Driver to rider: p50 %.2f ms, p99 %.2f ms, max %.2f ms", r.Latency.P50, r.Latency.P99, r.Latency.Max),
		X:      plot.Axis{Name: fmt.Sprintf("milliseconds at most; %d updates, %d lost", r.Delivered, r.Lost)},
		Y:      plot.Axis{Name: "updates"},
		Panels: []plot.Panel{p},
	}.SVG()
}
