package gateway

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func TestWhoBreaksTheRulesIsClosedWithTheReason(t *testing.T) {
	c := newTestNode(t, nil)
	big := []byte(strings.Repeat(" ", maxMessage) + "{}")
	for name, x := range map[string]struct {
		subprotocol string
		kind        int
		data        []byte
		code        int
		drop        string
	}{
		"too big a message":      {asJSONText, websocket.TextMessage, big, wire.CloseTooBig, "too_big"},
		"too big, binary":        {asProto, websocket.BinaryMessage, big, wire.CloseTooBig, "too_big"},
		"text that is not UTF-8": {asJSONText, websocket.TextMessage, []byte("{\"id\":\"\xff\xfe\"}"), wire.CloseBadData, ""},
		"binary to JSON":         {asJSONText, websocket.BinaryMessage, []byte("{}"), wire.CloseBadData, ""},
		"text to protobuf":       {asProto, websocket.TextMessage, []byte("{}"), wire.CloseBadData, ""},
	} {
		p := c.connectPhone(trips.Rider("r"), x.subprotocol, nil)
		before := c.countDrops(x.drop)
		p.writeMessage(x.kind, x.data)
		if code := p.awaitClose(); code != x.code || wire.ShouldReconnect(code) {
			t.Errorf("%s: closed with %d, want %d", name, code, x.code)
		}
		p.conn.Close()
		c.awaitCondition("it is counted", func() bool { return x.drop == "" || c.countDrops(x.drop) == before+1 })
		c.awaitCondition("it is forgotten", func() bool { return c.g.sessions.Len() == 0 })
	}

	for name, raw := range map[string]string{
		"a reserved bit": "\xf1\x80abcd", "no mask": "\x81\x02{}", "a long ping": "\x89\xfe\x00\xffabcd", "an odd opcode": "\x83\x80abcd",
	} {
		p := c.connectPhone(trips.Rider("r"), asJSONText, nil)
		if _, err := p.conn.NetConn().Write([]byte(raw)); err != nil {
			t.Fatal(err)
		}
		if code := p.awaitClose(); code != wire.CloseBadFrame {
			t.Errorf("%s: closed with %d", name, code)
		}
		p.conn.Close()
		c.awaitCondition("it is forgotten", func() bool { return c.g.sessions.Len() == 0 })
	}
}

func TestAFrameWeDoNotKnowIsAnsweredAndForgiven(t *testing.T) {
	c := newTestNode(t, nil)
	for sub, bad := range map[string][]string{
		asJSONText: {"", "x", "[]", `{"id":"a","hullo":{}}`, `{"id":"a","fix":{"seq":-1}}`, `{"id":"a"}`,
			`{"id":"a","fix":{},"ping":{}}`, strings.Repeat(`{"fix":`, 100), `{"id":"a","hello":{}}`},
		asProto: {"\xff", "\x0a\x05ab", "\xfa\x7f\x00", "\x0a\x02\xff\xfe", ""},
	} {
		p := c.connectPhone(trips.Rider(trips.RiderID(sub)), sub, nil)
		kind := websocket.BinaryMessage
		if p.codec.Text() {
			kind = websocket.TextMessage
		}

		for i, data := range bad {
			p.writeMessage(kind, []byte(data))
			if ack := awaitBodies[*wire.ServerFrame_Ack](p, i+1)[i].Ack; ack.Code != string(wire.CodeBadFrame) || ack.Message == "" {
				t.Errorf("%q was answered %v", data, ack)
			}
		}

		p.mustDo(requestFrame(market, airport))
		p.mustDo(cancelFrame(trips.TripID(awaitBodies[*wire.ServerFrame_TripEvent](p, 1)[0].TripEvent.TripId)))
	}
}

func TestTooManyFramesEndTheSocketAndNoOthers(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.FramesPerSec, cfg.Limits.Burst = 5, 10 })
	p, calm := c.connectPhone(trips.Driver("d"), asProto, nil), c.connectPhone(trips.Rider("r"), asJSONText, nil)
	for range 10 {
		p.awaitHandled()
	}
	c.pass(time.Second)
	for range 5 {
		p.awaitHandled()
	}
	p.sendFrame(&wire.ClientFrame{Body: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}})
	if code := p.awaitClose(); code != wire.ClosePolicy || c.countDrops("too_many_frames") != 1 {
		t.Errorf("closed with %d, counted %d", code, c.countDrops("too_many_frames"))
	}

	calm.awaitHandled()
}

// A flood of empty continuation frames never becomes a message, so that nothing
// above the connection can count it.
func TestAFloodOfEmptyFramesIsReadAtThePaceOfOnePhone(t *testing.T) {
	const pace = 8 << 10 // bytes a second
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.BytesPerSec, cfg.Limits.SilentFor = pace, 2*time.Second })
	others := newReservedRide(t, c, asJSONText, asProto)
	flooder := c.connectPhone(trips.Rider("flooder"), asProto, nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start, at := time.Now(), c.readFrom(flooder)
	var flooding sync.WaitGroup
	flooding.Go(func() {
		conn := flooder.conn.NetConn()
		// A message begins and never ends.
		_, err := conn.Write([]byte("\x02\x80abcd"))
		empty := []byte(strings.Repeat("\x00\x80abcd", 1000))
		for err == nil {
			_, err = conn.Write(empty)
		}
	})

	for i := 1; c.countDrops("silent") == 0; i++ {
		// meanwhile the others are served
		others.driver.driveOn()
		others.rider.ackPositions(uint32(i))
		awaitBodies[*wire.ServerFrame_Position](others.rider, i+1)
		time.Sleep(10 * time.Millisecond) // as phones do
	}

	flooding.Wait()
	took, read := time.Since(start), c.readFrom(flooder)-at
	runtime.GC()
	runtime.ReadMemStats(&after)
	if most := pace*(1+took.Seconds()) + readBuffer; float64(read) > most || read < pace {
		t.Errorf("%d bytes were read in %v, at most %.0f wanted", read, took, most)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}

	others.driver.awaitHandled()
}

// What a phone sent before it hung up counts, so its session lasts until that
// is read, at the pace of one phone.
func TestAPhoneThatFloodsAndHangsUpIsForgottenOnceAllIsRead(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.BytesPerSec = 16 << 10 })
	var flooders []*phone
	for range c.g.cfg.Limits.RiderSockets {
		flooders = append(flooders, c.connectPhone(trips.Rider("r"), asProto, nil))
	}
	flooder := flooders[0]
	at := c.readFrom(flooder)

	// Pongs without a ping.
	flood := []byte(strings.Repeat("\x8a\x80abcd", 8<<10))
	if _, err := flooder.conn.NetConn().Write(flood); err != nil {
		t.Fatal(err)
	}

	last := requestFrame(market, airport)
	last.Id = "last"
	flooder.sendFrame(last)
	flooder.conn.Close()
	c.awaitCondition("the session is gone", func() bool { return c.g.sessions.Len() == len(flooders)-1 })
	if read := c.readFrom(flooder) - at; read < int64(len(flood)) {
		t.Errorf("%d bytes of %d were read", read, len(flood))
	}

	c.awaitCondition("what it asked for last is done", func() bool {
		_, err := c.store.ActiveTrip(t.Context(), trips.Rider("r"))
		return err == nil
	})
	c.connectPhone(trips.Rider("r"), asProto, nil) // its place is free again
}

// sendPongs sends pongs without a ping, until stop is called.
func (p *phone) sendPongs() (stop func()) {
	ended := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond):
				_ = p.conn.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Second))
			}
		}
	})

	return func() { close(ended); sending.Wait() }
}

func TestPongsBuyNoTimeForHalfAMessage(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.SilentFor = time.Second })
	// Its pongs are a sign of life.
	quiet := c.connectPhone(trips.Rider("quiet"), asProto, nil)
	half := c.connectPhone(trips.Rider("half"), asProto, nil)

	w, err := half.conn.NextWriter(websocket.BinaryMessage)
	if err != nil {
		t.Fatal(err)
	}

	// Over the client's buffer: a part is sent.
	if _, err := w.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}

	stopQuiet, stopHalf := quiet.sendPongs(), half.sendPongs()
	code := half.awaitClose()
	stopQuiet()
	stopHalf()
	if code != wire.CloseSilent || c.countDrops("silent") != 1 {
		t.Errorf("closed with %d, counted %d", code, c.countDrops("silent"))
	}

	quiet.awaitHandled()
}

func TestASilentPhoneIsPingedAndThenGone(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.SilentFor = 500 * time.Millisecond })
	// Reads nothing, so that it answers no ping.
	p := c.connectSilent(asProto, trips.Driver("d"))
	p.sendHello(nil)
	c.awaitCondition("its silence is counted", func() bool { return c.countDrops("silent") == 1 })
	p.listen()
	if code := p.awaitClose(); code != wire.CloseSilent {
		t.Errorf("closed with %d", code)
	}
}

func TestAPhoneThatOnlyAnswersPingsIsHeard(t *testing.T) {
	c := newTestNode(t, nil)
	answering := c.connectPhone(trips.Driver("d"), asProto, nil)
	heard := func() int64 { return c.g.sessions.All(nil)[0].conn.lastHeard.Load() }
	before := heard()

	c.pass(c.g.cfg.Limits.PingAfter + time.Second)
	c.g.tickSessions()
	c.awaitCondition("its pong is heard", func() bool { return heard() > before })
	answering.awaitHandled()
}

// fillSocket talks to a phone that does not read until the node cannot write to
// it any more; it returns how much was said.
func (r reservedRide) fillSocket(s *session) (said int) {
	r.t.Helper()
	stuck := func() bool {
		s.out.mu.Lock()
		defer s.out.mu.Unlock()
		return len(s.out.queue.frames) > 10
	}

	for !stuck() && said < 10_000 {
		said++
		r.sendChat(trips.Driver("d"), r.trip, fmt.Sprint(said, strings.Repeat(" and so on", 90)))
	}

	return said
}

// slowRide is a ride whose rider's phone does not read.
func slowRide(t *testing.T, c *testNode) (r reservedRide, slow *session) {
	t.Helper()
	r = reservedRide{testNode: c, trip: c.openTrip("r"), driver: c.connectPhone(trips.Driver("d"), asProto, nil)}
	c.moveTrip("d", r.trip, trips.KindReserved)
	r.rider = c.connectSilent(asJSONText, trips.Rider("r"))
	r.rider.sendHello(nil)

	c.awaitCondition("the rider is welcomed", func() bool {
		list := c.g.chatSubscribers.subscribersOf(r.trip)
		for _, s := range list {
			if s.user.Role == trips.RoleRider {
				slow = s
			}
		}
		return slow != nil
	})

	return r, slow
}

func TestAPhoneThatDoesNotReadDelaysNoOther(t *testing.T) {
	c := newTestNode(t, nil)
	r, slow := slowRide(t, c)
	r.fillSocket(slow)
	other := c.openTrip("other")
	driver, rider := c.connectPhone(trips.Driver("od"), asJSONText, nil), c.connectPhone(trips.Rider("other"), asProto, nil)
	c.moveTrip("od", other, trips.KindReserved)
	rider.awaitEvents(1)

	for i := range 10 {
		r.driver.driveOn() // whose rider does not read
		driver.driveOn()
		awaitBodies[*wire.ServerFrame_Position](rider, i+1)
		rider.ackPositions(uint32(i + 1))
		c.g.tickSessions()
	}

	r.driver.mustDo(stepFrame(r.trip, wire.Step_ARRIVE))
}

func TestAPhoneWhoseQueueIsFullComesBackAndMissesNothing(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.Queue = 20 })
	r, slow := slowRide(t, c)
	said := r.fillSocket(slow)
	for !slow.conn.hasEnded() {
		said++
		r.sendChat(trips.Driver("d"), r.trip, fmt.Sprint(said))
	}

	if code := int(slow.conn.code.Load()); code != wire.CloseSlow || !wire.ShouldReconnect(code) || c.countDelivery(classChat, outcomeSlow) == 0 {
		t.Errorf("closed with %d, counted %d", code, c.countDelivery(classChat, outcomeSlow))
	}
	c.awaitCondition("it is gone", func() bool { return len(c.g.sessions.OfUser(trips.Rider("r"), nil)) == 0 })

	// It wakes, reads what the network had kept, and comes back.
	r.rider.listen()
	r.rider.awaitClose()
	at := r.rider.resumePoint(r.trip)
	at.TripSeq = r.rider.awaitWelcome().Trip.Version
	c.moveTrip("d", r.trip, trips.KindArrived)
	c.g.cfg.Limits.Queue = 10_000
	back := c.connectPhone(trips.Rider("r"), asJSONText, at)
	seqs := []uint32{}
	for _, p := range []*phone{r.rider, back} {
		if p == back {
			awaitBodies[*wire.ServerFrame_Chat](back, said-len(seqs))
			back.awaitHandled()
		}
		for _, m := range bodiesOf[*wire.ServerFrame_Chat](p.framesSoFar()) {
			seqs = append(seqs, m.Chat.Seq)
		}
	}

	if !sameUpTo(seqs, 1, uint32(said)) || !sameUpTo(back.awaitEvents(1), 3, 3) {
		t.Errorf("of %d messages %d came, events %v", said, len(seqs), back.eventsSoFar())
	}
}
