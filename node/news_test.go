package node_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/wire"
)

// startNodes starts nodes on one database and one Redis.
func startNodes(t *testing.T, names ...string) (nodes []*node.Node, keys *redis.Client) {
	t.Helper()
	address, keys := openRedis(t)
	database := createDatabase(t)
	for _, name := range names {
		nodes = append(nodes, startNode(t, node.Config{Name: name, Database: database, Redis: address, DatabaseConns: 5}))
	}
	return nodes, keys
}

// wholeRide is what a rider hears of a ride, each event once.
const wholeRide = "[1 requested 2 reserved 3 arrived 4 on_trip 5 completed]"

// TestNewsReachesTheNodesThatHaveTheUsersAndNoOther has four nodes: one for the
// rider, one for the driver, one that is asked by HTTP, and one that only
// watches.
func TestNewsReachesTheNodesThatHaveTheUsersAndNoOther(t *testing.T) {
	nodes, keys := startNodes(t, "a", "b", "c", "d")
	rider, driver := startPhone(t, nodes[0], client.RoleRider, "ada"), startPhone(t, nodes[1], client.RoleDriver, "dayo")
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	driver.drive(shortMiddle)

	body := fmt.Sprintf(`{"pickup":{"lng":%g,"lat":%g},"dropoff":{"lng":%g,"lat":%g}}`,
		shortPickup.Lng, shortPickup.Lat, shortDropoff.Lng, shortDropoff.Lat)
	status, code := call(t, http.MethodPost, nodes[2].PublicURL()+"/v1/trips", devToken(t, nodes[2], "rider", "ada"), body, "Idempotency-Key", "one")
	if status != http.StatusOK && status != http.StatusCreated {
		t.Fatalf("the request was answered with %d %s", status, code)
	}

	trip := takeOffer(t, driver)
	if got := fmt.Sprint(subscribersOf(t, keys)); got != "map[user:driver:dayo:1 user:rider:ada:1]" {
		t.Errorf("the users' channels have the subscribers %s", got)
	}

	rider.command(client.NewFrame(&wire.SendChat{TripId: trip, Text: "I wear a red hat"}))
	awaitFrame(driver, (*wire.ServerFrame).GetChat)
	driver.command(client.NewFrame(&wire.SendChat{TripId: trip, Text: "I see you"}))
	awaitFrame(rider, (*wire.ServerFrame).GetChat)
	if err := rider.Send(client.NewFrame(&wire.Typing{TripId: trip})); err != nil {
		t.Fatal(err)
	}
	awaitFrame(driver, (*wire.ServerFrame).GetTyping)
	completeRide(driver, trip)
	awaitFrame(rider, (*wire.ServerFrame).GetReceipt)
	if got := fmt.Sprint(rider.events); got != wholeRide {
		t.Errorf("the rider heard %s", got)
	}
}

// takeOffer has the driver take the trip that is offered, and returns its id.
func takeOffer(t *testing.T, driver *phone) (trip string) {
	t.Helper()
	for {
		offer := awaitFrame(driver, (*wire.ServerFrame).GetOffer)
		if _, err := driver.Do(t.Context(), client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true})); err == nil {
			return offer.GetTrip().GetId()
		}
	}
}

// subscribersOf returns how many nodes follow the channel of each user.
func subscribersOf(t *testing.T, keys *redis.Client) map[string]int64 {
	t.Helper()
	names, err := keys.PubSubChannels(t.Context(), "ridehail:user:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	if len(names) == 0 {
		return counts
	}
	found, err := keys.PubSubNumSub(t.Context(), names...).Result()
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range found {
		counts[strings.TrimPrefix(name, "ridehail:")] = n
	}
	return counts
}

// TestNothingIsMissedWhenTheSubscriptionsBreak cuts the subscriptions of all
// nodes before each step of a ride.
func TestNothingIsMissedWhenTheSubscriptionsBreak(t *testing.T) {
	nodes, keys := startNodes(t, "a", "b")
	rider, driver := startPhone(t, nodes[0], client.RoleRider, "ada"), startPhone(t, nodes[1], client.RoleDriver, "dayo")
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	driver.drive(shortMiddle)
	trip := orderRide(t, rider, driver)
	for _, step := range []wire.Step{wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE} {
		cutSubscriptions(t, keys)
		driver.command(client.NewFrame(&wire.MoveTrip{TripId: trip.Id, Step: step}))
	}
	awaitFrame(rider, (*wire.ServerFrame).GetReceipt)
	for len(rider.events) < 5 { // a receipt may overtake events that are read again
		awaitFrame(rider, (*wire.ServerFrame).GetTripEvent)
	}
	if got := fmt.Sprint(rider.events); got != wholeRide {
		t.Errorf("the rider heard %s", got)
	}

	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	completeRide(driver, orderRide(t, rider, driver).Id)
	awaitFrame(rider, (*wire.ServerFrame).GetReceipt)
}

// cutSubscriptions cuts the connections that subscribe, of this test only.
func cutSubscriptions(t *testing.T, keys *redis.Client) {
	t.Helper()
	list, err := keys.Do(t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(list) {
		if fields := strings.Fields(line); slices.Contains(fields, fmt.Sprint("db=", keys.Options().DB)) {
			// It may have ended by itself.
			_ = keys.ClientKillByFilter(t.Context(), "ID", strings.TrimPrefix(fields[0], "id=")).Err()
		}
	}
}
