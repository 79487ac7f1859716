package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// TestTwoNodesGoOnWithoutRedisAndTellEachOtherWhenItIsBack has the driver on
// one node and the rider on the other. Each action is done and acked. The other
// node's phones are told when Redis is back, or at once when they ask.
func TestTwoNodesGoOnWithoutRedisAndTellEachOtherWhenItIsBack(t *testing.T) {
	redis := processtest.Redis(t, "--save", "")
	redisURL, postgresURL := redis.URL, processtest.Postgres(t).URL
	sqlAt(t, postgresURL, "create database ridehail")
	database := strings.Replace(postgresURL, "/postgres?", "/ridehail?", 1)
	providerAt := freeAddress(t)
	start(t, "payments", "--listen", providerAt, "--ledger", t.TempDir()+"/ledger.jsonl")
	a, atA := startNode(t, database, redisURL, "http://"+providerAt)
	b, atB := startNode(t, database, redisURL, "http://"+providerAt)
	awaitReady(t, a, atA)
	awaitReady(t, b, atB)

	plan, err := routing.Open("1")
	if err != nil {
		t.Fatal(err)
	}

	places := &outageCity{plan: plan, rng: rand.New(rand.NewPCG(5, 6))}
	here, there := places.somewhere(), places.somewhere()
	run := uuid.NewString()[:8]
	r := &ride{driver: dial(t, atA, "driver", "d-"+run), rider: dial(t, atB, "rider", "r-"+run), riderID: "r-" + run}
	r.driver.command(&wire.ClientFrame{Body: &wire.ClientFrame_SetAvailable{SetAvailable: &wire.SetAvailable{Available: true}}})
	keepDriving(t, r.driver, here)
	r.rider.command(&wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{Pickup: here, Dropoff: there}}})
	offer := r.driver.await("offer", func(f *wire.ServerFrame) bool { return f.GetOffer() != nil }).GetOffer()
	r.trip = offer.Trip.Id
	r.driver.command(&wire.ClientFrame{Body: &wire.ClientFrame_AnswerOffer{AnswerOffer: &wire.AnswerOffer{OfferId: offer.Id, Accept: true}}})
	r.rider.awaitState("reserved")
	r.rider.seeTheCarMove(time.Now())

	redis.Kill()
	r.driver.command(r.step(wire.Step_ARRIVE))
	r.driver.awaitState("arrived") // on the node that committed it
	r.rider.command(r.say("I wear a red hat"))
	r.rider.await("their own message", hasChat(1))
	back := dial(t, atB, "rider", r.riderID)
	if w := back.await("welcome", isWelcome).GetWelcome(); w.GetTrip().GetState() != "arrived" || w.GetChatSeq() != 1 {
		t.Errorf("a phone that asks is told %v", w)
	}

	r.driver.command(r.step(wire.Step_START))

	redis.Start()
	healed := time.Now()
	r.rider.awaitState("arrived")
	r.rider.awaitState("on_trip")
	r.driver.await("the message", hasChat(1))
	t.Logf("all is told %v after Redis is back", time.Since(healed))
	r.rider.seeTheCarMove(healed)
	t.Logf("the car moves %v after Redis is back", time.Since(healed))
	r.driver.driveTo(there)
	r.driver.command(r.step(wire.Step_COMPLETE))
	r.rider.awaitState("completed")
	r.paid()
	r.rider.told(r.trip, "1 2 3 4 5")
	r.driver.told(r.trip, "2 3 4 5")

	for _, at := range []string{atA, atB} {
		eventually(t, at+" is ready", func() bool {
			res, err := http.Get(at + "/readyz")
			if err != nil {
				return false
			}
			res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
	}

	if audit := start(t, "audit", "--database", database); audit.wait(t) != exitDone {
		t.Errorf("the audit found: %s", audit.out.String())
	}
}

func hasChat(seq uint32) func(*wire.ServerFrame) bool {
	return func(f *wire.ServerFrame) bool { return f.GetChat().GetSeq() == seq }
}

// told compares all events of a trip that a phone received with their numbers.
func (p *phone) told(trip, want string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()

	var got []string
	for _, f := range p.heard {
		if e := f.GetTripEvent(); e.GetTripId() == trip {
			got = append(got, fmt.Sprint(e.Seq))
		}
	}

	if heard := strings.Join(got, " "); heard != want {
		p.t.Errorf("heard of the events %s, want %s", heard, want)
	}
}
