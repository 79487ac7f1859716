package node_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/wire"
)

// The ends of a short ride, and a place near both.
var (
	shortPickup  = &wire.Point{Lng: 3.384979, Lat: 6.408022}
	shortDropoff = &wire.Point{Lng: 3.385879, Lat: 6.408022}
	shortMiddle  = &wire.Point{Lng: 3.385429, Lat: 6.408022}
)

// orderRide orders a short ride and has the driver take it. On a busy machine
// an offer may be over before the driver has answered; then there is another.
func orderRide(t *testing.T, rider, driver *phone) *wire.Trip {
	t.Helper()
	trip := rider.command(client.NewFrame(&wire.RequestTrip{Pickup: shortPickup, Dropoff: shortDropoff}))
	for {
		offer := awaitFrame(driver, (*wire.ServerFrame).GetOffer)
		_, err := driver.Do(t.Context(), client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true}))
		if refused := new(client.CommandError); errors.As(err, &refused) && refused.Code == wire.CodeOfferGone {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return trip
	}
}

func completeRide(driver *phone, trip string) {
	for _, step := range []wire.Step{wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE} {
		driver.command(client.NewFrame(&wire.MoveTrip{TripId: trip, Step: step}))
	}
}

// readyStatus returns what a node says to a load balancer; 0 if nothing.
func readyStatus(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url + "/readyz")
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// openNodeSocket opens a socket, which says no hello.
func openNodeSocket(t *testing.T, n *node.Node) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(n.PublicURL(), "http")+"/v1/ws", //nolint:bodyclose // none after a handshake
		http.Header{"Sec-WebSocket-Protocol": {wire.SubprotocolJSON}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// awaitCloseCode reads until the node closes a socket.
func awaitCloseCode(t *testing.T, conn *websocket.Conn) int {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		_, _, err := conn.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			return closed.Code
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestANodeThatStopsIsNotReadyAndGoesOnWorkingUntilTheDelayIsOver(t *testing.T) {
	skip := make(chan struct{})
	n, stop, ended := startNodeUntil(t, node.Config{Name: "leaving", Database: filepath.Join(t.TempDir(), "ridehail.db"),
		DrainDelay: time.Hour, SkipDelay: skip})
	driver := startPhone(t, n, client.RoleDriver, "dayo")
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	driver.drive(shortMiddle)
	stop()
	await(t, "not ready", func() bool { return readyStatus(t, n.PublicURL()) == http.StatusServiceUnavailable },
		func() string { return "the node is ready" })

	// A rider who comes only now gets a whole ride.
	rider := startPhone(t, n, client.RoleRider, "ada")
	trip := orderRide(t, rider, driver)
	completeRide(driver, trip.Id)
	if receipt := awaitFrame(rider, (*wire.ServerFrame).GetReceipt); receipt.TripId != trip.Id {
		t.Errorf("receipt %v", receipt)
	}

	last := openNodeSocket(t, n)
	send(t, last, &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: devToken(t, n, "rider", "bola")}}})
	receive(t, last, (*wire.ServerFrame).GetWelcome)
	for _, url := range []string{n.PublicURL(), n.AdminURL()} {
		if got := readyStatus(t, url); got != http.StatusServiceUnavailable {
			t.Errorf("%s is ready: %d", url, got)
		}
	}

	close(skip) // as the second signal does
	if code := awaitCloseCode(t, last); code != wire.CloseGoingAway {
		t.Errorf("the socket was closed with %d", code)
	}
	awaitEnd(t, ended, 15*time.Second)
}

// awaitEnd waits for a node to end, which it must within some time.
func awaitEnd(t *testing.T, ended <-chan struct{}, within time.Duration) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(within):
		t.Fatalf("the node did not end within %v", within)
	}
}

func TestTheDelayOfANodeThatStopsEndsByItself(t *testing.T) {
	const delay = 300 * time.Millisecond
	n, stop, ended := startNodeUntil(t, node.Config{Name: "leaving", Database: filepath.Join(t.TempDir(), "ridehail.db"), DrainDelay: delay})
	began := time.Now()
	stop()
	for ready := 0; ready != http.StatusServiceUnavailable; {
		if ready = readyStatus(t, n.AdminURL()); ready == 0 {
			t.Fatal("the node said nothing before it ended")
		}
	}

	awaitEnd(t, ended, 30*time.Second)
	if took := time.Since(began); took < delay {
		t.Errorf("it ended after %v", took)
	}
}

// TestTheRidesOfANodeThatStopsGoOnOnAnother stops the node that has the phones
// and the region.
func TestTheRidesOfANodeThatStopsGoOnOnAnother(t *testing.T) {
	address, _ := openRedis(t)
	skip := make(chan struct{})
	cfg := node.Config{Name: "staying", Database: createDatabase(t), Redis: address}
	staying := startNode(t, cfg)
	cfg.Name, cfg.DrainDelay, cfg.SkipDelay = nameOfOwner(t, shortPickup, cfg.Name), time.Hour, skip
	leaving, stop, ended := startNodeUntil(t, cfg)

	driver, rider := startPhone(t, leaving, client.RoleDriver, "dayo", staying), startPhone(t, leaving, client.RoleRider, "ada", staying)
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	driver.drive(shortMiddle)
	stop()
	await(t, "not ready", func() bool { return readyStatus(t, leaving.PublicURL()) == http.StatusServiceUnavailable },
		func() string { return "the node is ready" })
	trip := orderRide(t, rider, driver)

	left := time.Now()
	close(skip)
	awaitEnd(t, ended, 15*time.Second)
	completeRide(driver, trip.Id) // on the other node
	awaitFrame(rider, (*wire.ServerFrame).GetReceipt)
	if got := fmt.Sprint(rider.events); got != "[1 requested 2 reserved 3 arrived 4 on_trip 5 completed]" {
		t.Errorf("the rider heard %s", got)
	}

	// The region is dispatched by the node that is left.
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	orderRide(t, rider, driver)
	took := time.Since(left)
	t.Logf("a second ride began %v after the first node was told to end", took)
	if took > 10*time.Second {
		t.Error("that took too long")
	}
}

// nameOfOwner returns a name with which a node owns the region of a point
// beside the other.
func nameOfOwner(t *testing.T, at *wire.Point, other string) string {
	t.Helper()
	region, err := location.RegionOf(location.Point{Lng: at.Lng, Lat: at.Lat})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		name := fmt.Sprint("leaving-", i)
		if events.RegionOwner(region, []string{name, other}) == name {
			return name
		}
	}
}
