package faults

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/store/sqlite"
	"github.com/ridehail/ridehail/tracing"
)

const (
	delayEachWay = 50 * time.Millisecond
	// outageOfAll is how long no phone may come back.
	outageOfAll = time.Second
	dropShare   = 0.1 // of the phones, each second
)

// Config says what can be broken.
type Config struct {
	// The lines of phones, and to what the node uses. Each leads to a server
	// that runs; nil: WhyNot says why there is none.
	Riders, Drivers *Line
	Redis           *Line
	Database        *Line  // to Postgres
	Provider        *Line  // of payments
	File            string // of SQLite, instead of Database

	// WhyNotRedis and WhyNotDatabase say why there is no line.
	WhyNotRedis, WhyNotDatabase string

	City City
	Log  *slog.Logger

	checkEvery time.Duration // 0: the constant of that name
}

// New returns a desk with the seven switches, all of them off. The caller must
// Close it before the lines, and before the city ends.
func New(c Config) *Desk {
	return newDesk(c.Log, cmp.Or(c.checkEvery, checkEvery), []*fault{c.slowPhone(), c.drop(), c.delay(), c.disconnect(), c.redisAway(), c.databaseAway(), c.providerDown()})
}

func (c Config) addPhones(_ context.Context, f *figures) { f.phones = c.City.Phones() }

func (c Config) slowPhone() *fault {
	slow := func() { c.Riders.SlowOne(isSocket) }
	return &fault{
		id: "slow_phone", name: "Slow phone", station: string(tracing.RiderPhone),
		begin:  func(context.Context) error { slow(); return nil },
		repeat: slow, // the rider whose phone it was may have left
		end:    func() error { c.Riders.SlowNone(); return nil },
		measure: func(_ context.Context, f *figures) {
			f.phones, f.waits = c.City.Phones(), c.Riders.LongestWait()
		},
		effect: func(e episode) string {
			if e.now.waits < time.Second || e.now.phones.P50Ms == 0 {
				return ""
			}
			return fmt.Sprintf("One rider's phone reads %d bytes a second, and what it is told waits %s; half of all positions still take %.1f ms.",
				slowRate, seconds(e.now.waits), e.now.phones.P50Ms)
		},
		recovery: func(e episode) (string, bool) {
			return fmt.Sprintf("The phone reads at full speed again; what had waited %s has arrived.", seconds(e.atEnd.waits)), e.now.waits == 0
		},
	}
}

func (c Config) drop() *fault {
	cut := func() {
		for _, l := range []*Line{c.Riders, c.Drivers} {
			l.Cut(func(opening string) bool { return isSocket(opening) && rand.Float64() < dropShare })
		}
	}
	return &fault{
		id: "drop", name: "Drop 1 in 10", station: string(tracing.Gateway),
		begin:   func(context.Context) error { cut(); return nil },
		repeat:  cut,
		end:     func() error { return nil },
		measure: c.addPhones,
		effect: func(e episode) string {
			if e.lost() == 0 {
				return ""
			}
			return fmt.Sprintf("One phone in 10 loses its connection each second: %d lost, %d are back with all they missed; browsers' pages are not on this line.",
				e.lost(), e.resumed())
		},
		recovery: func(e episode) (string, bool) {
			return fmt.Sprintf("Connections hold again: of %d lost ones %d were resumed, with all they had missed.", e.lost(), e.resumed()),
				e.resumed() >= e.lost()
		},
	}
}

func (c Config) delay() *fault {
	set := func(delay time.Duration) error {
		c.Riders.SetDelay(delay)
		c.Drivers.SetDelay(delay)
		return nil
	}
	const felt = 1.8 * float64(delayEachWay/time.Millisecond) // of two ways, a driver's and a rider's
	return &fault{
		id: "delay", name: "Delay +50 ms", station: string(tracing.Gateway),
		begin:   func(context.Context) error { return set(delayEachWay) },
		end:     func() error { return set(0) },
		measure: c.addPhones,
		effect: func(e episode) string {
			before, now := e.before.phones.P50Ms, e.now.phones.P50Ms
			if now < before+felt {
				return ""
			}
			return fmt.Sprintf("Half of the positions take %.1f ms from driver to rider, were %.1f ms: 50 ms more on each phone's way; browsers' pages are not on this line.",
				now, before)
		},
		recovery: func(e episode) (string, bool) {
			now := e.now.phones.P50Ms
			return fmt.Sprintf("The way is short again: of the last seconds, half of the positions took %.1f ms.", now), now < felt
		},
	}
}

func (c Config) disconnect() *fault {
	away := func(is bool) error {
		c.Riders.SetAway(is)
		c.Drivers.SetAway(is)
		return nil
	}
	return &fault{
		id: "disconnect", name: "Disconnect all", station: string(tracing.Gateway),
		lasts:   outageOfAll,
		begin:   func(context.Context) error { return away(true) },
		end:     func() error { return away(false) },
		measure: c.addPhones,
		effect: func(e episode) string {
			if e.lost() == 0 {
				return ""
			}
			return fmt.Sprintf("%s lost the connection at once, and none may come back for a second; browsers' pages are not on this line.",
				count(e.lost(), "phone", "phones"))
		},
		recovery: func(e episode) (string, bool) {
			if e.lost() == 0 {
				return "No phone was connected.", true
			}
			return fmt.Sprintf("All phones had lost their connection: %d of %d are back with all they missed, %s after they may.",
				e.resumed(), e.lost(), e.healing()), e.resumed() >= e.lost()
		},
	}
}

// lineAway is a fault of the line to a server, until it is mended.
func lineAway(l *Line, f *fault) *fault {
	f.begin = func(context.Context) error { l.SetAway(true); return nil }
	f.end = func() error { l.SetAway(false); return nil }
	return f
}

func (c Config) redisAway() *fault {
	return lineAway(c.Redis, &fault{
		id: "redis_away", name: "Cut Redis", station: string(tracing.Redis), impossible: c.WhyNotRedis,
		measure: func(ctx context.Context, f *figures) {
			f.positions, f.refused = c.City.Positions(), c.Redis.Refused()
			f.addRows(ctx, c.City)
		},
		effect: func(e episode) string {
			tried := e.now.refused - e.before.refused
			switch {
			case tried == 0 || !e.isCounted:
				return ""
			case e.now.rows == 0:
				return fmt.Sprintf("Redis is away: %s to reach it failed; no row waits for it yet, and %s.", count(tried, "attempt", "attempts"), e.flow())
			}
			return fmt.Sprintf("Redis is away: %s in the outbox, and other nodes hear of them when it is back; %s.",
				count(e.now.rows, "row waits", "rows wait"), e.flow())
		},
		recovery: func(e episode) (string, bool) {
			rows := count(e.atEnd.rows, "row", "rows")
			if e.now.rows > 0 || e.now.readErr != nil {
				return fmt.Sprintf("Redis is back; of %s %d still wait.", rows, e.now.rows), false
			}
			return fmt.Sprintf("Redis is back; %s told in %s.", rows, e.healing()), true
		},
	})
}

// databaseAway cuts the line to Postgres. A file has no line: another
// connection takes its write lock, as any program may.
func (c Config) databaseAway() *fault {
	f := lineAway(c.Database, &fault{name: "Cut Postgres", impossible: c.WhyNotDatabase})
	what := "The line to Postgres is cut"
	if c.File != "" {
		release := func() error { return nil }
		f.name, what = "Lock SQLite", "Another connection holds the write lock of SQLite's file"
		f.begin = func(ctx context.Context) (err error) {
			release, err = sqlite.LockWrites(ctx, c.File)
			return err
		}
		f.end = func() error {
			undo := release
			release = func() error { return nil }
			return undo()
		}
	}

	f.id, f.station = "database_away", string(tracing.Store)
	f.measure = func(ctx context.Context, f *figures) {
		f.phones, f.positions = c.City.Phones(), c.City.Positions()
		f.addRows(ctx, c.City)
		f.writeErr = c.City.CheckWritable(ctx)
	}
	f.effect = func(e episode) string {
		if e.now.writeErr == nil || !e.isCounted {
			return ""
		}
		reads := "reads go on"
		if e.now.readErr != nil {
			reads = "reads fail too"
		}
		return fmt.Sprintf("%s: no commit for %s, and commands wait or are told to come back; %s, and %s.",
			what, seconds(e.now.at.Sub(e.began)), reads, e.flow())
	}
	f.recovery = func(e episode) (string, bool) {
		if e.now.writeErr != nil {
			return "The database is free again; no commit has been seen yet.", false
		}
		return fmt.Sprintf("The database commits again, %s after it was free; phones sent %s again.", e.healing(),
			count(e.now.phones.RepeatedCommand-e.before.phones.RepeatedCommand, "command", "commands")), true
	}
	return f
}

func (c Config) providerDown() *fault {
	return lineAway(c.Provider, &fault{
		id: "provider_down", name: "Provider down", station: string(tracing.Provider),
		measure: func(ctx context.Context, f *figures) {
			f.completed, f.refused = c.City.Completed(), c.Provider.Refused()
			f.unpaid, f.readErr = c.City.Unpaid(ctx, f.until)
		},
		effect: func(e episode) string {
			failed := e.now.refused - e.before.refused
			if failed == 0 || e.now.readErr != nil {
				return ""
			}
			return fmt.Sprintf("The payment provider is down: %s after %s, and rides end as before (%d since).",
				count(e.now.unpaid, "payment waits", "payments wait"), count(failed, "failed call", "failed calls"), e.now.completed-e.before.completed)
		},
		recovery: func(e episode) (string, bool) {
			if e.now.unpaid > 0 || e.now.readErr != nil {
				return fmt.Sprintf("The provider is back; of %s %d still wait for their next attempt.",
					count(e.atEnd.unpaid, "payment", "payments"), e.now.unpaid), false
			}
			return fmt.Sprintf("The provider is back; %s made in %s.", count(e.atEnd.unpaid, "payment", "payments"), e.healing()), true
		},
	})
}
