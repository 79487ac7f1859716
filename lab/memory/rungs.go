package memory

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// band is what an answer has to pass: only memory, another goroutine, the
// kernel, or the disk.
type band string

const (
	inMemory  band = "memory"
	byChannel band = "channel"
	byKernel  band = "kernel"
	byDisk    band = "disk"
)

// rung is one way to get one answer.
type rung struct {
	name  string
	band  band
	sizes []int // of answers, in bytes; 0 alone: the app's own answer
	batch int   // answers that are timed together
	read  func(size int) error
	// readAway is read over a line with a delay; nil: this rung has none.
	readAway func() error
}

// Names of the rungs.
const (
	snapRung    = "atomic snapshot"
	mutexRung   = "Mutex"
	rwMutexRung = "RWMutex"
	appRung     = "app's sharedstate"
	ownerRung   = "owner goroutine"
	unixRung    = "Unix socket"
	tcpRung     = "TCP"
	socketRung  = "WebSocket"
	rpcRung     = "Connect RPC"
	httpRung    = "HTTP + JSON"
	redisRung   = "Redis"
	sqliteRung  = "SQLite read"
	commitRung  = "durable commit"

	realRedisRung = "Redis server"
	postgresRung  = "Postgres read"
)

// usualRungs are those without servers of a person's own, from the ground up.
var usualRungs = []struct {
	name string
	band band
}{
	{snapRung, inMemory}, {mutexRung, inMemory}, {rwMutexRung, inMemory}, {appRung, inMemory}, {ownerRung, byChannel},
	{unixRung, byKernel}, {tcpRung, byKernel}, {socketRung, byKernel}, {rpcRung, byKernel}, {httpRung, byKernel}, {redisRung, byKernel},
	{sqliteRung, byKernel}, {commitRung, byDisk},
}

// Batches are long enough for the clock, and short enough that most pass without
// a pause.
const memoryBatch, channelBatch = 1000, 100

// memoryRungs returns the rungs within one process: a snapshot that is
// replaced and never changed, copies under two kinds of lock, the app's own
// map of drivers, and a goroutine that owns the positions.
func (r *ladderRig) memoryRungs() []rung {
	positions := map[int][]byte{}
	var snapshot atomic.Pointer[map[int][]byte]
	for _, size := range r.answerSizes() {
		positions[size] = make([]byte, size)
	}
	snapshot.Store(&positions)

	var plain sync.Mutex
	var shared sync.RWMutex
	copied := make([]byte, r.answerSizes()[1])
	return []rung{
		{name: snapRung, band: inMemory, sizes: r.answerSizes(), batch: memoryBatch, read: func(size int) error {
			r.seen = (*snapshot.Load())[size]
			return nil
		}},
		{name: mutexRung, band: inMemory, sizes: r.answerSizes(), batch: memoryBatch, read: func(size int) error {
			plain.Lock()
			copy(copied, positions[size])
			plain.Unlock()
			return nil
		}},
		{name: rwMutexRung, band: inMemory, sizes: r.answerSizes(), batch: memoryBatch, read: func(size int) error {
			shared.RLock()
			copy(copied, positions[size])
			shared.RUnlock()
			return nil
		}},
		r.appStateRung(),
		r.ownerRung(positions),
	}
}

// marina is where the one driver of the ladder stands.
var marina = location.Point{Lng: 3.39, Lat: 6.45}

func (r *ladderRig) appStateRung() rung {
	const driver = trips.DriverID("dayo")
	drivers := sharedstate.NewDrivers(sharedstate.DriverOptions{})
	drivers.Connect(driver, "ladder")
	drivers.Move(driver, location.Fix{Point: marina, At: time.Now()})
	return rung{name: appRung, band: inMemory, sizes: []int{0}, batch: memoryBatch, read: func(int) error {
		known, ok := drivers.Get(driver)
		if !ok || known.Fix.Point != marina {
			return errWrongAnswer
		}
		return nil
	}}
}

// ownerRung asks a goroutine that owns the positions. Each answer is a copy,
// as the owner goes on changing its own.
func (r *ladderRig) ownerRung(positions map[int][]byte) rung {
	type question struct {
		size int
		into []byte
	}
	questions, answers := make(chan question), make(chan int)
	r.onClose(func() error { close(questions); return nil })
	r.running.Go(func() {
		for q := range questions {
			answers <- copy(q.into, positions[q.size])
		}
	})

	into := make([]byte, r.answerSizes()[1])
	return rung{name: ownerRung, band: byChannel, sizes: r.answerSizes(), batch: channelBatch, read: func(size int) error {
		questions <- question{size, into}
		if n := <-answers; n != size {
			return errWrongAnswer
		}
		return nil
	}}
}
