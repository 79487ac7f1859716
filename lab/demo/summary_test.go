package demo

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/simulators"
)

// proxy stands between phones and a node. It knows the sockets by their first
// line, and can cut all of them.
type proxy struct {
	listener net.Listener
	to       string
	handlers sync.WaitGroup

	mu      sync.Mutex // guards below
	sockets map[net.Conn]bool
}

func newProxy(t *testing.T, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, sockets: map[net.Conn]bool{}}
	p.handlers.Go(func() {
		for {
			phone, err := l.Accept()
			if err != nil {
				return
			}
			p.handlers.Go(func() { p.forward(phone) })
		}
	})
	return p
}

func (p *proxy) forward(phone net.Conn) {
	defer phone.Close()
	fromPhone := bufio.NewReader(phone)
	if first, err := fromPhone.Peek(10); err == nil && string(first) == "GET /v1/ws" {
		p.mu.Lock()
		p.sockets[phone] = true
		p.mu.Unlock()
		defer func() { p.mu.Lock(); defer p.mu.Unlock(); delete(p.sockets, phone) }()
	}

	to, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	p.handlers.Go(func() { _, _ = io.Copy(phone, to); phone.Close() })
	_, _ = io.Copy(to, fromPhone)
	to.Close()
}

// cutSockets cuts every socket and returns how many there were.
func (p *proxy) cutSockets() (cut int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.sockets {
		c.Close()
	}
	return len(p.sockets)
}

func (p *proxy) close() {
	p.listener.Close()
	p.handlers.Wait()
}

// startDemo runs a node and a demo's people, who reach it through a proxy,
// until the test ends.
func startDemo(t *testing.T, cfg Config) (*demo, *node.Node, *proxy) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	cfg.Node = node.Config{Name: "demo", Listen: "127.0.0.1:0", City: "1", Speed: 5, DevTokens: true, Log: log,
		Secret: []byte("a secret of at least thirty-two bytes"), Database: filepath.Join(t.TempDir(), "r.db")}
	cfg.Log = log
	d := &demo{cfg: cfg, stats: simulators.NewStats(), started: time.Now()}
	n, err := node.Open(t.Context(), cfg.Node)
	if err != nil {
		t.Fatal(err)
	}

	serving, stopNode := context.WithCancel(context.Background())
	people, stopPeople := context.WithCancel(context.Background())
	ready, nodeEnded, peopleEnded := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	go func() { nodeEnded <- n.Run(serving, func() { close(ready) }) }()
	<-ready
	p := newProxy(t, strings.TrimPrefix(n.PublicURL(), "http://"))
	through := "http://" + p.listener.Addr().String()
	go func() { peopleEnded <- d.runPeople(people, n, through, through) }()

	t.Cleanup(func() {
		stopPeople()
		err := <-peopleEnded
		p.close()
		stopNode()
		for _, err := range []error{err, <-nodeEnded, n.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return d, n, p
}

// await waits until a condition on the simulators' figures holds.
func (d *demo) await(t *testing.T, what string, ok func(simulators.Snapshot) bool) {
	t.Helper()
	for late := time.Now().Add(30 * time.Second); !ok(d.stats.Snapshot()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("never happened: %s; %+v", what, d.stats.Snapshot())
		}
	}
}

func TestTheSummaryCountsTheConnectionsThatWereCut(t *testing.T) {
	const drivers = 20
	d, n, p := startDemo(t, Config{Drivers: drivers})
	connected := func(s simulators.Snapshot) bool { return s.DriversConnected == drivers }
	d.await(t, "all are connected", connected)
	if s := d.countSimulated(n); s.Losses != (Losses{}) {
		t.Errorf("nothing was lost, and the summary says %+v", s.Losses)
	}

	cut := int64(0)
	for range 3 {
		cut += int64(p.cutSockets())
		d.await(t, "all are back", func(s simulators.Snapshot) bool { return s.Reconnects == cut && connected(s) })
	}

	if s := d.countSimulated(n); cut != 3*drivers || s.Connections != (ConnectionSummary{Lost: cut, Resumed: cut}) {
		t.Errorf("%d connections were cut, and the summary says %+v", cut, s.Losses)
	}
}

func TestASummaryOfNothingClaimsNoFigures(t *testing.T) {
	text := Summary{}.Text()
	for _, says := range []string{"0 requested, 0 completed", "no rider watched a car", "no car has reached its rider", "connections lost 0"} {
		if !strings.Contains(text, says) {
			t.Errorf("%q is missing in %s", says, text)
		}
	}
	if strings.Contains(text, "p50") {
		t.Errorf("quantiles of nothing: %s", text)
	}
}
