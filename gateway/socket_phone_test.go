package gateway

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// phone is a real client that keeps every frame it gets.
type phone struct {
	t     testing.TB
	c     *testNode
	who   trips.Actor
	codec wire.Codec
	conn  *websocket.Conn
	fixes uint32

	writing sync.Mutex // guards below
	said    [][]byte   // all that was written

	mu    sync.Mutex // guards below
	got   []*wire.ServerFrame
	asked int
	over  error         // why reading ended
	news  chan struct{} // closed and made anew when something above changes
}

const (
	asJSONText = wire.SubprotocolJSON
	asProto    = wire.SubprotocolProto
)

// connectPhone says hello and returns once welcomed.
func (c *testNode) connectPhone(who trips.Actor, subprotocol string, resume *wire.Resume) *phone {
	c.t.Helper()
	p := c.connectUnwelcomed(subprotocol, who)
	p.sendHello(resume)
	p.awaitWelcome()
	return p
}

// connectUnwelcomed opens a phone's socket and starts to read.
func (c *testNode) connectUnwelcomed(subprotocol string, who trips.Actor) *phone {
	c.t.Helper()
	p := c.connectSilent(subprotocol, who)
	p.listen()
	return p
}

// connectSilent opens a phone's socket and reads nothing yet.
func (c *testNode) connectSilent(subprotocol string, who trips.Actor) *phone {
	c.t.Helper()
	codec, ok := wire.CodecFor(subprotocol)
	if !ok {
		codec = wire.JSON
	}
	return &phone{t: c.t, c: c, who: who, codec: codec, conn: c.dialSocket(subprotocol), news: make(chan struct{})}
}

func (p *phone) listen() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.readFrames()
	}()

	p.t.Cleanup(func() {
		p.conn.Close()
		<-done
	})
}

func (p *phone) readFrames() {
	for {
		_, data, err := p.conn.ReadMessage()
		f := new(wire.ServerFrame)
		if err == nil {
			err = p.codec.Decode(data, f)
		}

		p.mu.Lock()
		if err == nil {
			p.got = append(p.got, f)
		} else {
			p.over = err
		}

		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()

		if err != nil {
			return
		}
	}
}

// awaitFrames waits until the frames so far satisfy is.
func (p *phone) awaitFrames(what string, is func(got []*wire.ServerFrame) bool) {
	p.t.Helper()
	end := time.After(patience)
	for {
		p.mu.Lock()
		got, over, news := slices.Clone(p.got), p.over, p.news
		p.mu.Unlock()

		if is(got) {
			return
		}
		if over != nil {
			p.t.Fatalf("%v waits for %s, but the socket ended: %v; got %v", p.who, what, over, got)
		}

		select {
		case <-news:
		case <-end:
			p.t.Fatalf("%v waits for %s; got %v", p.who, what, got)
		}
	}
}

// bodiesOf returns the bodies of one kind so far.
func bodiesOf[T any](got []*wire.ServerFrame) (out []T) {
	for _, f := range got {
		if b, ok := f.Body.(T); ok {
			out = append(out, b)
		}
	}
	return out
}

// awaitBodies waits until there are n bodies of a kind and returns the first n.
func awaitBodies[T any](p *phone, n int) []T {
	p.t.Helper()
	var list []T
	p.awaitFrames(fmt.Sprintf("%d of %T", n, *new(T)), func(got []*wire.ServerFrame) bool {
		list = bodiesOf[T](got)
		return len(list) >= n
	})
	return list[:n]
}

func (p *phone) framesSoFar() []*wire.ServerFrame {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

func (p *phone) awaitWelcome() *wire.Welcome {
	p.t.Helper()
	return awaitBodies[*wire.ServerFrame_Welcome](p, 1)[0].Welcome
}

// awaitEvents waits for n trip events and returns their numbers.
func (p *phone) awaitEvents(n int) []uint32 {
	p.t.Helper()
	awaitBodies[*wire.ServerFrame_TripEvent](p, n)
	return p.eventsSoFar()
}

func (p *phone) eventsSoFar() (seqs []uint32) {
	for _, e := range bodiesOf[*wire.ServerFrame_TripEvent](p.framesSoFar()) {
		seqs = append(seqs, e.TripEvent.Seq)
	}
	return seqs
}

func (p *phone) positionsSoFar() (list []*wire.Position) {
	for _, e := range bodiesOf[*wire.ServerFrame_Position](p.framesSoFar()) {
		list = append(list, e.Position)
	}
	return list
}

// awaitClose waits for the socket's end and returns its code; 0 when it broke
// without one.
func (p *phone) awaitClose() int {
	p.t.Helper()
	end := time.After(patience)
	for {
		p.mu.Lock()
		over, news := p.over, p.news
		p.mu.Unlock()

		var ce *websocket.CloseError
		switch {
		case errors.As(over, &ce) && !errors.Is(over, io.ErrUnexpectedEOF):
			return ce.Code
		case over != nil:
			return 0
		}

		select {
		case <-news:
		case <-end:
			p.t.Fatalf("%v: the socket does not end; got %v", p.who, p.framesSoFar())
		}
	}
}

func (p *phone) writeMessage(kind int, data []byte) {
	p.t.Helper()
	p.writing.Lock()
	defer p.writing.Unlock()
	p.said = append(p.said, data)
	if err := p.conn.WriteMessage(kind, data); err != nil {
		// The test that waits for an answer says more.
		p.t.Logf("%v cannot write: %v", p.who, err)
	}
}

func (p *phone) sendFrame(f *wire.ClientFrame) {
	p.t.Helper()
	data, err := p.codec.Append(nil, f)
	if err != nil {
		p.t.Fatal(err)
	}
	p.writeMessage(p.messageKind(), data)
}

func (p *phone) messageKind() int {
	if p.codec.Text() {
		return websocket.TextMessage
	}
	return websocket.BinaryMessage
}

func (p *phone) sendHello(resume *wire.Resume) {
	p.t.Helper()
	token := testToken(p.t, p.c.auth, p.who.Role, p.who.ID)
	p.sendFrame(&wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token, Client: "test", Resume: resume}}})
}

// acksOf returns the answers to a command so far.
func acksOf(got []*wire.ServerFrame, id string) (list []*wire.Ack) {
	for _, a := range bodiesOf[*wire.ServerFrame_Ack](got) {
		if a.Ack.Id == id {
			list = append(list, a.Ack)
		}
	}
	return list
}

// awaitAck waits for the nth answer to a command.
func (p *phone) awaitAck(id string, n int) *wire.Ack {
	p.t.Helper()
	var list []*wire.Ack
	p.awaitFrames(fmt.Sprintf("answer %d to %q", n, id), func(got []*wire.ServerFrame) bool {
		list = acksOf(got, id)
		return len(list) >= n
	})
	return list[n-1]
}

// askCommand sends a command and waits for its answer; the id may have been
// used before.
func (p *phone) askCommand(id string, f *wire.ClientFrame) *wire.Ack {
	p.t.Helper()
	before := len(acksOf(p.framesSoFar(), id))
	p.sendCommand(id, f)
	return p.awaitAck(id, before+1)
}

func (p *phone) sendCommand(id string, f *wire.ClientFrame) {
	p.t.Helper()
	f = proto.CloneOf(f)
	f.Id = id
	p.sendFrame(f)
}

// mustDo asks under a new id and expects it to be done.
func (p *phone) mustDo(f *wire.ClientFrame) *wire.Ack {
	p.t.Helper()
	p.asked++
	a := p.askCommand(fmt.Sprint("c", p.asked), f)
	if a.Code != "" {
		p.t.Fatalf("%v asked %v: %v", p.who, f, a)
	}
	return a
}

// driveOn moves the clock by a second, sends a fix a little further on, and
// waits until it was judged.
func (p *phone) driveOn() {
	p.t.Helper()
	before := p.c.countFixes("accepted")
	p.c.pass(time.Second)
	p.fixes++
	at := location.Point{Lng: market.Lng + float64(p.fixes)*1e-5, Lat: market.Lat}
	p.sendFrame(fixFrame(at, p.fixes, p.c.now()))
	p.c.awaitCondition("fix believed", func() bool { return p.c.countFixes("accepted") > before })
}

// driveTo drives to a place in legs of 10 s, at 60 m/s at most, and waits until
// each fix was judged. A car that was nowhere yet is there at once.
func (p *phone) driveTo(to location.Point) {
	p.t.Helper()
	for {
		d, _ := p.c.drivers.Get(trips.DriverID(p.who.ID))
		at, left := to, location.MetresBetween(d.Fix.Point, to)
		if part := 600 / left; d.HasPosition() && part < 1 {
			at = location.Point{Lng: d.Fix.Lng + part*(to.Lng-d.Fix.Lng), Lat: d.Fix.Lat + part*(to.Lat-d.Fix.Lat)}
		}

		before := p.c.countFixes("accepted")
		p.c.pass(10 * time.Second)
		p.fixes++
		p.sendFrame(fixFrame(at, p.fixes, p.c.now()))
		p.c.awaitCondition("fix believed", func() bool { return p.c.countFixes("accepted") > before })
		if at == to {
			return
		}
	}
}

// ackPositions acks positions up to n.
func (p *phone) ackPositions(n uint32) {
	p.t.Helper()
	p.sendFrame(&wire.ClientFrame{Body: &wire.ClientFrame_PositionAck{PositionAck: &wire.PositionAck{N: n}}})
}

// awaitHandled waits until everything the phone sent has been handled.
func (p *phone) awaitHandled() {
	p.t.Helper()
	n := len(bodiesOf[*wire.ServerFrame_Pong](p.framesSoFar()))
	p.sendFrame(&wire.ClientFrame{Body: &wire.ClientFrame_Ping{Ping: &wire.Ping{T1Ms: 1}}})
	awaitBodies[*wire.ServerFrame_Pong](p, n+1)
}

// resumePoint is what the phone would say of how far it got.
func (p *phone) resumePoint(trip trips.TripID) *wire.Resume {
	r := &wire.Resume{Epoch: p.awaitWelcome().Epoch, TripId: string(trip)}
	for _, f := range p.framesSoFar() {
		r.TripSeq = max(r.TripSeq, f.GetTripEvent().GetSeq())
		r.ChatSeq = max(r.ChatSeq, f.GetChat().GetSeq())
	}
	return r
}

func fixFrame(at location.Point, seq uint32, when time.Time) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_Fix{Fix: &wire.Fix{Seq: seq, AtMs: wire.ToMillis(when), Point: translate.EncodePoint(at),
		Heading: 90, Speed: 1, Accuracy: 5}}}
}

func availableFrame(yes bool) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_SetAvailable{SetAvailable: &wire.SetAvailable{Available: yes}}}
}

func requestFrame(from, to location.Point) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{
		RequestTrip: &wire.RequestTrip{Pickup: translate.EncodePoint(from), Dropoff: translate.EncodePoint(to)}}}
}

func answerFrame(offer string, accept bool) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_AnswerOffer{
		AnswerOffer: &wire.AnswerOffer{OfferId: offer, Accept: accept}}}
}

func stepFrame(trip trips.TripID, s wire.Step) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: string(trip), Step: s}}}
}

func cancelFrame(trip trips.TripID) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_CancelTrip{
		CancelTrip: &wire.CancelTrip{TripId: string(trip), Reason: "no more"}}}
}

func chatFrame(trip trips.TripID, text string) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_SendChat{SendChat: &wire.SendChat{TripId: string(trip), Text: text}}}
}

func areaFrame(at location.Point, metres float32) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_WatchArea{WatchArea: &wire.WatchArea{Center: translate.EncodePoint(at), RadiusM: metres}}}
}

// forBothEncodings runs a story once with each subprotocol on the rider's side,
// the other one on the driver's.
func forBothEncodings(t *testing.T, story func(t *testing.T, riders, drivers string)) {
	for riders, drivers := range map[string]string{asJSONText: asProto, asProto: asJSONText} {
		t.Run("rider speaks "+strings.TrimPrefix(riders, "ridehail.v1."), func(t *testing.T) { story(t, riders, drivers) })
	}
}

// sameUpTo says whether seqs is from, from+1, …, to.
func sameUpTo(seqs []uint32, from, to uint32) bool {
	for i, s := range seqs {
		if s != from+uint32(i) {
			return false
		}
	}
	return len(seqs) == int(to-from+1)
}
