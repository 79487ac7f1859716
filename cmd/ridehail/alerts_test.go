package main

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/wire"
)

// awaitAlert waits until the operators at an admin API were told of one call.
func awaitAlert(t *testing.T, admin string) sos.Alert {
	t.Helper()

	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.Get(admin + "/ops/alerts")
		if err != nil {
			t.Fatal(err)
		}

		var got struct{ Alerts []sos.Alert }
		err = json.NewDecoder(res.Body).Decode(&got)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Alerts) == 1 && !got.Alerts[0].NotifiedAt.IsZero() {
			return got.Alerts[0]
		}
		if time.Now().After(end) {
			t.Fatalf("no call was raised: %+v", got)
		}
	}
}

// callForHelp lets a rider call on one node, and an operator acknowledge the
// call through the admin API of another or the same node.
func callForHelp(t *testing.T, public, admin string) {
	t.Helper()
	city, err := routing.Open("1")
	if err != nil {
		t.Fatal(err)
	}

	rng := rand.New(rand.NewPCG(3, 4))
	from, to := city.RandomPoint(rng), city.RandomPoint(rng)
	rider := dial(t, public, "rider", "r-"+uuid.NewString()[:8])
	trip := rider.command(&wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{
		Pickup: &wire.Point{Lng: from.Lng, Lat: from.Lat}, Dropoff: &wire.Point{Lng: to.Lng, Lat: to.Lat}}}}).Trip

	ack := rider.command(&wire.ClientFrame{Body: &wire.ClientFrame_Sos{Sos: &wire.Sos{TripId: trip.Id, Text: "help"}}})
	a := awaitAlert(t, admin)
	if a.Text != "help" || string(a.Trip) != trip.Id || a.ClientID != ack.Id {
		t.Errorf("raised %+v", a)
	}

	res, err := http.Post(admin+"/ops/alerts/"+a.ID+"/ack", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}

	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("acknowledged with %s", res.Status)
	}

	rider.await("word that an operator has seen it", func(f *wire.ServerFrame) bool { return f.GetSosSeen().GetId() == ack.Id })
}

func TestACallForHelpGoesToTheOperatorsAndBackOnOneNode(t *testing.T) {
	public, admin := freeAddress(t), freeAddress(t)
	p := start(t, "serve", "--dev-tokens", "--listen", public, "--admin", admin, "--database",
		filepath.Join(t.TempDir(), "city.db"), "--redis", "")
	awaitReady(t, p, "http://"+public)
	callForHelp(t, "http://"+public, "http://"+admin)
}

func TestACallOnOneNodeIsAcknowledgedOnAnother(t *testing.T) {
	database, redis := realServices(t)
	near, far, admin := freeAddress(t), freeAddress(t), freeAddress(t)
	a := start(t, "serve", "--dev-tokens", "--listen", near, "--admin", "", "--database", database, "--redis", redis, "--name", near)
	b := start(t, "serve", "--dev-tokens", "--listen", far, "--admin", admin, "--database", database, "--redis", redis, "--name", far)
	awaitReady(t, a, "http://"+near)
	awaitReady(t, b, "http://"+far)
	callForHelp(t, "http://"+near, "http://"+admin)
}
