package events

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/store/faulty"
)

// runSimulation runs a story once for each seed in fake time, and logs how much
// virtual time that was. seeds is the number of runs unless the environment
// asks for more.
func runSimulation(t *testing.T, seeds uint64, tell func(w *simWorld)) {
	first, n := faulty.Seeds(t, seeds)
	var virtual, commands atomic.Int64
	began := time.Now()

	t.Run("seed", func(t *testing.T) {
		for seed := first; seed < first+n; seed++ {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, seed)
					tell(w)
					virtual.Add(int64(time.Since(w.began)))
					commands.Add(w.close())
				})
			})
		}
	})

	hours, real := time.Duration(virtual.Load()).Hours(), time.Since(began)
	t.Logf("%d seeds, %.1f virtual hours, %d commands to Redis in %s: %.0f virtual hours a second",
		n, hours, commands.Load(), real.Round(time.Millisecond), hours/real.Seconds())
}

// simWorld is one Redis and the machines that reach it over connections that
// fail. Only the code under test is real.
type simWorld struct {
	t     *testing.T
	seed  uint64
	began time.Time
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup
	mini  *miniredis.Miniredis

	mu  sync.Mutex // guards all below
	rng *rand.Rand
	// skew is how far Redis's clock is off.
	skew    time.Duration
	flush   int       // after so many more commands Redis forgets all; 0: not
	flushed time.Time // when it last did
	// seen is called with every command before it is carried out, without
	// locks.
	seen     func(cmd string, _ []string)
	commands int64
	broken   []string
}

func newWorld(t *testing.T, seed uint64) *simWorld {
	w := &simWorld{t: t, seed: seed, began: time.Now(), rng: rand.New(rand.NewPCG(seed, 7)), mini: miniredis.NewMiniRedis(),
		seen: func(string, []string) {}}
	w.ctx, w.stop = context.WithCancel(t.Context())

	conn, err := w.mini.Dial() // starts the server
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	w.mini.Server().SetPreHook(w.beforeCommand)
	return w
}

// close ends the simulation, reports the violations and returns the number of
// commands.
func (w *simWorld) close() int64 {
	w.stop()
	w.wg.Wait()
	w.mini.Close()
	for _, b := range w.broken {
		w.t.Errorf("seed %d: %s", w.seed, b)
	}
	return w.commands
}

// reportViolation notes a broken promise. Only the first five are kept.
func (w *simWorld) reportViolation(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.broken) < 5 {
		w.broken = append(w.broken, time.Since(w.began).String()+": "+what)
	}
}

// beforeCommand runs before each command, also between those of one pipeline.
// It ignores the commands of a script: they are one step with it, and the
// server is locked while they run.
func (w *simWorld) beforeCommand(from *server.Peer, cmd string, args ...string) bool {
	if of := reflect.ValueOf(from.Ctx); of.IsValid() && of.Elem().FieldByName("nested").Bool() {
		return false
	}

	w.mu.Lock()
	w.commands++
	seen := w.seen

	if w.flush == 1 {
		w.flushed = time.Now()
		// The clock moves on, so that new entries of a stream do not get the
		// ids of the old ones.
		w.skew += time.Millisecond
		w.mini.FlushAll()
	}

	w.flush = max(0, w.flush-1)
	w.mini.SetTime(time.Now().Add(w.skew))
	w.mu.Unlock()

	seen(cmd, args)
	return false
}

// scheduleFlush makes Redis lose everything soon, perhaps in the middle of a
// pipeline.
func (w *simWorld) scheduleFlush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush = 1 + w.rng.IntN(12)
}

func (w *simWorld) lastFlush() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flushed
}

func (w *simWorld) jumpClock(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew += by
}

func (w *simWorld) drawChance(p float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.Float64() < p
}

func (w *simWorld) drawNumber(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

func (w *simWorld) drawBetween(from, to time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return from + time.Duration(w.rng.Int64N(int64(to-from)))
}

// machine is where one process runs. It can be paused, cut off, and given bad
// connections.
type machine struct {
	w    *simWorld
	name string
	ctx  context.Context
	kill context.CancelFunc
	r    *Redis
	work sync.WaitGroup

	mu          sync.Mutex // guards all below
	pausedUntil time.Time  // stopped until then
	cutUntil    time.Time  // cut off until then
	faultRate   float64    // the part of all requests that something happens to
	lines       map[*flakyConn]bool
}

func (w *simWorld) bootMachine(name string) *machine {
	m := &machine{w: w, name: name, lines: map[*flakyConn]bool{}}
	m.ctx, m.kill = context.WithCancel(w.ctx)
	m.r = newRedis(address{options: redis.Options{Dialer: m.dialRedis}}, []Option{WithLog(slog.New(slog.DiscardHandler))})
	w.wg.Go(func() {
		<-m.ctx.Done()
		m.work.Wait()
		_ = m.r.Close()
	})
	return m
}

// startPart starts a part of the process.
func (m *machine) startPart(part func(context.Context) error) {
	m.work.Go(func() { _ = part(m.ctx) }) // the context's error
}

// crash ends the process without deregistering anything.
func (m *machine) crash() {
	m.cutLines(1000 * time.Hour)
	m.shutDown()
}

// shutDown ends the process as SIGTERM does.
func (m *machine) shutDown() { m.kill() }

// pauseFor pauses the process. What it sends or receives waits, and then
// happens all the same.
func (m *machine) pauseFor(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pausedUntil = laterOf(m.pausedUntil, time.Now().Add(d))
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// waitUntilWell ends the machine's faults and waits until it runs and is
// connected.
func (m *machine) waitUntilWell() {
	m.mu.Lock()
	m.faultRate = 0
	d := time.Until(laterOf(m.pausedUntil, m.cutUntil))
	m.mu.Unlock()
	time.Sleep(d)
}

func (m *machine) isPaused() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Before(m.pausedUntil)
}

// waitWhilePaused is called by everything that enters or leaves the process. It
// returns whether it waited.
func (m *machine) waitWhilePaused() (was bool) {
	for {
		m.mu.Lock()
		d := time.Until(m.pausedUntil)
		m.mu.Unlock()
		if d <= 0 {
			return was
		}
		was = true
		time.Sleep(d)
	}
}

// cutLines makes all connections carry nothing any more without ending them,
// and refuses new ones until d is over.
func (m *machine) cutLines(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cutUntil = laterOf(m.cutUntil, time.Now().Add(d))
	for l := range m.lines {
		l.dead.Store(true)
	}
}

func (m *machine) setFaultRate(bad float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faultRate = bad
}

func (m *machine) dialRedis(context.Context, string, string) (net.Conn, error) {
	m.mu.Lock()
	away := time.Now().Before(m.cutUntil)
	m.mu.Unlock()

	if away {
		return nil, errReset
	}

	far, err := m.w.mini.Dial()
	if err != nil {
		return nil, err
	}

	l := &flakyConn{Conn: far, m: m}
	m.mu.Lock()
	m.lines[l] = true
	m.mu.Unlock()
	return l, nil
}

var errReset = errors.New("connection reset")

// flakyConn is a connection. One request is written at a time and in one piece.
// Pipelines must stay below 4 KB, the server's buffer, because this pipe has
// none. Subscriptions are not possible here: the library waits for one under a
// lock, and in a synctest bubble no time passes while another goroutine waits
// for that lock.
type flakyConn struct {
	net.Conn
	m    *machine
	dead atomic.Bool // nothing gets through
	deaf atomic.Bool // answers get lost; the first of them ends the line
	late sync.WaitGroup
}

func (l *flakyConn) Write(b []byte) (int, error) {
	if l.m.waitWhilePaused() {
		_ = l.SetWriteDeadline(time.Time{}) // it was on its way already
	}
	l.m.mu.Lock()
	bad := l.m.faultRate
	l.m.mu.Unlock()

	switch {
	case l.dead.Load():
		return len(b), nil
	case bad == 0 || !l.m.w.drawChance(bad):
		return l.Conn.Write(b)
	}

	switch l.m.w.drawNumber(4) {
	case 0: // not done
		l.dead.Store(true)
		return 0, errReset
	case 1: // done, and the answer is lost
		l.deaf.Store(true)
		return l.Conn.Write(b)
	default: // done later, perhaps after the caller gave up
		b = bytes.Clone(b)
		l.late.Go(func() {
			time.Sleep(l.m.w.drawBetween(time.Millisecond, 3*time.Second))
			if !l.dead.Load() {
				_, _ = l.Conn.Write(b)
			}
		})
		return len(b), nil
	}
}

func (l *flakyConn) Read(b []byte) (int, error) {
	for {
		n, err := l.Conn.Read(b)
		l.m.waitWhilePaused()

		switch {
		case err != nil || (!l.dead.Load() && !l.deaf.Load()):
			return n, err
		case l.deaf.Load():
			return 0, errReset
		}
	}
}

// Close lets requests that are under way arrive.
func (l *flakyConn) Close() error {
	l.m.mu.Lock()
	delete(l.m.lines, l)
	l.m.mu.Unlock()
	_ = l.SetReadDeadline(time.Unix(1, 0))

	l.m.w.wg.Go(func() {
		l.late.Wait()
		_ = l.Conn.Close()
	})
	return nil
}
