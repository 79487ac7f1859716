package gateway

import (
	"bufio"
	"cmp"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/ridehail/ridehail/wire"
)

// Limits bound what one phone, and all phones together, may ask of a node. Zero
// values take the defaults in brackets.
type Limits struct {
	Sockets int // open at the same time [50,000]
	// sockets opened; who comes faster is told when to come back [1,000]
	JoinsPerSec float64
	JoinBurst   int // [1,000]
	// of one rider; the next is refused [5]. A driver's next socket replaces
	// the last
	RiderSockets int
	Message      int64 // bytes of one message from a phone [4,096]
	// from one phone; more for longer than Burst ends the socket [100]
	FramesPerSec float64
	Burst        int // [200]
	// read from one phone; what comes faster waits in the network [64 Ki]
	BytesPerSec int
	// [5 s]
	HelloWithin time.Duration
	// of silence [20 s]
	PingAfter time.Duration
	// then the phone is gone [60 s]
	SilentFor time.Duration
	Queue     int // ordered messages that wait for one slow phone [256]
	Commands  int // of one phone that wait for their turn [16]
	// [5 s]
	CommandWithin time.Duration
	AreaMetres    float64 // the widest area of cars a rider may watch [20,000]
	AreaCars      int     // [200]
}

func (l Limits) withDefaults() Limits {
	l.Sockets = cmp.Or(l.Sockets, 50_000)
	l.JoinsPerSec = cmp.Or(l.JoinsPerSec, 1000)
	l.JoinBurst = cmp.Or(l.JoinBurst, 1000)
	l.RiderSockets = cmp.Or(l.RiderSockets, 5)
	l.Message = cmp.Or(l.Message, 4<<10)
	l.FramesPerSec = cmp.Or(l.FramesPerSec, 100)
	l.Burst = cmp.Or(l.Burst, 200)
	l.BytesPerSec = cmp.Or(l.BytesPerSec, 64<<10)
	l.HelloWithin = cmp.Or(l.HelloWithin, 5*time.Second)
	l.PingAfter = cmp.Or(l.PingAfter, 20*time.Second)
	l.SilentFor = cmp.Or(l.SilentFor, time.Minute)
	l.Queue = cmp.Or(l.Queue, 256)
	l.Commands = cmp.Or(l.Commands, 16)
	l.CommandWithin = cmp.Or(l.CommandWithin, 5*time.Second)
	l.AreaMetres = cmp.Or(l.AreaMetres, 20_000)
	l.AreaCars = cmp.Or(l.AreaCars, 200)
	return l
}

const (
	// a write that takes longer means the phone does not read
	writeWithin = 5 * time.Second
	// for a close frame to arrive and be answered
	closeWithin   = time.Second
	extensions    = 12 // of a read deadline at most, in the time it allows
	readBuffer    = 1024
	historySize   = 200 // chat messages read from the store at once
	drainBatch    = 50
	closeDraining = wire.CloseGoingAway
)

var errDraining = errors.New("the node is stopping")

// throttledConn slows a flood down to a rate by not reading faster. It works
// below the frames, because a flood of empty continuation frames never becomes
// a message that could be counted.
type throttledConn struct {
	net.Conn
	limit  *rate.Limiter
	unpaid int // bytes read and not asked the limiter for
}

func (c *throttledConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b[:min(len(b), readBuffer)])
	if c.unpaid += n; c.unpaid >= readBuffer { // honest phones seldom come here
		if wait := c.limit.ReserveN(time.Now(), c.unpaid).Delay(); wait > 0 {
			// some buffers' worth: 16 ms each at the default rate
			time.Sleep(wait)
		}
		c.unpaid = 0
	}
	return n, err
}

// throttledHijacker puts a throttledConn below the WebSocket library, and a
// small read buffer of ours between the two.
type throttledHijacker struct {
	http.ResponseWriter
	bytesPerSec int
	in          *bufio.Reader
}

func (h *throttledHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if rw.Reader.Buffered() > 0 {
		conn.Close()
		return nil, nil, errors.New("data came before the handshake was complete")
	}

	slow := &throttledConn{Conn: conn, limit: rate.NewLimiter(rate.Limit(h.bytesPerSec), max(h.bytesPerSec, 2*readBuffer))}
	h.in = bufio.NewReaderSize(slow, readBuffer)
	return slow, bufio.NewReadWriter(h.in, rw.Writer), nil
}
