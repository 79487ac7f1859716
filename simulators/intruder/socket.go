package intruder

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/wire"
)

const (
	dialWithin  = 3 * time.Second
	answersWait = 3 * time.Second // for all answers to a batch
)

func socketAttempts() []attempt {
	return []attempt{
		{"another's trip on the socket, as a driver, each frame twice", foreignCommands("driver")},
		{"another's trip on the socket, as a rider, each frame twice", foreignCommands("rider")},
		{"garbage positions", func(i *intruder, ctx context.Context, v *visit) {
			i.exchange(ctx, v, "driver", garbage(v.target))
			i.exchange(ctx, v, "rider", garbage(v.target))
		}},
		{"wrong tokens on the socket", func(i *intruder, ctx context.Context, v *visit) {
			for _, token := range append(forged(i.own["rider"], v.target), "") {
				i.knock(ctx, v, hello(token, v.target))
			}
		}},
		{"a command before hello", func(i *intruder, ctx context.Context, v *visit) {
			for _, f := range commands(v.target) {
				i.knock(ctx, v, f)
			}
		}},
	}
}

func foreignCommands(role string) func(*intruder, context.Context, *visit) {
	return func(i *intruder, ctx context.Context, v *visit) {
		var twice []*wire.ClientFrame
		for _, f := range commands(v.target) {
			if role == "driver" && f.GetSetAvailable() != nil || role == "rider" && f.GetWatchArea() != nil {
				continue // it may
			}
			twice = append(twice, f, f)
		}

		for len(twice) > 0 { // a phone may have 16 commands waiting
			n := min(14, len(twice))
			i.exchange(ctx, v, role, twice[:n])
			twice = twice[n:]
		}
	}
}

// commands are all that act on a trip, and those that only the other role may
// send. They are in nobody's interest.
func commands(t Target) []*wire.ClientFrame {
	here := &wire.Point{Lng: 3.4, Lat: 6.5}
	frames := []*wire.ClientFrame{
		{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: t.Trip, Step: wire.Step_ARRIVE}}},
		{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: t.Trip, Step: wire.Step_START}}},
		{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: t.Trip, Step: wire.Step_COMPLETE}}},
		{Body: &wire.ClientFrame_CancelTrip{CancelTrip: &wire.CancelTrip{TripId: t.Trip, Reason: Text}}},
		{Body: &wire.ClientFrame_SendChat{SendChat: &wire.SendChat{TripId: t.Trip, Text: Text}}},
		{Body: &wire.ClientFrame_Sos{Sos: &wire.Sos{TripId: t.Trip, Text: Text}}},
		{Body: &wire.ClientFrame_AnswerOffer{AnswerOffer: &wire.AnswerOffer{OfferId: t.Trip, Accept: true}}},
		{Body: &wire.ClientFrame_AnswerOffer{AnswerOffer: &wire.AnswerOffer{OfferId: uuid.NewString(), Accept: true}}},
		{Body: &wire.ClientFrame_SetAvailable{SetAvailable: &wire.SetAvailable{Available: true}}},
		{Body: &wire.ClientFrame_WatchArea{WatchArea: &wire.WatchArea{Center: here, RadiusM: 1e9}}},
		{Body: &wire.ClientFrame_Typing{Typing: &wire.Typing{TripId: t.Trip}}},
		{Body: &wire.ClientFrame_PositionAck{PositionAck: &wire.PositionAck{N: math.MaxUint32}}},
	}

	for _, f := range frames {
		f.Id = uuid.NewString()
	}

	return frames
}

// garbage are positions that no phone can be at.
func garbage(t Target) (out []*wire.ClientFrame) {
	nan, inf := math.NaN(), math.Inf(1)
	for n, p := range []*wire.Point{nil, {Lng: nan, Lat: nan}, {Lng: inf, Lat: -inf}, {Lng: 181, Lat: 91}, {Lng: 1e300, Lat: 1e-300}, {}} {
		for _, at := range []float64{nan, inf, -1, 0, 1e300} {
			out = append(out, &wire.ClientFrame{Id: t.Trip, Body: &wire.ClientFrame_Fix{Fix: &wire.Fix{Seq: math.MaxUint32 - uint32(n),
				AtMs: at, Point: p, Heading: float32(nan), Speed: float32(inf), Accuracy: -1}}})
		}
	}
	return out
}

// hello claims to have been on the target's trip.
func hello(token string, t Target) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token, Client: "intruder",
		Resume: &wire.Resume{Epoch: uuid.NewString(), TripId: t.Trip}}}}
}

// line is an open socket.
type line struct {
	*websocket.Conn
	codec wire.Codec
}

func (i *intruder) dial(ctx context.Context, v *visit) (*line, error) {
	l := &line{codec: wire.Proto}
	d := websocket.Dialer{HandshakeTimeout: dialWithin, Subprotocols: []string{wire.SubprotocolProto}}
	var err error
	l.Conn, _, err = d.DialContext(ctx, "ws"+strings.TrimPrefix(v.server, "http")+"/v1/ws", nil)
	return l, err
}

func (l *line) send(f *wire.ClientFrame) error {
	data, err := l.codec.Append(nil, f)
	if err == nil {
		err = l.SetWriteDeadline(time.Now().Add(dialWithin))
	}
	if err == nil {
		err = l.WriteMessage(websocket.BinaryMessage, data)
	}
	return err
}

// next is the next frame, or an error when none comes before a time.
func (l *line) next(until time.Time) (*wire.ServerFrame, error) {
	if err := l.SetReadDeadline(until); err != nil {
		return nil, err
	}
	_, data, err := l.ReadMessage()
	if err != nil {
		return nil, err
	}

	f := new(wire.ServerFrame)
	return f, l.codec.Decode(data, f)
}

// enter says hello with a token of the intruder's own.
func (i *intruder) enter(ctx context.Context, v *visit, role string) (*line, bool) {
	l, err := i.dial(ctx, v)
	if err != nil {
		return nil, false
	}

	if err = l.send(hello(i.own[role], v.target)); err == nil {
		var f *wire.ServerFrame
		if f, err = l.next(time.Now().Add(dialWithin)); err == nil {
			w := f.GetWelcome()
			if w == nil || w.Trip != nil || w.UserId != i.who(role) {
				v.foreign(proto.Size(f), "the first frame is %.200v", f)
			}
			return l, true
		}
	}

	_ = l.Close()
	return nil, false
}

func (i *intruder) who(role string) string {
	return map[string]string{"rider": Rider, "driver": Driver}[role]
}

// exchange sends frames and judges all that comes until each command is
// answered, or nothing more does.
func (i *intruder) exchange(ctx context.Context, v *visit, role string, frames []*wire.ClientFrame) {
	l, ok := i.enter(ctx, v, role)
	if !ok {
		v.tried()
		v.Unanswered++
		return
	}
	defer func() { _ = l.Close() }()

	acks := 0
	for _, f := range append(slices.Clip(frames), &wire.ClientFrame{Body: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}}) {
		v.tried()
		if err := l.send(f); err != nil {
			v.Unanswered++
			continue
		}

		switch f.Body.(type) {
		case *wire.ClientFrame_Fix, *wire.ClientFrame_Typing, *wire.ClientFrame_PositionAck, *wire.ClientFrame_WatchArea,
			*wire.ClientFrame_Ping:
			// nobody answers, but the ping after all of them
		default:
			acks++
		}
	}

	i.listen(l, v, acks)
}

// listen judges what comes until a pong and so many answers have come, or
// nothing does any more.
func (i *intruder) listen(l *line, v *visit, acks int) {
	pong := false
	for until := time.Now().Add(answersWait); acks > 0 || !pong; {
		f, err := l.next(until)
		if err != nil {
			break
		}
		if i.judge(v, f) {
			acks--
		}
		pong = pong || f.GetPong() != nil
	}

	v.Unanswered += max(acks, 0)
}

// judge says whether a frame is an answer, and counts what it tells.
func (i *intruder) judge(v *visit, f *wire.ServerFrame) (answer bool) {
	switch b := f.Body.(type) {
	case *wire.ServerFrame_Ack:
		if b.Ack.Code == "" {
			v.accepted("%.200v", b.Ack)
		} else {
			v.Refused++
		}

		if b.Ack.Trip != nil || b.Ack.ChatSeq != 0 {
			v.foreign(proto.Size(f), "%.200v", f)
		}
		return true
	case *wire.ServerFrame_Pong, *wire.ServerFrame_Cars: // anybody may know
	default:
		v.foreign(proto.Size(f), "%.200v", f)
	}

	return false
}

// knock sends a first frame that opens nothing.
func (i *intruder) knock(ctx context.Context, v *visit, first *wire.ClientFrame) {
	v.tried()
	l, err := i.dial(ctx, v)
	if err != nil {
		v.Unanswered++
		return
	}
	defer func() { _ = l.Close() }()

	if err := l.send(first); err != nil {
		v.Unanswered++
		return
	}

	f, err := l.next(time.Now().Add(answersWait))
	for ; err == nil; f, err = l.next(time.Now().Add(answersWait)) {
		if f.GetWelcome() != nil {
			v.accepted("welcome as %s %s", f.GetWelcome().Role, f.GetWelcome().UserId)
		}
		i.judge(v, f)
		if len(v.Rows) > 0 {
			return
		}
	}

	if websocket.IsCloseError(err, wire.CloseNoAuth, wire.ClosePolicy, wire.CloseTooBig, wire.CloseBadFrame, wire.CloseBadData) {
		v.Refused++
	} else {
		v.Unanswered++
	}
}
