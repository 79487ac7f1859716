package gateway

import (
	"bufio"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// session is one phone's socket. Its reader goroutine owns the connection. Whoever has something to send leaves it in
// the session and then writes, unless someone is writing already, who will find it.
type session struct {
	g     *Gateway
	conn  *websocket.Conn
	in    *bufio.Reader // below conn
	codec wire.Codec
	user  trips.Actor      // set before the session is registered, like until
	seat  sharedstate.Seat // of a driver; set before the reader reads on
	until time.Time        // when the token ends
	pass  auth.Pass        // the token, like user
	code  atomic.Int32
	heard atomic.Int64 // last sign of life, our clock, Unix nanoseconds

	// Of the reader goroutine.
	frames    *rate.Limiter
	extended  time.Time // when the read deadline was moved
	inMessage bool
	watchers  []*session // scratch

	mu      sync.Mutex // guards below; not held while writing to the socket
	writing bool
	queue   []letter // in order
	car     slot
	cars    []byte // the newest cars near the area, encoded
	carsOut bool   // sent and not shown yet
	area    *area
	todo    []command
	working bool
	retires bool // the node is draining: once all is answered, the session ends
	talk    talk
	calls   map[string]call // for help, by the alert's id
	joining bool            // the welcome is not queued yet: news waits in held
	held    []func()        // in order
	left    bool            // not registered any more
}

// slot holds the newest position of the trip's car.
type slot struct {
	driver   trips.DriverID // "" while the phone may see no car
	fix      location.Fix
	received time.Time
	fresh    bool   // not sent yet
	comms    bool   // the phone was told that the driver is silent
	heard    uint32 // positions that came for this phone
	sent     uint32
	acked    uint32
}

// overwritten counts positions the phone never saw because a newer one came.
func (c *slot) overwritten() uint32 {
	n := c.heard - c.sent
	if c.fresh {
		n--
	}
	return n
}

// area is where a rider looks at cars.
type area struct {
	centre location.Point
	metres float64
}

// send queues an ordered frame and sees that it is written, by a goroutine of its own if need be, so that the caller
// never waits for a slow phone.
func (s *session) send(f *wire.ServerFrame) {
	if s.push(f, outcomeSent) {
		s.g.spawn(s.flush)
	}
}

// push queues an ordered frame; true when nobody is writing, so that the caller must see to it.
func (s *session) push(f *wire.ServerFrame, how outcome) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pushLocked(f, how)
}

func (s *session) pushLocked(f *wire.ServerFrame, how outcome) bool {
	of := classOf(f)
	if s.code.Load() != 0 {
		s.count(of, outcomeGone)
		return false // nobody will read it
	}
	data, err := s.codec.Append(nil, f)
	if err != nil {
		s.g.cfg.Log.Error("a frame cannot be encoded", "user", s.user, "err", err)
		return false
	}
	if len(s.queue) >= s.g.cfg.Limits.Queue {
		s.count(of, outcomeSlow)
		s.end(wire.CloseSlow, "you read too slowly: come back and resume")
		return false
	}
	s.queue = append(s.queue, letter{data, of, how})
	return !s.writing
}

// reply queues an ordered frame and writes it now; only for goroutines of this session.
func (s *session) reply(f *wire.ServerFrame) {
	if s.push(f, outcomeSent) {
		s.flush()
	}
}

func (s *session) ack(a *wire.Ack) { s.reply(&wire.ServerFrame{Body: &wire.ServerFrame_Ack{Ack: a}}) }

// moved takes a position of the trip's car and writes it at once when there is credit. Nobody waits here for a slow
// phone: with credit in hand the socket's buffer has room.
func (s *session) moved(id trips.DriverID, fix location.Fix, received time.Time) {
	s.mu.Lock()
	if id != s.car.driver {
		s.mu.Unlock()
		return // the ride is over by now
	}
	missed, heard := s.car.overwritten(), s.car.heard
	fresh := s.car.take(fix, received)
	if s.car.overwritten() > missed {
		s.count(classPosition, outcomeOverwritten)
	} else if s.car.heard == heard {
		s.count(classPosition, outcomeDuplicate)
	}
	if !fresh {
		s.mu.Unlock()
		return
	}
	back := s.car.comms
	s.car.comms = false
	trip := s.talk.trip
	write := !s.writing && s.car.ready()
	s.mu.Unlock()
	if back {
		s.send(commsFrame(trip, id, false, 0))
	}
	if write {
		s.flush()
	}
}

// follow makes the slot another car's, or nobody's. What was not sent yet never will be.
func (c *slot) follow(id trips.DriverID) {
	*c = slot{driver: id, heard: c.heard, sent: c.sent, acked: c.acked}
}

// take keeps the newest position; false when there is nothing new to send.
func (c *slot) take(fix location.Fix, received time.Time) bool {
	if fix.At.Equal(c.fix.At) {
		return false // told twice
	}
	c.heard++
	if fix.At.Before(c.fix.At) {
		return false // overtaken on the way here
	}
	c.fix, c.received, c.fresh = fix, received, true
	return true
}

// ready says whether a position may be sent.
func (c *slot) ready() bool { return c.fresh && c.sent-c.acked < credit }

// credited takes the phone's word for what it has shown.
func (s *session) credited(n uint32) {
	s.mu.Lock()
	if n > s.car.acked && n <= s.car.sent {
		s.g.m.ledger[classPosition][outcomeShown].Add(float64(n - s.car.acked))
		s.car.acked = n
	}
	write := !s.writing && s.car.ready()
	s.mu.Unlock()
	if write {
		s.flush()
	}
}

// outgoing is what encoding one position needs.
type outgoing struct {
	buf   []byte
	frame wire.ServerFrame
	body  wire.ServerFrame_Position
	pos   wire.Position
	point wire.Point
}

var outgoings = sync.Pool{New: func() any {
	o := new(outgoing)
	o.frame.Body, o.body.Position, o.pos.Point = &o.body, &o.pos, &o.point
	return o
}}

// flush writes whatever may go, until nothing may; at once when someone else is at it. The welcome goes first.
func (s *session) flush() {
	o := outgoings.Get().(*outgoing)
	defer outgoings.Put(o)
	s.mu.Lock()
	if s.writing || s.joining {
		s.mu.Unlock()
		return
	}
	s.writing = true
	for s.code.Load() == 0 {
		l, ok := s.nextLocked(o)
		if !ok {
			break
		}
		s.mu.Unlock()
		err := s.write(l.data)
		if err == nil {
			s.written(l)
		}
		s.mu.Lock()
		if err != nil {
			s.count(l.of, outcomeGone)
			s.failLocked()
		}
	}
	s.writing = false
	retires := s.retires
	s.mu.Unlock()
	if retires {
		s.maybeRetire()
	}
}

// retire ends the session of a draining node once the commands under way are answered. The phone sends again, to another
// node, what it had no answer to.
func (s *session) retire() {
	s.mu.Lock()
	s.retires = true
	s.mu.Unlock()
	s.maybeRetire()
}

func (s *session) maybeRetire() {
	s.mu.Lock()
	done := s.retires && !s.working && !s.writing && len(s.queue) == 0
	s.mu.Unlock()
	if done {
		s.end(closeDraining, "the node is stopping: come back")
	}
}

// nextLocked takes the next message to write: what is ordered first, then the car, then the cars.
func (s *session) nextLocked(o *outgoing) (l letter, ok bool) {
	switch {
	case len(s.queue) > 0:
		l = s.queue[0]
		if s.queue = s.queue[1:]; len(s.queue) == 0 {
			s.queue = nil
		}
		return l, true
	case s.car.ready():
		data := s.positionLocked(o)
		return letter{data, classPosition, outcomeSent}, data != nil
	case s.cars != nil && !s.carsOut:
		l = letter{s.cars, classCars, outcomeSent}
		s.cars, s.carsOut = nil, true
		return l, true
	}
	return l, false
}

// written books a message and asks for a sign that a list of cars was read.
func (s *session) written(l letter) {
	s.count(l.of, l.how)
	if l.of == classCars {
		s.pingForCars()
	}
}

func (s *session) positionLocked(o *outgoing) []byte {
	c := &s.car
	c.sent++
	c.fresh = false
	now := s.g.cfg.Now()
	p := &o.pos
	p.N, p.DriverId, p.Seq, p.Overwritten = c.sent, string(c.driver), c.fix.Seq, c.overwritten()
	p.AtMs, p.ReceivedMs, p.SentMs = wire.Millis(c.fix.At), wire.Millis(c.received), wire.Millis(now)
	p.Heading, p.Speed = c.fix.Heading, c.fix.Speed
	o.point.Lng, o.point.Lat = c.fix.Lng, c.fix.Lat
	s.g.m.hop.Observe(now.Sub(c.received).Seconds())
	data, err := s.codec.Append(o.buf[:0], &o.frame)
	if err != nil {
		s.g.cfg.Log.Error("a position cannot be encoded", "driver", c.driver, "err", err)
		s.count(classPosition, outcomeGone)
		return nil
	}
	o.buf = data
	return data
}

func (s *session) write(data []byte) error {
	kind := websocket.BinaryMessage
	if s.codec.Text() {
		kind = websocket.TextMessage
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeWithin)) // always nil
	return s.conn.WriteMessage(kind, data)
}

// failLocked ends a session that cannot be written to: the connection is lost, or the phone does not read.
func (s *session) failLocked() {
	s.code.CompareAndSwap(0, wire.CloseSlow)
	s.conn.Close() // the reader notices, and leaves
}

func (s *session) refuse(id string, err error) {
	code, text := translate.Error(err)
	s.ack(&wire.Ack{Id: id, Code: string(code), Message: text})
}

func commsFrame(trip trips.TripID, driver trips.DriverID, lost bool, age time.Duration) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Comms{Comms: &wire.Comms{
		TripId: string(trip), DriverId: string(driver), Lost: lost, AgeS: float32(age.Seconds())}}}
}
