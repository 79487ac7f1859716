package latency

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ridehail/ridehail/lab/latency/relay"
)

// relayChild makes this test binary the relay, so that it has its own process
// as the node has.
const relayChild = "RIDEHAIL_LATENCY_RELAY"

func init() {
	if os.Getenv(relayChild) == "" {
		return
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}

	fmt.Printf("listening on http://%s\n", l.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(l, relay.New().Handler()))
	os.Exit(1)
}

// server starts a command and returns the first http://… it prints on either
// output.
func server(b *testing.B, cmd *exec.Cmd) string {
	b.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}

	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	w.Close()
	lines := bufio.NewScanner(r)
	read := make(chan struct{})
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		_ = cmd.Wait()
		r.Close()
	})

	address := make(chan string, 1)
	go func() {
		defer close(read)
		for lines.Scan() {
			if _, rest, ok := strings.Cut(lines.Text(), "http://"); ok && len(address) == 0 {
				host := strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune(" \"/\t", r) })
				address <- "http://" + host[0]
			}
		}
	}()

	select {
	case a := <-address:
		return a
	case <-time.After(20 * time.Second):
		b.Fatalf("%s printed no address", cmd.Path)
		return ""
	}
}

func startRelay(b *testing.B) string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), relayChild+"=1")
	return server(b, cmd)
}

// startNode starts RIDEHAIL_BIN, or skips. The node matches greedily, so that
// thousands of pairs are made without waiting for windows of two seconds; how a
// pair came about does not matter to its positions.
func startNode(b *testing.B) string {
	bin := os.Getenv("RIDEHAIL_BIN")
	if bin == "" {
		b.Skip("set RIDEHAIL_BIN to the program to measure the node beside the relay")
	}
	cmd := nodeCommand(b, bin)
	return server(b, cmd)
}

// nodeCommand is a node in a folder of its own.
func nodeCommand(b *testing.B, bin string, flags ...string) *exec.Cmd {
	cmd := exec.Command(bin, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--dev-tokens", "--data", b.TempDir(),
		"--policy", "greedy"}, flags...)...)
	cmd.Env = append(os.Environ(), "RIDEHAIL_DRAIN_DELAY=0s")
	return cmd
}

// load is how many pairs send how many positions a second together. With -short
// it is the hundredth part, for as little time.
type load struct{ pairs, perSecond int }

func measured(b *testing.B, server string, bare bool, of load) Report {
	b.Helper()
	cfg := Config{Server: server, Bare: bare, Pairs: of.pairs,
		Rate: float64(of.perSecond) / float64(of.pairs), For: 5 * time.Second, Warmup: 2 * time.Second}
	if testing.Short() {
		cfg.Pairs, cfg.For, cfg.Warmup = of.pairs/100, 500*time.Millisecond, 100*time.Millisecond
	}

	r, err := Run(context.Background(), cfg)
	if err == nil && r.Delivered == 0 {
		err = fmt.Errorf("of %d updates none was delivered", r.Sent)
	}
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// countRounds is how often node and relay take turns, because a shared machine
// has better and worse minutes; medians count.
func countRounds() int {
	if testing.Short() {
		return 1
	}
	return 3
}

// BenchmarkNodeBesideRelay runs the same open-loop generator against both.
func BenchmarkNodeBesideRelay(b *testing.B) {
	loads := []load{{1000, 1000}, {1000, 5000}, {1000, 10000}, {5000, 5000}}
	if testing.Short() {
		loads = loads[:1]
	}

	for _, of := range loads {
		b.Run(fmt.Sprintf("pairs=%d/rate=%d", of.pairs, of.perSecond), func(b *testing.B) {
			relay, node := startRelay(b), startNode(b)
			var relays, nodes []Report
			for b.Loop() {
				for range countRounds() {
					relays = append(relays, measured(b, relay, true, of))
					nodes = append(nodes, measured(b, node, false, of))
				}
			}

			p50 := func(r Report) float64 { return r.Latency.P50 }
			p99 := func(r Report) float64 { return r.Latency.P99 }

			b.ReportMetric(median(relays, p50), "relay-p50-ms")
			b.ReportMetric(median(relays, p99), "relay-p99-ms")
			b.ReportMetric(median(nodes, p50), "node-p50-ms")
			b.ReportMetric(median(nodes, p99), "node-p99-ms")
			b.ReportMetric(median(nodes, p50)/median(relays, p50), "p50-node/relay")
			b.ReportMetric(median(nodes, p99)/median(relays, p99), "p99-node/relay")
			b.ReportMetric(median(nodes, func(r Report) float64 { return float64(r.Lost) }), "lost")
		})
	}
}

// BenchmarkTracing runs the same generator against nodes that record the hops of
// no trip, of one in a hundred, and of all, in turn. With RIDEHAIL_BEFORE it
// also runs a program from before hops were recorded, beside which the others
// are then given; otherwise that is the node that records none.
func BenchmarkTracing(b *testing.B) {
	bin, before := os.Getenv("RIDEHAIL_BIN"), os.Getenv("RIDEHAIL_BEFORE")
	if bin == "" {
		b.Skip("set RIDEHAIL_BIN to the program to measure")
	}

	nodes := []*tracedNode{{name: "off", cmd: nodeCommand(b, bin, "--trace-ratio", "0")},
		{name: "1%", cmd: nodeCommand(b, bin, "--trace-ratio", "0.01")}, {name: "all", cmd: nodeCommand(b, bin, "--trace-ratio", "1")}}
	if before != "" {
		nodes = slices.Insert(nodes, 0, &tracedNode{name: "before", cmd: nodeCommand(b, before)})
	}
	for _, n := range nodes {
		n.address = server(b, n.cmd)
	}

	for b.Loop() {
		for round := range 2*countRounds() - 1 {
			for i := range nodes { // each is first in some round
				nodes[(i+round)%len(nodes)].measure(b, load{1000, 5000})
			}
		}
	}

	base := nodes[0]
	for _, n := range nodes {
		b.ReportMetric(n.p50(), n.name+"-p50-ms")
		b.ReportMetric(n.p50()/base.p50(), n.name+"/"+base.name+"-p50")
		b.ReportMetric(n.cpu(), n.name+"-cpu-us/position")
		b.ReportMetric(n.cpu()/base.cpu(), n.name+"/"+base.name+"-cpu")
	}
}

// tracedNode is a node of BenchmarkTracing.
type tracedNode struct {
	name    string
	cmd     *exec.Cmd
	address string
	reports []Report
	cost    []float64 // CPU time per delivered position, in microseconds
}

func (n *tracedNode) measure(b *testing.B, of load) {
	began := n.cpuTime(b)
	r := measured(b, n.address, false, of)
	n.reports = append(n.reports, r)
	n.cost = append(n.cost, (n.cpuTime(b)-began).Seconds()*1e6/float64(r.Delivered))
}

// cpuTime is what the process has used by now, as Linux counts it: in
// hundredths of a second.
func (n *tracedNode) cpuTime(b *testing.B) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks time.Duration
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

func (n *tracedNode) p50() float64 {
	return median(n.reports, func(r Report) float64 { return r.Latency.P50 })
}

func (n *tracedNode) cpu() float64 {
	slices.Sort(n.cost)
	return n.cost[len(n.cost)/2]
}

func median(of []Report, value func(Report) float64) float64 {
	var all []float64
	for _, r := range of {
		all = append(all, value(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkHighestRate finds by steps of 2,500/s the highest rate at which p99
// stays under 100 ms with 1,000 pairs and no loss. Relay and node take each
// step in turn, and a failed step is tried once more. The node overwrites
// positions on purpose while a rider still has two to ack. The share of these
// at its highest rate is reported, and the highest rate at which it stays under
// a tenth. The relay overwrites none.
func BenchmarkHighestRate(b *testing.B) {
	relay, node := startRelay(b), startNode(b)
	holds := func(server string, bare bool, rate int) (r Report, ok bool) {
		for range 2 {
			r = measured(b, server, bare, load{1000, rate})
			if ok = r.Latency.P99 < 100 && r.Lost == 0; ok {
				break
			}
		}
		return r, ok
	}

	highest := 90_000
	if testing.Short() {
		highest = 20_000
	}

	var relayBest, nodeBest, nodeWhole Report
	for b.Loop() {
		relayUp, nodeUp := true, true
		for rate := 20000; rate <= highest && (relayUp || nodeUp); rate += 2500 {
			relayUp = relayUp && keep(&relayBest, holds, relay, true, rate)
			nodeUp = nodeUp && keep(&nodeBest, holds, node, false, rate)
			if nodeBest.Overwritten*10 <= nodeBest.Sent {
				nodeWhole = nodeBest
			}
		}
	}

	perSecond := func(r Report) float64 { return r.RateHz * float64(r.Pairs) }
	b.ReportMetric(perSecond(relayBest), "relay-updates/s")
	b.ReportMetric(perSecond(nodeBest), "node-updates/s")
	b.ReportMetric(perSecond(nodeBest)/max(1, perSecond(relayBest)), "node/relay")
	b.ReportMetric(perSecond(nodeWhole), "node-90%-delivered/s")
	b.ReportMetric(100*float64(nodeBest.Overwritten)/float64(max(1, nodeBest.Sent)), "node-overwritten-%")
}

func keep(best *Report, holds func(string, bool, int) (Report, bool), server string, bare bool, rate int) bool {
	r, ok := holds(server, bare, rate)
	if ok {
		*best = r
	}
	return ok
}
