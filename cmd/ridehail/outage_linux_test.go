package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// TestACityHealsFromEveryLoss takes away one part after the other of a
// city whose node is never restarted, checks what goes on meanwhile, and audits
// the data at the end. docs/reliability.md is its table.
func TestACityHealsFromEveryLoss(t *testing.T) {
	slowtest.Require(t)
	c := openOutageCity(t)
	t.Run("Redis is killed and forgets everything", func(t *testing.T) {
		c.withoutRedis(t, c.redis.Kill, c.redis.Start)
	})
	t.Run("Redis hangs", func(t *testing.T) {
		c.withoutRedis(t, c.redis.Pause, c.redis.Resume)
	})
	t.Run("the way to Redis is cut", func(t *testing.T) {
		c.withoutRedis(t, c.toRedis.cut, c.toRedis.mend)
	})
	t.Run("the way to Postgres is cut", func(t *testing.T) {
		c.withoutPostgres(t, c.toPostgres.cut, c.toPostgres.mend)
	})
	t.Run("Postgres is killed", func(t *testing.T) {
		c.withoutPostgres(t, c.postgres.Kill, c.postgres.Start)
	})
	t.Run("Postgres hangs", func(t *testing.T) {
		c.withoutPostgres(t, c.postgres.Pause, c.postgres.Resume)
	})

	t.Run("Postgres refuses connections", func(t *testing.T) {
		c.withoutPostgres(t, func() {
			c.sql(t, "alter database ridehail allow_connections false")
			c.sql(t, "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'ridehail'")
		}, func() { c.sql(t, "alter database ridehail allow_connections true") })
	})

	t.Run("Postgres has no room left", c.withoutRoom)
	t.Run("the provider is down and Redis is flushed", c.withoutProviderAndQueue)
	t.Run("the provider hangs", c.withHangingProvider)
	t.Run("the routing service is down, then hangs", c.withoutRouting)
	c.judge(t)
}

// withoutRedis: positions flow, trips are matched, accepted and moved, chat is
// delivered to connected phones, and a phone that connects gets its state. Only
// the receipt waits until Redis is back.
func (c *outageCity) withoutRedis(t *testing.T, lose, heal func()) {
	r := c.ride(t)
	heal = sync.OnceFunc(heal)
	t.Cleanup(heal) // for the stories that follow a failed one
	lose()
	lost := time.Now()

	c.awaitReadiness(t, false)
	c.checkUnaffectedParts(t)
	r.rider.seeTheCarMove(lost)
	r.driver.command(r.step(wire.Step_ARRIVE))
	r.rider.awaitState("arrived")
	r.rider.command(r.say("I wear a red hat"))
	r.driver.await("the message", func(f *wire.ServerFrame) bool { return f.GetChat().GetSeq() == 1 })

	back := c.dial(t, "rider", r.riderID)
	if w := back.await("welcome", isWelcome).GetWelcome(); w.GetTrip().GetState() != "arrived" || w.GetChatSeq() != 1 {
		t.Errorf("a phone that comes back is told %v", w)
	}

	second := c.accepted(t)
	second.rider.awaitState("reserved")
	second.rider.seeTheCarMove(time.Now())
	c.complete(r)
	heal()

	healed := time.Now()
	r.paid()
	t.Logf("the receipt came %v after Redis is back", time.Since(healed))
	c.awaitReadiness(t, true)
	second.driver.command(second.step(wire.Step_ARRIVE))
	c.finish(second)
}

// withoutPostgres: positions flow, and quotes and nearby cars are answered. A
// command is answered with an error; sent again after the outage it is done
// once. Phones that connect are told to come back.
func (c *outageCity) withoutPostgres(t *testing.T, lose, heal func()) {
	r := c.ride(t)
	heal = sync.OnceFunc(heal)
	t.Cleanup(heal) // for the stories that follow a failed one
	lose()
	lost := time.Now()
	arrive, hat := r.step(wire.Step_ARRIVE), r.say("I wear a red hat")
	arrive.Id, hat.Id = uuid.NewString(), uuid.NewString()

	// Their answers are checked below; nothing else may wait for them.
	r.driver.send(arrive)
	r.rider.send(hat)
	r.rider.seeTheCarMove(lost)
	c.awaitReadiness(t, false)
	c.checkUnaffectedParts(t)
	c.checkTurnedAway(t)
	r.driver.expectAnswer(wire.CodeUnavailable, arrive, 1)
	r.rider.expectAnswer(wire.CodeUnavailable, hat, 1)
	t.Logf("all were answered %v after the loss", time.Since(lost))
	heal()
	healed := time.Now()
	r.driver.send(arrive)
	r.driver.expectAnswer("", arrive, 2)
	t.Logf("a command is done %v after Postgres is back", time.Since(healed))
	r.rider.send(hat)
	r.rider.expectAnswer("", hat, 2)
	r.driver.send(arrive)
	r.driver.expectAnswer("", arrive, 3) // a third time is no second time
	r.rider.awaitState("arrived")
	r.driver.await("the message", func(f *wire.ServerFrame) bool { return f.GetChat().GetSeq() == 1 })
	t.Logf("all is told %v after Postgres is back", time.Since(healed))
	c.awaitReadiness(t, true)
	r.rider.command(r.say("Thank you"))
	r.driver.await("the next message", func(f *wire.ServerFrame) bool { return f.GetChat().GetSeq() == 2 })
	c.finish(r)
}

// withoutRoom lets the database answer every write as with a full disk. Reads
// go on.
func (c *outageCity) withoutRoom(t *testing.T) {
	r := c.ride(t)
	sqlAt(t, c.database, `create function full_disk() returns trigger language plpgsql as
		$$begin raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end$$;
		create trigger full_disk before insert on trip_events execute function full_disk()`)
	arrive := r.step(wire.Step_ARRIVE)
	arrive.Id = uuid.NewString()
	r.driver.send(arrive)
	r.driver.expectAnswer(wire.CodeUnavailable, arrive, 1)
	r.rider.seeTheCarMove(time.Now())

	back := c.dial(t, "rider", r.riderID)
	if w := back.await("welcome", isWelcome).GetWelcome(); w.GetTrip().GetState() != "reserved" {
		t.Errorf("a phone that comes back is told %v", w)
	}

	sqlAt(t, c.database, "drop function full_disk cascade")
	r.driver.send(arrive)
	r.driver.expectAnswer("", arrive, 2)
	c.finish(r)
}

// withoutProviderAndQueue: rides go on. A job that is lost with Redis's memory
// comes back from the database at once, and the fare is charged when the
// provider is back.
func (c *outageCity) withoutProviderAndQueue(t *testing.T) {
	c.provider.stop()
	c.provider.wait(t)
	r := c.ride(t)
	r.driver.command(r.step(wire.Step_ARRIVE))
	c.complete(r)
	c.awaitReadiness(t, true)
	c.checkUnaffectedParts(t)
	server, err := events.Open(t.Context(), c.redisURL, events.WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	jobs := func(want int64) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d jobs in the queue", want), func() bool {
			n, err := server.CountOutstanding(t.Context(), node.SettlementStream)
			return err == nil && n == want
		})
	}

	jobs(1)
	flush(t, c.redisURL)
	flushed := time.Now()
	jobs(1)
	t.Logf("the job is back %v after the flush", time.Since(flushed))
	c.startProvider()
	healed := time.Now()
	r.paid()
	t.Logf("paid %v after the provider is back", time.Since(healed))
	jobs(0)
}

// withHangingProvider: a provider that takes requests and does not answer
// delays only the receipt.
func (c *outageCity) withHangingProvider(t *testing.T) {
	c.provider.stop()
	c.provider.wait(t)
	end := startSilentServer(t, c.providerAt)
	r := c.ride(t)
	r.driver.command(r.step(wire.Step_ARRIVE))
	c.complete(r)
	c.awaitReadiness(t, true)
	c.checkUnaffectedParts(t)

	r.rider.command(r.say("I left my hat"))
	r.driver.await("the message", func(f *wire.ServerFrame) bool { return f.GetChat().GetSeq() == 1 })
	end()
	c.startProvider()
	r.paid()
}

// withoutRouting: prices and times are estimated from straight lines, and
// marked so.
func (c *outageCity) withoutRouting(t *testing.T) {
	if source := c.routeSource(t); source != routing.SourceRoad {
		t.Fatalf("before the outage ways come from %q", source)
	}
	c.routing.stop()
	c.routing.wait(t)
	if source := c.routeSource(t); source != routing.SourceStraight {
		t.Errorf("without the service ways come from %q", source)
	}
	down := c.ride(t)
	end := startSilentServer(t, c.routingAt)
	eventually(t, "the service to be asked again", func() bool { return c.routeSource(t) == routing.SourceStraight })
	c.awaitReadiness(t, true)
	c.checkUnaffectedParts(t)
	hung := c.ride(t)

	end()
	c.startRouting()
	healed := time.Now()
	eventually(t, "ways on roads", func() bool { return c.routeSource(t) == routing.SourceRoad })
	t.Logf("ways are on roads %v after the service is back", time.Since(healed))

	for _, r := range []*ride{down, hung} {
		r.driver.command(r.step(wire.Step_ARRIVE))
		c.finish(r)
	}
}

// judge checks the database and the provider's own ledger.
func (c *outageCity) judge(t *testing.T) {
	if t.Failed() {
		return
	}
	c.node.stop()
	if code := c.node.wait(t); code != exitDone {
		t.Errorf("the node exits with %d", code)
	}
	if audit := start(t, "audit", "--database", c.database); audit.wait(t) != exitDone {
		t.Errorf("the audit found: %s", audit.out.String())
	}

	ledger, err := os.ReadFile(c.ledger)
	if err != nil {
		t.Fatal(err)
	}

	charges := map[string]int{}
	for line := range bytes.Lines(ledger) {
		var e struct{ Reference, Status string }
		if err := json.Unmarshal(line, &e); err != nil || e.Status != "success" {
			t.Errorf("ledger: %s, %v", line, err)
		}
		charges[e.Reference]++
	}

	if len(charges) != c.completed {
		t.Errorf("%d rides were completed, %d charged", c.completed, len(charges))
	}

	for reference, n := range charges {
		if n != 1 {
			t.Errorf("%s was charged %d times", reference, n)
		}
	}
}
