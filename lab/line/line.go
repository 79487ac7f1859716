// Package line is a TCP line with a delay and with loss. It forwards the
// connections to its own address on loopback, so that both ends are the real
// programs and know nothing of it.
//
// The delay begins when the line has read a chunk, and a chunk is at most one
// packet's load. The handshake of TCP takes no time: opening a connection costs
// a real line one more round trip than this one. Loss is as TCP shows it:
// nothing is missing and the order is kept, but what was lost comes later, and
// everything behind it waits as well (head-of-line blocking).
package line

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// packetLoad is what one packet carries: 1,500 bytes without the headers
	// of IP and TCP.
	packetLoad = 1448
	// maxUnderWay bounds the chunks of one way of a connection. The sender's
	// socket fills up when there are more.
	maxUnderWay = 1024
	dialFor     = 5 * time.Second
)

// Line forwards connections until Close. Its methods may be called from any
// goroutine.
type Line struct {
	// Fixed at creation.
	address, to string
	spec        Spec
	seed        uint64
	listener    net.Listener
	pacer       *pacer // nil: the line has neither delay nor loss
	stopDials   context.CancelFunc
	running     sync.WaitGroup

	connections atomic.Int64
	up, down    counters

	mu     sync.Mutex // guards the fields below
	open   map[*net.TCPConn]struct{}
	closed bool
}

// Open starts to forward from an address of its own on loopback to another
// address. The seed fixes which chunk of each connection is lost.
func Open(to string, spec Spec, seed uint64) (*Line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a line to %s: %w", to, err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	l := &Line{address: listener.Addr().String(), to: to, spec: spec, seed: seed, listener: listener, stopDials: cancel,
		open: map[*net.TCPConn]struct{}{}}
	if spec != (Spec{}) {
		l.pacer = startPacer(spec.Delay)
	}
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
	for conn := range l.open {
		_ = conn.Close()
	}
	l.mu.Unlock()

	if l.pacer != nil {
		l.pacer.stop()
	}
	l.running.Wait()
}

func (l *Line) acceptAll(ctx context.Context) {
	for n := uint64(0); ; n++ {
		conn, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of file descriptors: some may close
			continue
		}
		l.running.Go(func() { l.forwardConn(ctx, conn.(*net.TCPConn), n) })
	}
}

// forwardConn carries one connection both ways until both have ended.
func (l *Line) forwardConn(ctx context.Context, near *net.TCPConn, n uint64) {
	defer near.Close()

	dialer := net.Dialer{Timeout: dialFor}
	conn, err := dialer.DialContext(ctx, "tcp", l.to)
	if err != nil {
		_ = near.SetLinger(0) // the far end refused, and so does the line
		return
	}

	far := conn.(*net.TCPConn)
	defer far.Close()
	if !l.trackConns(near, far) {
		return
	}
	defer l.untrackConns(near, far)

	l.connections.Add(1)
	var ends sync.WaitGroup
	for i, w := range []*way{l.newWay(near, far, &l.up), l.newWay(far, near, &l.down)} {
		w.chance = rand.New(rand.NewPCG(l.seed, 2*n+uint64(i)))
		ends.Go(w.readChunks)
		ends.Go(w.writeChunks)
	}
	ends.Wait()
}

func (l *Line) trackConns(conns ...*net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		l.open[c] = struct{}{}
	}
	return !l.closed
}

func (l *Line) untrackConns(conns ...*net.TCPConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		delete(l.open, c)
	}
}

// way is one direction of a connection.
type way struct {
	// Fixed at creation.
	line     *Line
	from, to *net.TCPConn
	count    *counters
	ready    chan *chunk   // what has arrived; its room is that of all under way
	room     chan struct{} // a token for each chunk under way

	// The reader's.
	chance *rand.Rand
	last   time.Time // when the chunk before arrives
}

// chunk is bytes under way. The last chunk of a way has an err and no bytes.
type chunk struct {
	way   *way
	due   time.Time
	bytes []byte
	err   error
}

func (l *Line) newWay(from, to *net.TCPConn, count *counters) *way {
	return &way{line: l, from: from, to: to, count: count, ready: make(chan *chunk, maxUnderWay+1), room: make(chan struct{}, maxUnderWay)}
}

// readChunks sends chunks on their way until the end of the stream.
func (w *way) readChunks() {
	for {
		w.room <- struct{}{} // the writer takes it out again

		bytes := make([]byte, packetLoad)
		n, err := w.from.Read(bytes)
		if n > 0 {
			w.count.bytes.Add(int64(n))
			w.count.chunks.Add(1)
			w.send(&chunk{way: w, bytes: bytes[:n]})
		}

		if err != nil {
			w.send(&chunk{way: w, err: err})
			return
		}
	}
}

// send gives a chunk its time of arrival. No chunk overtakes another.
func (w *way) send(c *chunk) {
	if w.line.pacer == nil {
		w.ready <- c
		return
	}

	spec := w.line.spec
	c.due = time.Now().Add(spec.Delay)
	if c.err == nil && spec.Loss > 0 {
		late, lost := RetransmitDelay(spec.RoundTrip(), func() bool { return 100*w.chance.Float64() < spec.Loss })
		c.due = c.due.Add(late)
		w.count.lost.Add(int64(lost))
	}

	if !c.due.After(w.last) {
		c.due = w.last.Add(1)
	}
	w.last = c.due
	w.line.pacer.addChunk(c)
}

// writeChunks hands over what arrives. After a failure it only takes what is
// still under way.
func (w *way) writeChunks() {
	for c := range w.ready {
		switch {
		case errors.Is(c.err, io.EOF):
			_ = w.to.CloseWrite() // the other way may go on
			return
		case c.err != nil:
			w.abort()
			return
		}

		if _, err := w.to.Write(c.bytes); err != nil {
			w.abort()
		}
		<-w.room
	}
}

// abort ends both ways, as a reset does.
func (w *way) abort() {
	for _, conn := range []*net.TCPConn{w.to, w.from} {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
}

// Stats counts what a line has carried. Up is towards the address that it leads
// to.
type Stats struct {
	Connections int64 `json:"connections"`
	Up          Count `json:"up"`
	Down        Count `json:"down"`
}

// Count counts one way. Lost is how often a chunk was lost; each arrived later.
type Count struct {
	Bytes  int64 `json:"bytes"`
	Chunks int64 `json:"chunks"`
	Lost   int64 `json:"lost"`
}

// counters are a Count that many goroutines add to.
type counters struct{ bytes, chunks, lost atomic.Int64 }

func (c *counters) read() Count { return Count{c.bytes.Load(), c.chunks.Load(), c.lost.Load()} }

// Stats returns the counts up to now.
func (l *Line) Stats() Stats {
	return Stats{l.connections.Load(), l.up.read(), l.down.read()}
}
