package gateway

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/httpapi"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire/translate"
)

func protocolPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestProtocolPageTellsTheLimitsAsTheyAre(t *testing.T) {
	text, l := protocolPage(t), Limits{}.withDefaults()
	for what, limit := range map[string]string{
		"time to `hello`":                      fmt.Sprintf("%.0f s", l.HelloWithin.Seconds()),
		"token":                                formatThousands(auth.MaxToken) + " bytes",
		"message from a phone":                 formatThousands(int(l.Message)) + " bytes",
		"frames from a phone":                  fmt.Sprintf("%.0f a second, burst of %d", l.FramesPerSec, l.Burst),
		"bytes from a phone":                   fmt.Sprintf("%d KiB a second", l.BytesPerSec>>10),
		"connections of a rider":               strconv.Itoa(l.RiderSockets),
		"connections of a node":                formatThousands(l.Sockets),
		"ordered frames that wait for a phone": strconv.Itoa(l.Queue),
		"a write to a phone":                   fmt.Sprintf("%.0f s", writeWithin.Seconds()),
		"commands that wait":                   fmt.Sprintf("%d a connection", l.Commands),
		"a command":                            fmt.Sprintf("%.0f s", l.CommandWithin.Seconds()),
		"silence": fmt.Sprintf("ping after %.0f s, closed after %.0f s",
			l.PingAfter.Seconds(), l.SilentFor.Seconds()),
		"watched area":       fmt.Sprintf("%.0f km, %d cars", l.AreaMetres/1000, l.AreaCars),
		"positions un-acked": strconv.Itoa(ackWindow),
		"chat message":       formatThousands(chat.MaxRunes) + " characters",
		"reason":             fmt.Sprintf("%d bytes", translate.MaxReason),
	} {
		if row := "\n| " + what + " | " + limit + " |"; !strings.Contains(text, row) {
			t.Errorf("the page's limits have no row %s", row[1:])
		}
	}
}

// formatThousands writes a number below a million as the page does.
func formatThousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

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

	t.Skip("no Node.js 20 or newer in PATH: the page's client is not tried")
	return nil
}

// pageClient runs the page's driver until it leaves by itself.
func pageClient(t *testing.T, server string, at location.Point) (left <-chan error, said *bytes.Buffer) {
	t.Helper()
	_, script, _ := strings.Cut(protocolPage(t), "```js\n")

	script, _, found := strings.Cut(script, "```")
	if !found {
		t.Fatal("the page has no driver client")
	}

	file := filepath.Join(t.TempDir(), "driver.mjs")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}

	args := append(nodeCommand(t), file, server, "d-1", fmt.Sprint(at.Lng), fmt.Sprint(at.Lat))
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	said = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return gone, said
}

// A stranger's client, written from the page, takes an offer, loses its
// connection, comes back and finishes the ride.
func TestTheProtocolPagesDriverRidesThroughALostConnection(t *testing.T) {
	store := newMemory()
	kinds := make(chan trips.Kind, 16)
	drivers := sharedstate.NewDrivers(sharedstate.DriverOptions{})
	service := &trips.Service{Store: store, Now: time.Now}
	registry := prometheus.NewRegistry()
	g := New(Config{Node: "n", Trips: service, Store: store, Room: &chat.Room{Store: store, Trips: store, Now: time.Now},
		Receipts: store, Alerts: store, Drivers: drivers, Inbox: dispatch.NewInbox(time.Now),
		Auth:            testTokens(t, new(auth.Revocations), time.Now),
		Publish:         func(context.Context, string, location.Region, []byte) error { return nil },
		OnOfferDeclined: func(dispatch.Offer) {}, OnDriverGone: func(dispatch.Offer) {},
		Registerer: registry, Log: slog.New(slog.DiscardHandler)})

	api := httpapi.New(httpapi.Config{Tokens: g.cfg.Auth, DevTokens: true, Socket: g.ServeSocket, Registerer: registry})
	store.onCommit = func(n trips.OutboxMessage) {
		deliverAsNode(g, n)
		kinds <- n.Kind
	}
	server := httptest.NewServer(api.Public())
	defer server.Close()
	defer g.Drain(t.Context())

	left, said := pageClient(t, server.URL, market)
	for len(drivers.Nearest(market, 1, 1000, nil)) == 0 { // on duty and seen
		select {
		case err := <-left:
			t.Fatalf("the driver left: %v\n%s", err, said)
		case <-time.After(20 * time.Millisecond):
		}
	}

	pickup := location.Point{Lng: market.Lng, Lat: market.Lat + .0002} // 22 m
	ev, err := service.RequestTrip(t.Context(), trips.IdempotencyKey{Actor: trips.Rider("r"), ID: "1"}, "r", pickup, market, airQuote(pickup, market))
	if err != nil {
		t.Fatal(err)
	}

	offer := dispatch.Offer{ID: "o1", Trip: ev.Trip, Driver: "d-1", Node: "n", ExpiresAt: time.Now().Add(time.Minute)}
	if err := g.DeliverOffer(offer); err != nil {
		t.Fatal(err)
	}

	want := []trips.Kind{trips.KindRequested, trips.KindReserved, trips.KindArrived, trips.KindOnTrip, trips.KindCompleted}
	for _, kind := range want {
		select {
		case got := <-kinds:
			if got != kind {
				t.Fatalf("%s came, want %s", got, kind)
			}
		case err := <-left:
			t.Fatalf("the driver left before %s: %v\n%s", kind, err, said)
		}

		if kind == trips.KindReserved {
			for _, s := range g.sessions.OfUser(trips.Driver("d-1"), nil) {
				s.conn.Close()
			}
		}
	}

	if err := <-left; err != nil || !strings.Contains(said.String(), "completed") {
		t.Errorf("the driver left with %v and said\n%s", err, said)
	}
}
