package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators/intruder"
	"github.com/ridehail/ridehail/wire"
)

func TestAnIntruderWhoKnowsTheIdOfATripGetsNothingOutOfANode(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	url := "http://" + address
	node := start(t, "serve", "--dev-tokens", "--listen", address, "--admin", "127.0.0.1:0", "--data", t.TempDir())
	awaitReady(t, node, url)
	city, err := routing.Open("1")
	if err != nil {
		t.Fatal(err)
	}

	rng := rand.New(rand.NewPCG(1, 2))
	somewhere := func() *wire.Point { p := city.RandomPoint(rng); return &wire.Point{Lng: p.Lng, Lat: p.Lat} }
	victim := dial(t, url, "rider", "victim")
	ack := victim.command(&wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{
		RequestTrip: &wire.RequestTrip{Pickup: somewhere(), Dropoff: somewhere()}}})
	if ack.Code != "" {
		t.Fatal(ack)
	}

	targets, journal := t.TempDir()+"/targets.jsonl", t.TempDir()+"/journal.jsonl"
	line := fmt.Sprintf(`{"trip":%q,"rider":"victim"}`, ack.Trip.Id)
	if err := os.WriteFile(targets, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}

	p := start(t, "intruder", "--server", url, "--targets", targets, "--journal", journal, "--rounds", "1", "--json")
	if code := p.wait(t); code != exitDone {
		t.Errorf("it ends with %d: %s", code, p.logs.String())
	}

	var r intruder.Report
	if err := json.Unmarshal([]byte(p.out.String()), &r); err != nil {
		t.Fatal(err)
	}
	if r.Accepted != 0 || r.Foreign != 0 || r.Refused < 100 || len(r.Attempts) < 25 {
		t.Errorf("%+v", r)
	}

	text, err := os.ReadFile(journal)
	if err != nil || len(text) < 25*50 {
		t.Errorf("a journal of %d bytes, %v", len(text), err)
	}

	ack = victim.command(&wire.ClientFrame{Body: &wire.ClientFrame_CancelTrip{CancelTrip: &wire.CancelTrip{TripId: ack.Trip.Id}}})
	if ack.Code != "" || ack.Trip.Version != 2 {
		t.Errorf("the victim's own cancellation: %v", ack)
	}
}
