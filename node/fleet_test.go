package node_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

var marketPoint = location.Point{Lng: 3.384979, Lat: 6.408022}

// marketNodes are three nodes by what they are to the region of the market.
type marketNodes struct {
	owner *node.Node // owns it
	next  *node.Node // owns it when owner has gone
	home  *node.Node // has the drivers' phones

	stopOwner  func()
	ownerEnded <-chan struct{}
}

// startMarketNodes starts three nodes on one database and Redis, and waits until
// each knows the others.
func startMarketNodes(t *testing.T) (m marketNodes) { return startTracedNodes(t, 0) }

// startTracedNodes are startMarketNodes that record a share of the rides.
func startTracedNodes(t *testing.T, ratio float64) (m marketNodes) {
	t.Helper()
	region, err := location.RegionOf(marketPoint)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"a", "b", "c"}
	owner := events.RegionOwner(region, names)
	rest := slices.DeleteFunc(names, func(n string) bool { return n == owner })
	next := events.RegionOwner(region, rest)
	home := slices.DeleteFunc(rest, func(n string) bool { return n == next })[0]

	address, _ := openRedis(t)
	cfg := node.Config{Database: createDatabase(t), Redis: address, Speed: 1000, DatabaseConns: 5, TraceRatio: ratio}
	cfg.Name = home
	m.home = startNode(t, cfg)
	cfg.Name = next
	m.next = startNode(t, cfg)
	cfg.Name = owner
	m.owner, m.stopOwner, m.ownerEnded = startNodeUntil(t, cfg)
	for _, n := range []*node.Node{m.home, m.next, m.owner} {
		awaitFigure(t, n, "members_alive 3\n")
	}
	return m
}

// awaitFigure waits until a node's metrics have a line.
func awaitFigure(t *testing.T, n *node.Node, line string) {
	t.Helper()
	read := func() string {
		res, err := http.Get(n.AdminURL() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		all, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(all)
	}
	await(t, n.Name()+" to say "+line, func() bool { return strings.Contains(read(), line) }, func() string { return "it does not" })
}

// park puts drivers on duty at the market, with their phones at a node.
func park(t *testing.T, n *node.Node, count int) {
	t.Helper()
	for i := range count {
		driver := startPhone(t, n, client.RoleDriver, fmt.Sprint("d", i))
		driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
		driver.drive(&wire.Point{Lng: marketPoint.Lng, Lat: marketPoint.Lat})
	}
}

// awaitDrivers waits until a node has so many drivers of another in its shared
// state.
func awaitDrivers(t *testing.T, n, of *node.Node, count int) {
	t.Helper()
	known := func() (free int) {
		for _, d := range n.Drivers().DriversOf(of.Name(), nil) {
			if d.Connected && d.HasPosition() {
				free++
			}
		}
		return free
	}
	await(t, fmt.Sprintf("%s to know %d drivers", n.Name(), count), func() bool { return known() == count },
		func() string { return fmt.Sprintf("%d", known()) })
}

func TestANodeKnowsTheDriversOfItsRegionsAndAsksForOthers(t *testing.T) {
	m := startMarketNodes(t)
	park(t, m.home, 3)
	awaitDrivers(t, m.owner, m.home, 3)
	if known := m.next.Drivers().Counts().Drivers; known != 0 {
		t.Errorf("a node that neither owns the region nor has the phones knows %d drivers", known)
	}

	for _, n := range []*node.Node{m.next, m.owner, m.home} {
		rider := devToken(t, n, client.RoleRider, "ada")
		near := get(t, fmt.Sprintf("%s/v1/nearby?lng=%v&lat=%v", n.PublicURL(), marketPoint.Lng, marketPoint.Lat), rider)
		if cars := near["cars"].([]any); len(cars) != 3 {
			t.Errorf("%s shows %d cars nearby", n.Name(), len(cars))
		}
	}
	if known := m.next.Drivers().DriversOf(m.home.Name(), nil); len(known) != 3 {
		t.Errorf("after it asked it knows %d drivers", len(known))
	}
}

func TestAMapShowsTheCarsOfARegionThatAnotherNodeOwns(t *testing.T) {
	m := startMarketNodes(t)
	park(t, m.home, 2)
	awaitDrivers(t, m.owner, m.home, 2)

	rider := startPhone(t, m.next, client.RoleRider, "ada")
	look := &wire.WatchArea{Center: &wire.Point{Lng: marketPoint.Lng, Lat: marketPoint.Lat}, RadiusM: 1000}
	await(t, "the phone to be connected", func() bool { return rider.Send(client.NewFrame(look)) == nil }, func() string { return "it is not" })
	for cars := awaitFrame(rider, (*wire.ServerFrame).GetCars); len(cars.Cars) != 2; {
		cars = awaitFrame(rider, (*wire.ServerFrame).GetCars)
	}
}

// TestARegionsNewOwnerKnowsItsDrivers has an owner go. The drivers do not move
// to another region, and nobody asks.
func TestARegionsNewOwnerKnowsItsDrivers(t *testing.T) {
	m := startMarketNodes(t)
	park(t, m.home, 3)
	awaitDrivers(t, m.owner, m.home, 3)
	m.stopOwner()
	<-m.ownerEnded
	awaitDrivers(t, m.next, m.home, 3)
}

// TestARideWithItsPartiesAndItsDispatcherOnThreeNodes has the region's owner
// make the offer, and the rider come back to another node during the ride.
func TestARideWithItsPartiesAndItsDispatcherOnThreeNodes(t *testing.T) {
	m := startMarketNodes(t)
	market := &wire.Point{Lng: marketPoint.Lng, Lat: marketPoint.Lat}
	driver := startPhone(t, m.home, client.RoleDriver, "dayo")
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	driver.drive(market)

	rider := startPhone(t, m.next, client.RoleRider, "ada")
	rider.command(client.NewFrame(&wire.RequestTrip{Pickup: market, Dropoff: &wire.Point{Lng: 3.393263, Lat: 6.484199}}))
	offer := awaitFrame(driver, (*wire.ServerFrame).GetOffer)
	driver.command(client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true}))
	for range 5 {
		if p := awaitFrame(rider, (*wire.ServerFrame).GetPosition); p.DriverId != "dayo" {
			t.Fatalf("the rider sees the car of %q", p.DriverId)
		}
	}

	elsewhere := startPhone(t, m.owner, client.RoleRider, "ada")
	for range 5 {
		awaitFrame(elsewhere, (*wire.ServerFrame).GetPosition)
	}
	if d, ok := m.owner.Drivers().Get("dayo"); !ok || d.Trip != trips.TripID(offer.Trip.Id) {
		t.Errorf("the owner knows %+v", d)
	}
}
