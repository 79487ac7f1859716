package node_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/node"
)

// nodeCommand returns the command that runs a script with a built-in WebSocket,
// or skips the test.
func nodeCommand(t *testing.T) []string {
	t.Helper()
	version, err := exec.Command("node", "--version").Output()
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	switch n, _ := strconv.Atoi(major); {
	case n >= 22:
		return []string{"node"}
	case n >= 20:
		return []string{"node", "--experimental-websocket"}
	case os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1":
		t.Fatalf("Node.js 20 or newer is needed: %q, %v", version, err)
	}

	t.Skip("no Node.js 20 or newer in PATH: the page's clients are not tried")
	return nil
}

// savePageClients saves the page's clients under the names that it gives them,
// and returns the folder.
func savePageClients(t *testing.T) (folder string) {
	t.Helper()
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}

	folder = t.TempDir()
	blocks := strings.Split(string(page), "```js\n")
	for i, name := range []string{"driver.mjs", "rider.mjs"} {
		if len(blocks) != 3 || !strings.Contains(blocks[i], "Save it as `"+name+"`") {
			t.Fatalf("the page has %d clients, and should have a driver and a rider", len(blocks)-1)
		}
		script, _, _ := strings.Cut(blocks[i+1], "```")
		if err := os.WriteFile(filepath.Join(folder, name), []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// pageClient is one of the page's clients while it runs.
type pageClient struct {
	t     *testing.T
	name  string
	ended chan error

	mu   sync.Mutex // guards said
	said bytes.Buffer
}

func (c *pageClient) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.Write(p)
}

func (c *pageClient) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.String()
}

// startPageClient runs a client until it leaves, or the test ends.
func startPageClient(t *testing.T, script string, args ...string) *pageClient {
	t.Helper()
	c := &pageClient{t: t, name: filepath.Base(script), ended: make(chan error, 1)}
	command := append(nodeCommand(t), append([]string{script}, args...)...)
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = c, c
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	gone := make(chan struct{})
	go func() {
		c.ended <- cmd.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		stop()
		<-gone
	})
	return c
}

// awaitEnd waits until the client leaves by itself, without an error.
func (c *pageClient) awaitEnd() {
	c.t.Helper()
	select {
	case err := <-c.ended:
		if err != nil {
			c.t.Fatalf("%s left with %v and said\n%s", c.name, err, c.output())
		}
	case <-time.After(90 * time.Second):
		c.t.Fatalf("%s does not leave; it said\n%s", c.name, c.output())
	}
}

// wantStates checks that the client saw each state of its trip once, in order.
func (c *pageClient) wantStates(want string) {
	c.t.Helper()
	var seen []string
	for line := range strings.Lines(c.output()) {
		if words := strings.Fields(line); len(words) == 2 && len(words[0]) == 36 {
			seen = append(seen, words[1])
		}
	}
	if got := strings.Join(seen, " "); got != want {
		c.t.Errorf("%s saw %s, want %s; it said\n%s", c.name, got, want, c.output())
	}
}

// breakableLine carries connections to a node and can cut them all.
type breakableLine struct {
	URL string

	mu   sync.Mutex // guards open
	open []net.Conn
}

func newBreakableLine(t *testing.T, n *node.Node) *breakableLine {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	l := &breakableLine{URL: "http://" + listener.Addr().String()}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(n.PublicURL(), "http://"))
			if err != nil {
				near.Close()
				continue
			}

			l.mu.Lock()
			l.open = append(l.open, near, far)
			l.mu.Unlock()
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				carrying.Go(func() {
					_, _ = io.Copy(way[0], way[1]) // until either end is cut
					way[0].Close()
				})
			}
		}
	})

	t.Cleanup(func() {
		listener.Close()
		l.cut()
		carrying.Wait()
	})
	return l
}

// cut breaks every connection; new ones are carried.
func (l *breakableLine) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.open {
		conn.Close()
	}
	l.open = nil
}

// What the page tells a stranger to write rides, pays, and comes back from a
// lost connection.
func TestTheProtocolPagesClientsRideThroughALostConnection(t *testing.T) {
	slowtest.Require(t)
	nodeCommand(t)
	folder := savePageClients(t)
	line := newBreakableLine(t, startNode(t, node.Config{Name: "n", Database: filepath.Join(t.TempDir(), "city.db")}))

	driver := startPageClient(t, filepath.Join(folder, "driver.mjs"), line.URL, "d-1", "3.3850", "6.4083")
	rider := startPageClient(t, filepath.Join(folder, "rider.mjs"), line.URL, "r-1", "3.3850", "6.4080", "3.3850", "6.4088")
	for _, state := range []string{"reserved", "on_trip"} {
		await(t, "the rider is "+state, func() bool { return strings.Contains(rider.output(), state) },
			func() string { return rider.output() + driver.output() })
		line.cut()
	}

	rider.awaitEnd()
	driver.awaitEnd()
	rider.wantStates("requested reserved arrived on_trip completed")
	driver.wantStates("reserved arrived on_trip completed")
	for _, want := range []string{"the price is ", "rider: I wear a blue hat\n", "the car is at ", "paid "} {
		if !strings.Contains(rider.output(), want) {
			t.Errorf("the rider did not say %q but\n%s", want, rider.output())
		}
	}
}
