package faults

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/store/sqlite"
	"github.com/ridehail/ridehail/xray"
)

// fakeCity has the figures that a test gives it.
type fakeCity struct {
	mu     sync.Mutex
	phones PhoneFigures
	rows   int
	unpaid int

	writable func(context.Context) error
}

func (c *fakeCity) set(change func(*fakeCity)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

func (c *fakeCity) Phones() PhoneFigures {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phones
}

func (c *fakeCity) Positions() uint64 { return uint64(time.Now().UnixMilli()) } // 1000 a second
func (c *fakeCity) Completed() int64  { return 0 }

func (c *fakeCity) Backlog(context.Context) (int, time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows, time.Time{}, nil
}

func (c *fakeCity) Unpaid(context.Context, time.Time) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unpaid, nil
}

func (c *fakeCity) CheckWritable(ctx context.Context) error { return c.writable(ctx) }

// bench is a desk whose lines lead to servers that echo, and a SQLite file.
type bench struct {
	*Desk
	t     *testing.T
	lines Config
	city  *fakeCity
	store *sqlite.Store
}

func newBench(t *testing.T) *bench {
	path := filepath.Join(t.TempDir(), "r.db")
	store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})

	city := &fakeCity{phones: PhoneFigures{P50Ms: 1}, writable: store.CheckWritable}
	c := Config{Riders: openEcho(t), Drivers: openEcho(t), Redis: openEcho(t), Provider: openEcho(t), File: path,
		City: city, Log: slog.New(slog.DiscardHandler), checkEvery: 10 * time.Millisecond}
	d := New(c)
	t.Cleanup(d.Close)
	return &bench{d, t, c, city, store}
}

func (b *bench) on(id string) {
	b.t.Helper()
	if f, err := b.SwitchOn(b.t.Context(), id, "page", false); err != nil || !f.On || f.Sentence != "" {
		b.t.Fatalf("%+v, %v", f, err)
	}
}

func (b *bench) off(id string) {
	b.t.Helper()
	if f, err := b.SwitchOff(id); err != nil || f.On {
		b.t.Fatalf("%+v, %v", f, err)
	}
}

// await waits until a switch says something that contains a text.
func (b *bench) await(id, text string) {
	b.t.Helper()
	var f xray.Fault
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		for _, f = range b.Faults() {
			if f.ID == id && strings.Contains(f.Sentence, text) {
				return
			}
		}
	}
	b.t.Fatalf("%s never said %q; it says %q", id, text, b.find(id).show().Sentence)
}

func TestDroppedConnectionsAreLostAndReplaced(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 50 {
		roundTrip(t, dial(t, b.lines.Riders), "GET /v1/ws")
	}
	b.on("drop")
	for b.lines.Riders.Connections() == 50 {
		time.Sleep(time.Millisecond)
	}
	b.city.set(func(c *fakeCity) { c.phones.Lost, c.phones.Resumed = 7, 5 })
	b.await("drop", "7 lost, 5 are back")

	b.off("drop")
	b.await("drop", "of 7 lost ones 5 were resumed")
	b.city.set(func(c *fakeCity) { c.phones.Resumed = 7 })
	b.await("drop", "of 7 lost ones 7 were resumed")
}

func TestTheDelayIsOnBothLinesOfPhonesUntilItIsOff(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn := dial(t, b.lines.Drivers)
	b.on("delay")
	roundTrip(t, conn, "may be as fast as before")
	if took := roundTrip(t, conn, "hello"); took < 2*delayEachWay {
		t.Errorf("a round trip took %v", took)
	}
	b.city.set(func(c *fakeCity) { c.phones.P50Ms = 101.5 })
	b.await("delay", "take 101.5 ms from driver to rider, were 1.0 ms")

	b.off("delay")
	b.city.set(func(c *fakeCity) { c.phones.P50Ms = 1.1 })
	b.await("delay", "took 1.1 ms")
}

func TestAllPhonesAreCutOffForAMoment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rider, driver := dial(t, b.lines.Riders), dial(t, b.lines.Drivers)
	roundTrip(t, rider, "hello")
	roundTrip(t, driver, "hello")
	b.on("disconnect")
	awaitEnd(t, rider)
	awaitEnd(t, driver)
	expectRefusal(t, b.lines.Riders)
	b.city.set(func(c *fakeCity) { c.phones.Lost, c.phones.Resumed = 2, 2 })

	b.await("disconnect", "2 of 2 are back")
	roundTrip(t, dial(t, b.lines.Riders), "hello")
}

func TestASlowPhoneIsToldLate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn := dial(t, b.lines.Riders)
	roundTrip(t, conn, "GET /v1/ws")
	b.on("slow_phone")
	roundTrip(t, conn, "may be as fast as before")
	if _, err := conn.Write(make([]byte, 10*slowRate)); err != nil {
		t.Fatal(err)
	}
	b.await("slow_phone", "what it is told waits ")
	b.off("slow_phone")
	b.await("slow_phone", "has arrived")
}

func TestAServerThatIsAwayRefusesUntilItIsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for id, c := range map[string]struct {
		line            *Line
		set             func(city *fakeCity, backlog int)
		away, back, end string
	}{
		"redis_away": {b.lines.Redis, func(c *fakeCity, n int) { c.rows = n }, "214 rows wait in the outbox",
			"of 214 rows 3 still wait", "Redis is back; 214 rows told in "},
		"provider_down": {b.lines.Provider, func(c *fakeCity, n int) { c.unpaid = n }, "214 payments wait after 1 failed call",
			"of 214 payments 3 still wait", "The provider is back; 214 payments made in "},
	} {
		conn := dial(t, c.line)
		roundTrip(t, conn, "hello")
		b.on(id)
		awaitEnd(t, conn)
		expectRefusal(t, c.line)
		b.city.set(func(city *fakeCity) { c.set(city, 214) })
		b.await(id, c.away)

		b.off(id)
		roundTrip(t, dial(t, c.line), "hello")
		b.city.set(func(city *fakeCity) { c.set(city, 3) })
		b.await(id, c.back)
		b.city.set(func(city *fakeCity) { c.set(city, 0) })
		b.await(id, c.end)
	}
}

func TestALockedFileTakesNoWritesAndIsRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.on("database_away")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.store.CheckWritable(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a write while the file is locked: %v", err)
	}
	if _, _, err := b.store.Backlog(t.Context()); err != nil {
		t.Errorf("a read while the file is locked: %v", err)
	}
	b.await("database_away", "no commit for ")

	b.off("database_away")
	if err := b.store.CheckWritable(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
	b.await("database_away", "The database commits again")
}
