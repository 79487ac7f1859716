package faults

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// packetLoad is what one packet carries.
	packetLoad = 1448
	// maxUnderWay bounds the chunks of a slow way. The sender's socket fills up
	// when there are more.
	maxUnderWay = 256
)

// pace is how a way carries bytes. The zero pace is as fast as the kernel.
type pace struct {
	delay          time.Duration
	bytesPerSecond int // 0: any number
}

// way is one direction of a connection.
type way struct {
	// Fixed at creation.
	from, to *net.TCPConn

	// waitsSince is when the chunk was read that waits to be written, in Unix
	// nanoseconds; 0 when none does.
	waitsSince atomic.Int64

	mu      sync.Mutex // guards the fields below
	pace    pace
	changed chan struct{} // closed when the pace changes
}

func newWay(from, to *net.TCPConn) *way {
	return &way{from: from, to: to, changed: make(chan struct{})}
}

// setPace changes how bytes are carried from now on. What is under way arrives
// at once, and nothing overtakes it. Bytes that come before the waiting copy
// has woken may still pass at the old pace.
func (w *way) setPace(p pace) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p == w.pace {
		return
	}

	w.pace = p
	close(w.changed)
	w.changed = make(chan struct{})
	_ = w.from.SetReadDeadline(time.Unix(1, 0)) // ends a copy that waits
}

// readPace returns the pace and a channel that is closed when it changes, and
// lets reads wait again.
func (w *way) readPace() (pace, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.from.SetReadDeadline(time.Time{})
	return w.pace, w.changed
}

// passOpening carries the first bytes, and shows them before. A stream without
// any is no error.
func (w *way) passOpening(show func([]byte)) error {
	bytes := make([]byte, openingLimit)
	for {
		pace, changed := w.readPace()
		n, err := w.from.Read(bytes)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return ignoreEOF(err) // carry meets the end again
		}

		show(bytes[:n])
		waitUntil(time.Now().Add(pace.delay), changed)
		_, err = w.to.Write(bytes[:n])
		return err
	}
}

// carry forwards until the end of the stream, which is no error, or a failure.
func (w *way) carry() error {
	for {
		p, changed := w.readPace()
		var err error
		if p == (pace{}) {
			err = copyFast(w.to, w.from)
		} else {
			err = w.carrySlowly(p, changed)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// chunk is bytes under way.
type chunk struct {
	read  time.Time
	bytes []byte
}

// carrySlowly forwards at a pace until it changes, the stream ends or a socket
// fails. It returns when all that it has read is written.
func (w *way) carrySlowly(p pace, changed <-chan struct{}) error {
	underWay, written := make(chan chunk, maxUnderWay), make(chan error, 1)
	go func() { written <- w.writeChunks(underWay, p, changed) }()

	var err error
	for err == nil {
		bytes := make([]byte, packetLoad)
		var n int
		if n, err = w.from.Read(bytes); n > 0 {
			underWay <- chunk{time.Now(), bytes[:n]}
		}
	}

	close(underWay)
	return errors.Join(<-written, ignoreEOF(err))
}

// writeChunks writes what comes when it is due, and at once when the pace has
// changed. After a failure it discards what is left.
func (w *way) writeChunks(underWay <-chan chunk, p pace, changed <-chan struct{}) (failed error) {
	for c := range underWay {
		if failed != nil {
			continue
		}

		w.waitsSince.Store(c.read.UnixNano())
		waitUntil(c.read.Add(p.delay), changed)
		if p.bytesPerSecond > 0 {
			waitUntil(time.Now().Add(time.Second*time.Duration(len(c.bytes))/time.Duration(p.bytesPerSecond)), changed)
		}

		_, failed = w.to.Write(c.bytes)
		if failed != nil {
			_ = w.from.Close() // ends the reader
		}
		w.waitsSince.Store(0)
	}
	return failed
}

// waitUntil waits for a moment, or until a channel is closed.
func waitUntil(at time.Time, cancelled <-chan struct{}) {
	wait := time.Until(at)
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-cancelled:
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
