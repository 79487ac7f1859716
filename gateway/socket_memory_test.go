package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// phonesChild makes this test binary the phones of BenchmarkIdleRiderSocket: it
// names the socket's address. Tokens come on standard input, one a line; for
// each a socket is opened, welcomed and kept, until standard input ends. Pings
// are answered.
const phonesChild = "RIDEHAIL_TEST_PHONES"

func init() {
	url := os.Getenv(phonesChild)
	if url == "" {
		return
	}

	if err := raiseFiles(); err == nil {
		err = openPhones(url, os.Stdin)
		if err == nil {
			os.Exit(0)
		}
		fmt.Fprintln(os.Stderr, err)
	}

	os.Exit(1)
}

func openPhones(url string, tokens io.Reader) error {
	dial := websocket.Dialer{Subprotocols: []string{wire.SubprotocolProto}, WriteBufferSize: 256, ReadBufferSize: 256}
	lines := bufio.NewScanner(tokens)
	for lines.Scan() {
		conn, err := dialPatiently(dial, url)
		if err != nil {
			return err
		}
		defer conn.Close()

		hello := &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: lines.Text()}}}
		data, err := wire.Proto.Append(nil, hello)
		if err == nil {
			err = conn.WriteMessage(websocket.BinaryMessage, data)
		}

		for range 2 { // the welcome, and the car
			if err == nil {
				_, _, err = conn.ReadMessage()
			}
		}

		if err != nil {
			return err
		}

		go func() {
			for err == nil {
				_, _, err = conn.NextReader()
			}
		}()
		fmt.Println("ready")
	}

	return lines.Err()
}

// dialPatiently opens a socket. A node that takes no more phones just now is
// asked again after the time that it names.
func dialPatiently(dial websocket.Dialer, url string) (*websocket.Conn, error) {
	for {
		conn, answer, err := dial.Dial(url, nil)
		if err == nil {
			return conn, nil
		}
		if answer == nil {
			return nil, err
		}

		seconds, notNamed := strconv.Atoi(answer.Header.Get("Retry-After"))
		if notNamed != nil {
			return nil, fmt.Errorf("%w: %s", err, answer.Status)
		}
		time.Sleep(time.Duration(seconds) * time.Second)
	}
}

// raiseFiles allows as many open files as the system does.
func raiseFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// residentMemory is this process's memory in bytes, all garbage given back.
func residentMemory(b *testing.B) int {
	b.Helper()
	for range 3 { // stacks shrink by half at a time
		runtime.GC()
	}
	debug.FreeOSMemory()

	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("resident memory is read from /proc: ", err)
	}

	_, after, _ := bytes.Cut(status, []byte("VmRSS:"))
	kib, err := strconv.Atoi(strings.Fields(string(after))[0])
	if err != nil {
		b.Fatal(err)
	}

	return kib << 10
}

// BenchmarkIdleRiderSocket measures what a rider who is welcomed, rides and
// says nothing costs the node in memory. The phones are a process of their own.
func BenchmarkIdleRiderSocket(b *testing.B) {
	sockets := 10_000
	if testing.Short() {
		sockets = 50
	}
	if err := raiseFiles(); err != nil {
		b.Skip(err)
	}

	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || int(limit.Cur) < sockets+100 {
		b.Skipf("only %d open files are allowed: raise the hard limit (ulimit -Hn) over %d", limit.Cur, sockets+100)
	}

	// Of the rounds: later ones find memory that the first had to ask for.
	most := 0
	for b.Loop() {
		most = max(most, idleRiders(b, sockets))
	}
	if most <= 0 {
		b.Fatal("no round asked for memory")
	}
	b.ReportMetric(float64(most)/float64(sockets), "B/socket")
}

// riding is a store in which every rider N rides with driver N; the one in
// memory would search through all of them.
type riding struct{ Store }

func (s riding) ResumeStates(_ context.Context, queries []trips.ResumeQuery) (
	[]trips.ResumeState, map[trips.TripID]payments.Charge, error,
) {
	states := make([]trips.ResumeState, len(queries))
	for i, q := range queries {
		n := strings.TrimPrefix(q.Who.ID, "r")
		states[i].Trip = trips.Trip{ID: trips.TripID("a-trip-with-an-id-as-long-as-theirs-" + n), Rider: trips.RiderID(q.Who.ID),
			Driver: trips.DriverID("d" + n),
			State:  trips.Reserved, Version: 2, Pickup: market, Dropoff: airport}
	}
	return states, nil, nil
}

// idleRiders opens sockets of riders whose cars stand still, and returns by how
// much memory grew.
func idleRiders(b *testing.B, sockets int) (grown int) {
	b.Helper()
	c := newTestNode(b, func(cfg *Config) { cfg.Store = riding{cfg.Store} })

	// Without the test node's own listener, which counts.
	server := httptest.NewServer(c.api.Public())
	defer server.Close()

	var tokens strings.Builder
	for i := range sockets {
		rider, driver := trips.RiderID(fmt.Sprint("r", i)), trips.DriverID(fmt.Sprint("d", i))
		c.drivers.Connect(driver, "node")

		at := location.Point{Lng: market.Lng + float64(i)*1e-6, Lat: market.Lat}
		if why := c.drivers.Move(driver, location.Fix{Point: at, Seq: 1, At: c.now()}); why != location.Accepted {
			b.Fatal(why)
		}

		token, err := c.auth.Issue(trips.RoleRider, string(rider), 24*time.Hour)
		if err != nil {
			b.Fatal(err)
		}

		tokens.WriteString(token + "\n")
	}

	before := residentMemory(b)
	phones := startPhones(b, "ws"+strings.TrimPrefix(server.URL, "http")+"/v1/ws", tokens.String(), sockets)
	grown = residentMemory(b) - before
	if n := c.g.sessions.Len(); n != sockets {
		b.Fatalf("%d sessions, want %d", n, sockets)
	}

	phones()
	return grown
}

// startPhones opens a socket per token in a process of its own; call what it
// returns to end it.
func startPhones(b *testing.B, url, tokens string, n int) (stop func()) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), phonesChild+"="+url)
	cmd.Stderr = os.Stderr

	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}

	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}

	stop = func() {
		in.Close()
		_ = cmd.Wait()
	}
	go func() { _, _ = io.WriteString(in, tokens) }()

	lines := bufio.NewScanner(out)
	for range n {
		if !lines.Scan() {
			stop()
			b.Fatal("the phones broke off")
		}
	}

	return stop
}
