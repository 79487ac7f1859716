package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

func TestNodesWhoseClocksAreTenMinutesApartTellOneTimeAndTakeEachOthersTokens(t *testing.T) {
	database, redis := realServices(t)
	city, err := routing.Open("1")
	if err != nil {
		t.Fatal(err)
	}

	rng := rand.New(rand.NewPCG(1, 2))
	somewhere := func() *wire.Point { p := city.RandomPoint(rng); return &wire.Point{Lng: p.Lng, Lat: p.Lat} }
	var nodeURLs []string
	for _, off := range []string{"5m", "-5m"} {
		address := freeAddress(t)
		nodeURLs = append(nodeURLs, "http://"+address)
		awaitReady(t, start(t, "serve", "--dev-tokens", "--listen", address, "--admin", "127.0.0.1:0", "--name", "node-"+address,
			"--database", database, "--redis", redis, "--clock-offset="+off), "http://"+address)
	}

	for i, own := range nodeURLs {
		id := "r-" + uuid.NewString()[:8]
		ack := dial(t, own, "rider", id).command(&wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{
			RequestTrip: &wire.RequestTrip{Pickup: somewhere(), Dropoff: somewhere()}}})
		if wrong := time.Since(wire.FromMillis(ack.GetTrip().GetRequestedMs())).Abs(); ack.Code != "" || wrong > 2*time.Minute {
			t.Errorf("node %d: %v, and it is %v wrong", i+1, ack.Code, wrong)
		}
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, nodeURLs[1-i]+"/v1/trips", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token(t, own, "rider", id))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var mine struct {
			Trips []json.RawMessage `json:"trips"`
		}
		if err := json.NewDecoder(res.Body).Decode(&mine); err != nil || res.StatusCode != http.StatusOK || len(mine.Trips) != 1 {
			t.Errorf("a token of node %d at the other one: %s, %v, %d trips", i+1, res.Status, err, len(mine.Trips))
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}
