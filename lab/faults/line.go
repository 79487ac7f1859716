package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	dialTimeout = 5 * time.Second
	// openingLimit bounds the first bytes of a connection that Cut and SlowOne
	// choose by.
	openingLimit = 4 << 10
)

// Line forwards TCP connections from an address of its own on loopback. It can
// be broken while connections are open: cut, closed to new ones, made longer,
// or made narrow for one of them. While nothing of that is on, the kernel moves
// the bytes (splice on Linux). Its methods may be called from any goroutine.
type Line struct {
	// Fixed at creation.
	address, to string
	listener    net.Listener
	stopDials   context.CancelFunc
	running     sync.WaitGroup

	refused atomic.Int64

	mu    sync.Mutex // guards the fields below
	links map[*link]struct{}
	last  uint64 // number of the newest link
	delay time.Duration
	// isAway refuses new connections.
	isAway, closed bool
}

// link is a connection through the line.
type link struct {
	near, far *net.TCPConn
	up, down  *way
	number    uint64 // the newest has the highest

	// Guarded by Line.mu.
	opening string // the first bytes that came
	isSlow  bool
}

// OpenLine starts to forward to an address. The caller must Close the line.
func OpenLine(to string) (*Line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a line to %s: %w", to, err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	l := &Line{address: listener.Addr().String(), to: to, listener: listener, stopDials: cancel, links: map[*link]struct{}{}}
	l.running.Go(func() { l.acceptAll(ctx) })
	return l, nil
}

// Address returns where to connect to.
func (l *Line) Address() string { return l.address }

// Close ends all connections and returns when nothing runs any more.
func (l *Line) Close() {
	l.stopDials()
	l.mu.Lock()
	l.closed = true
	_ = l.listener.Close() // ends acceptAll
	for k := range l.links {
		k.reset()
	}
	l.mu.Unlock()
	l.running.Wait()
}

// Cut resets the connections whose first bytes are chosen, and returns how many
// there were. A nil choose takes all of them.
func (l *Line) Cut(choose func(opening string) bool) (cut int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range l.links {
		if choose == nil || choose(k.opening) {
			k.reset()
			cut++
		}
	}
	return cut
}

// SetAway decides whether new connections are refused. When they are, all that
// are open are cut.
func (l *Line) SetAway(away bool) {
	l.mu.Lock()
	l.isAway = away
	l.mu.Unlock()
	if away {
		l.Cut(nil)
	}
}

// Refused returns how many connections were refused so far.
func (l *Line) Refused() int64 { return l.refused.Load() }

// SetDelay makes all connections longer by a delay each way; 0 ends it.
func (l *Line) SetDelay(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
	for k := range l.links {
		k.up.setPace(pace{delay: delay})
		k.down.setPace(k.downPace(delay))
	}
}

// slowRate is how many bytes a second a slow phone reads.
const slowRate = 30

func (k *link) downPace(delay time.Duration) pace {
	if k.isSlow {
		return pace{delay: delay, bytesPerSecond: slowRate}
	}
	return pace{delay: delay}
}

// SlowOne makes one connection narrow towards the one that opened it: the
// newest whose first bytes are chosen. It does nothing while one is narrow.
func (l *Line) SlowOne(choose func(opening string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()

	var newest *link
	for k := range l.links {
		if k.isSlow {
			return
		}
		if choose(k.opening) && (newest == nil || k.number > newest.number) {
			newest = k
		}
	}
	if newest != nil {
		newest.isSlow = true
		newest.down.setPace(newest.downPace(l.delay))
	}
}

// SlowNone ends what SlowOne began.
func (l *Line) SlowNone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range l.links {
		if k.isSlow {
			k.isSlow = false
			k.down.setPace(k.downPace(l.delay))
		}
	}
}

// LongestWait returns how long the oldest byte has waited that narrow
// connections have not passed on.
func (l *Line) LongestWait() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var longest time.Duration
	for k := range l.links {
		if since := k.down.waitsSince.Load(); k.isSlow && since != 0 {
			longest = max(longest, time.Since(time.Unix(0, since)))
		}
	}
	return longest
}

// Connections returns how many are open.
func (l *Line) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.links)
}

func (l *Line) acceptAll(ctx context.Context) {
	for {
		conn, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of file descriptors: some may close
			continue
		}
		l.running.Go(func() { l.forwardConn(ctx, conn.(*net.TCPConn)) })
	}
}

// forwardConn carries one connection both ways until both have ended.
func (l *Line) forwardConn(ctx context.Context, near *net.TCPConn) {
	defer near.Close()
	far := l.dial(ctx)
	if far == nil {
		_ = near.SetLinger(0)
		return
	}
	defer far.Close()

	k := &link{near: near, far: far, up: newWay(near, far), down: newWay(far, near)}
	if !l.addLink(k) {
		k.reset()
		return
	}
	defer l.removeLink(k)

	var ways sync.WaitGroup
	ways.Go(func() {
		err := k.up.passOpening(func(first []byte) { l.keepOpening(k, first) })
		if err == nil {
			err = k.up.carry()
		}
		k.finish(far, err)
	})
	ways.Go(func() { k.finish(near, k.down.carry()) })
	ways.Wait()
}

// dial returns nil, and counts a refusal, when the far end refuses or the line
// is away.
func (l *Line) dial(ctx context.Context) *net.TCPConn {
	l.mu.Lock()
	away := l.isAway
	l.mu.Unlock()

	if !away {
		dialer := net.Dialer{Timeout: dialTimeout}
		if conn, err := dialer.DialContext(ctx, "tcp", l.to); err == nil {
			return conn.(*net.TCPConn)
		}
	}
	l.refused.Add(1)
	return nil
}

// addLink returns false when the line was closed, or is away, meanwhile.
func (l *Line) addLink(k *link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.isAway {
		l.refused.Add(1)
		return false
	}

	l.last++
	k.number = l.last
	k.up.setPace(pace{delay: l.delay})
	k.down.setPace(pace{delay: l.delay})
	l.links[k] = struct{}{}
	return true
}

func (l *Line) removeLink(k *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.links, k)
}

func (l *Line) keepOpening(k *link, first []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k.opening = string(first)
}

// finish hands the end of one way over: the other way may go on after a proper
// end, and ends with a reset after any other.
func (k *link) finish(to *net.TCPConn, err error) {
	if err == nil {
		_ = to.CloseWrite()
		return
	}
	k.reset()
}

// reset ends both ways at once.
func (k *link) reset() {
	for _, conn := range []*net.TCPConn{k.near, k.far} {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
}

// copyFast lets the kernel move bytes until the end of the stream, which is no
// error.
func copyFast(to, from *net.TCPConn) error {
	_, err := io.Copy(to, from)
	return err
}

// isSocket reports whether a connection is a phone's WebSocket.
func isSocket(opening string) bool { return strings.HasPrefix(opening, "GET /v1/ws") }
