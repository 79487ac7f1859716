package latency

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ridehail/ridehail/latency/relay"
)

// relayChild makes this test binary the relay, so that it has a process of its own as the node has.
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

// server starts a command and returns the first http://… it prints on either output.
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

// startNode starts RIDEHAIL_BIN, or skips.
func startNode(b *testing.B) string {
	bin := os.Getenv("RIDEHAIL_BIN")
	if bin == "" {
		b.Skip("set RIDEHAIL_BIN to the program to measure the node beside the relay")
	}
	return server(b, exec.Command(bin, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--dev-tokens", "--data", b.TempDir()))
}

func measured(b *testing.B, server string, bare bool, pairs, perSecond int) Report {
	b.Helper()
	r, err := Run(context.Background(), Config{Server: server, Bare: bare, Pairs: pairs,
		Rate: float64(perSecond) / float64(pairs), For: 5 * time.Second, Warmup: 2 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// BenchmarkNodeBesideRelay runs the same open-loop generator against both, one after the other.
func BenchmarkNodeBesideRelay(b *testing.B) {
	for _, load := range []struct{ pairs, perSecond int }{{1000, 1000}, {1000, 5000}, {1000, 10000}, {5000, 5000}} {
		b.Run(fmt.Sprintf("pairs=%d/rate=%d", load.pairs, load.perSecond), func(b *testing.B) {
			var bare Report
			for b.Loop() {
				bare = measured(b, startRelay(b), true, load.pairs, load.perSecond)
			}
			b.ReportMetric(bare.Latency.P50, "relay-p50-ms")
			b.ReportMetric(bare.Latency.P99, "relay-p99-ms")
			if os.Getenv("RIDEHAIL_BIN") == "" {
				return
			}
			node := measured(b, startNode(b), false, load.pairs, load.perSecond)
			b.ReportMetric(node.Latency.P50, "node-p50-ms")
			b.ReportMetric(node.Latency.P99, "node-p99-ms")
			b.ReportMetric(node.Latency.P50/bare.Latency.P50, "p50-node/relay")
			b.ReportMetric(node.Latency.P99/bare.Latency.P99, "p99-node/relay")
			b.ReportMetric(float64(node.Lost), "lost")
		})
	}
}

// BenchmarkHighestRate finds by steps of 2,500/s the highest rate at which p99 stays under 100 ms with 1,000 pairs.
func BenchmarkHighestRate(b *testing.B) {
	highest := func(b *testing.B, server string, bare bool) (rate int) {
		for next := 5000; next <= 60000; next += 2500 {
			if r := measured(b, server, bare, 1000, next); r.Latency.P99 >= 100 || r.Delivered < r.Sent*9/10 {
				break
			}
			rate = next
		}
		return rate
	}
	var bare int
	b.Run("relay", func(b *testing.B) {
		for b.Loop() {
			bare = highest(b, startRelay(b), true)
		}
		b.ReportMetric(float64(bare), "updates/s")
	})
	b.Run("node", func(b *testing.B) {
		node := 0
		for b.Loop() {
			node = highest(b, startNode(b), false)
		}
		b.ReportMetric(float64(node), "updates/s")
		b.ReportMetric(float64(node)/float64(max(1, bare)), "node/relay")
	})
}
