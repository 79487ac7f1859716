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
	// All phones together. A phone that connects when the node is full, or too
	// fast, is told when to come back.
	Sockets     int     // open at the same time [50,000]
	JoinsPerSec float64 // sockets opened a second [1,000]
	JoinBurst   int     // sockets opened at once [1,000]

	// One user. A rider's next socket is refused; a driver's next one replaces
	// the last.
	RiderSockets int // [5]

	// What comes from one phone.
	//
	// bytes of one message; a longer one ends the socket [16,384]
	Message      int64
	FramesPerSec float64 // more for longer than Burst ends the socket [100]
	Burst        int     // frames at once [200]
	BytesPerSec  int     // what comes faster waits in the network [64 Ki]
	Commands     int     // that wait for their turn; more are refused [16]

	// How long one phone may take, and a command of it.
	//
	// from the connection to the first message [5 s]
	HelloWithin   time.Duration
	PingAfter     time.Duration // of silence [20 s]
	SilentFor     time.Duration // until the phone counts as gone [60 s]
	CommandWithin time.Duration // [5 s]

	// What goes to one phone.
	Queue      int     // ordered messages that wait; more end the socket [256]
	AreaMetres float64 // the widest area of cars a rider may watch [20,000]
	AreaCars   int     // cars in one list [200]
}

func (l Limits) withDefaults() Limits {
	l.Sockets = cmp.Or(l.Sockets, 50_000)
	l.JoinsPerSec = cmp.Or(l.JoinsPerSec, 1000)
	l.JoinBurst = cmp.Or(l.JoinBurst, 1000)
	l.RiderSockets = cmp.Or(l.RiderSockets, 5)
	l.Message = cmp.Or(l.Message, maxMessage)
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

// maxMessage holds the largest message that keeps to the protocol. In JSON with
// everything as escapes, a chat message of 1,000 emoji (12 bytes each) and two
// ids of 64 bytes (6 for each) has 12,818 bytes, and a hello with a token of
// 2,048 bytes 14,761. In protobuf the largest has 4,200.
const maxMessage = 16 << 10

const (
	writeWithin   = 5 * time.Second // a slower write: the phone does not read
	closeWithin   = time.Second     // for a close frame to be answered
	extensions    = 12              // of a read deadline, within SilentFor
	readBuffer    = 1024            // bytes
	historySize   = 200             // chat messages read from the store at once
	drainBatch    = 50              // sessions ended without a pause
	closeDraining = wire.CloseGoingAway
)

var errDraining = errors.New("the node is stopping")

// throttledConn slows a flood down to a rate by not reading faster. It works
// below the frames, because a flood of empty continuation frames never becomes
// a message that could be counted.
type throttledConn struct {
	net.Conn
	limit  *rate.Limiter
	unpaid int // bytes read for which the limiter was not asked yet
}

func (c *throttledConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b[:min(len(b), readBuffer)])
	// seldom, for a phone that keeps to the rules
	if c.unpaid += n; c.unpaid >= readBuffer {
		if wait := c.limit.ReserveN(time.Now(), c.unpaid).Delay(); wait > 0 {
			time.Sleep(wait) // 16 ms for each buffer at the default rate
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
