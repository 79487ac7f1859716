package memory

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// driverCount is how many drivers the workers visit: a multiple of all numbers
// of locks.
const driverCount = 64

// visitor visits one driver: it waits for the disk (hold) and reads or writes
// the driver's count. It returns false if hold did, which is when the time is
// over.
type visitor func(driver int, write bool, hold func() bool) bool

// way is one way to share the drivers.
type way struct {
	name string
	// mostAtOnce is how many visits the way can have under way. 0: as many as
	// there are workers.
	mostAtOnce int
	open       func() (visit visitor, closeWay func())
}

// Names of the ways without a number of locks.
const (
	sharedLock = "RWMutex"
	copied     = "copy, then wait"
	owned      = "owner goroutine"
)

var lockCounts = []int{1, 4, 16, 64}

func lockWays(v finding.Values) []way {
	var out []way
	for _, n := range lockCounts {
		out = append(out, way{nameLocks(n), n, func() (visitor, func()) { return stripes(n), func() {} }})
	}
	rwMutexBound := 0
	if v.Number("writes") == 100 {
		rwMutexBound = 1
	}
	return append(out, way{sharedLock, rwMutexBound, func() (visitor, func()) { return readersAndWriters(), func() {} }},
		way{copied, 0, func() (visitor, func()) { return snapshot(), func() {} }},
		way{owned, 1, owner})
}

// stripes shares the drivers among n locks. It waits with the lock in its hand,
// which is the mistake.
func stripes(n int) visitor {
	var counts [driverCount]int
	locks := make([]sync.Mutex, n)
	return func(driver int, _ bool, hold func() bool) bool {
		lock := &locks[driver%n]
		lock.Lock()
		defer lock.Unlock()
		counts[driver]++
		return hold()
	}
}

// readersAndWriters has one lock that many readers may hold together.
func readersAndWriters() visitor {
	var counts [driverCount]int
	var lock sync.RWMutex
	return func(driver int, write bool, hold func() bool) bool {
		if write {
			lock.Lock()
			defer lock.Unlock()
			counts[driver]++
			return hold()
		}
		lock.RLock()
		defer lock.RUnlock()
		return counts[driver] >= 0 && hold()
	}
}

// snapshot reads a snapshot that never changes, and waits without a lock. A
// write replaces the snapshot.
func snapshot() visitor {
	var latest atomic.Pointer[[driverCount]int]
	latest.Store(new([driverCount]int))
	var writing sync.Mutex
	return func(driver int, write bool, hold func() bool) bool {
		if seen := latest.Load(); seen[driver] < 0 || !hold() {
			return false
		}
		if write {
			writing.Lock()
			next := *latest.Load()
			next[driver]++
			latest.Store(&next)
			writing.Unlock()
		}
		return true
	}
}

// owner has one goroutine that alone knows the drivers, and is asked by
// messages. It waits as well, so that its mailbox is one more lock.
func owner() (visit visitor, closeWay func()) {
	type message struct {
		driver int
		hold   func() bool
		answer chan bool
	}
	mailbox := make(chan message)
	go func() {
		var counts [driverCount]int
		for m := range mailbox {
			counts[m.driver]++
			m.answer <- m.hold()
		}
	}()
	return func(driver int, _ bool, hold func() bool) bool {
		answer := make(chan bool, 1)
		mailbox <- message{driver, hold, answer}
		return <-answer
	}, func() { close(mailbox) }
}

// appMoves is what the app's own state did: moves a second, by its number of
// locks, which it never holds over a wait.
type appMoves struct{ oneLock, manyLocks float64 }

const (
	appLocks  = 64
	appRounds = 4
	appLength = 40 * time.Millisecond
	appCars   = 20_000
)

// measureApp lets the workers move cars in sharedstate, with one lock and with
// as many as it has, by turns. It keeps the best of each.
func measureApp(ctx context.Context, run *finding.Run) (out appMoves, err error) {
	one, many := newFleet(1), newFleet(appLocks)
	for range appRounds {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		out.oneLock = max(out.oneLock, one.movesPerSecond(run.Int("workers")))
		out.manyLocks = max(out.manyLocks, many.movesPerSecond(run.Int("workers")))
	}
	return out, nil
}

// fleet is cars in the app's own state.
type fleet struct {
	handles []sharedstate.DriverHandle
	fixes   []location.Fix
}

func newFleet(locks int) *fleet {
	drivers := sharedstate.NewDrivers(sharedstate.DriverOptions{Shards: locks})
	rng := rand.New(rand.NewPCG(1, 2))
	f := &fleet{}
	for i := range appCars {
		fix := location.Fix{Point: location.Point{Lng: marina.Lng + rng.Float64()/3, Lat: marina.Lat + rng.Float64()/3},
			At: time.Now().Add(-time.Minute)}
		handle := drivers.Connect(trips.DriverID("driver-"+strconv.Itoa(i)), "lab")
		handle.Move(fix, time.Now())
		f.handles, f.fixes = append(f.handles, handle), append(f.fixes, fix)
	}
	return f
}

// movesPerSecond lets each worker move its own share of the cars.
func (f *fleet) movesPerSecond(workers int) float64 {
	var moves atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for chunk := range slices.Chunk(f.indices(), (appCars+workers-1)/workers) {
		all.Go(func() {
			for n := 0; time.Since(began) < appLength; n += movesAtOnce {
				moves.Add(f.moveSome(chunk, n))
			}
		})
	}
	all.Wait()
	return float64(moves.Load()) / time.Since(began).Seconds()
}

func (f *fleet) indices() []int {
	out := make([]int, len(f.handles))
	for i := range out {
		out[i] = i
	}
	return out
}

const movesAtOnce = 100

// moveSome moves some cars of a chunk a metre on, in an order that caches cannot
// foretell, and returns how many moves were believed.
func (f *fleet) moveSome(cars []int, from int) (moved int64) {
	now := time.Now()
	for n := range movesAtOnce {
		i := cars[(from+n)*7919%len(cars)]
		fix := &f.fixes[i]
		fix.Lng += 0.00001
		fix.At = fix.At.Add(100 * time.Millisecond)
		if refused, _ := f.handles[i].Move(*fix, now); refused == location.Accepted {
			moved++
		}
	}
	return moved
}
