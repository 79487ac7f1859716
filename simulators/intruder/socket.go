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
	dialTimeout   = 3 * time.Second
	answerTimeout = 3 * time.Second // For all answers to a batch.
)

func socketAttempts() []attempt {
	return []attempt{
		{"another's trip on the socket, as a driver, each frame twice", tryForeignCommands("driver")},
		{"another's trip on the socket, as a rider, each frame twice", tryForeignCommands("rider")},
		{"garbage positions", func(i *intruder, ctx context.Context, v *visit) {
			i.exchangeFrames(ctx, v, "driver", garbageFixes(v.target))
			i.exchangeFrames(ctx, v, "rider", garbageFixes(v.target))
		}},
		{"wrong tokens on the socket", func(i *intruder, ctx context.Context, v *visit) {
			for _, token := range append(forgedTokens(i.tokens["rider"], v.target), "") {
				i.tryFirstFrame(ctx, v, helloFrame(token, v.target))
			}
		}},
		{"a command before hello", func(i *intruder, ctx context.Context, v *visit) {
			for _, f := range foreignCommandFrames(v.target) {
				i.tryFirstFrame(ctx, v, f)
			}
		}},
	}
}

// tryForeignCommands returns an attempt that sends each foreign command twice.
func tryForeignCommands(role string) func(*intruder, context.Context, *visit) {
	return func(i *intruder, ctx context.Context, v *visit) {
		var twice []*wire.ClientFrame
		for _, f := range foreignCommandFrames(v.target) {
			if role == "driver" && f.GetSetAvailable() != nil || role == "rider" && f.GetWatchArea() != nil {
				continue // The role may send it.
			}
			twice = append(twice, f, f)
		}

		for len(twice) > 0 { // At most 16 commands of a phone may wait.
			n := min(14, len(twice))
			i.exchangeFrames(ctx, v, role, twice[:n])
			twice = twice[n:]
		}
	}
}

// foreignCommandFrames are all commands that act on a trip, and those that only
// the other role may send. An honest client sends none of them.
func foreignCommandFrames(t Target) []*wire.ClientFrame {
	here := &wire.Point{Lng: 3.4, Lat: 6.5}
	frames := []*wire.ClientFrame{
		{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: t.Trip, Step: wire.Step_ARRIVE}}},
		{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: t.Trip, Step: wire.Step_START}}},
		{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: t.Trip, Step: wire.Step_COMPLETE}}},
		{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: t.Trip, Step: wire.Step_COMPLETE, Early: true}}},
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

// garbageFixes are positions where no phone can be.
func garbageFixes(t Target) (out []*wire.ClientFrame) {
	nan, inf := math.NaN(), math.Inf(1)
	for n, p := range []*wire.Point{nil, {Lng: nan, Lat: nan}, {Lng: inf, Lat: -inf}, {Lng: 181, Lat: 91}, {Lng: 1e300, Lat: 1e-300}, {}} {
		for _, at := range []float64{nan, inf, -1, 0, 1e300} {
			out = append(out, &wire.ClientFrame{Id: t.Trip, Body: &wire.ClientFrame_Fix{Fix: &wire.Fix{Seq: math.MaxUint32 - uint32(n),
				AtMs: at, Point: p, Heading: float32(nan), Speed: float32(inf), Accuracy: -1}}})
		}
	}
	return out
}

// helloFrame claims to have been on the target's trip.
func helloFrame(token string, t Target) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token, Client: "intruder",
		Resume: &wire.Resume{Epoch: uuid.NewString(), TripId: t.Trip}}}}
}

// socket is an open WebSocket. It does not stand on package client, which would
// refuse to send what the intruder must: a command before hello, no hello at
// all, frames without their ids or in the name of others.
type socket struct {
	*websocket.Conn
	codec wire.Codec
}

func (i *intruder) dialSocket(ctx context.Context, v *visit) (*socket, error) {
	l := &socket{codec: wire.Proto}
	d := websocket.Dialer{HandshakeTimeout: dialTimeout, Subprotocols: []string{wire.SubprotocolProto}}
	var err error
	l.Conn, _, err = d.DialContext(ctx, "ws"+strings.TrimPrefix(v.server, "http")+"/v1/ws", nil)
	return l, err
}

func (l *socket) sendFrame(f *wire.ClientFrame) error {
	data, err := l.codec.Append(nil, f)
	if err == nil {
		err = l.SetWriteDeadline(time.Now().Add(dialTimeout))
	}
	if err == nil {
		err = l.WriteMessage(websocket.BinaryMessage, data)
	}
	return err
}

// readFrame returns the next frame, or an error when none comes before until.
func (l *socket) readFrame(until time.Time) (*wire.ServerFrame, error) {
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

// logIn opens a socket with a token of the intruder's own.
func (i *intruder) logIn(ctx context.Context, v *visit, role string) (*socket, bool) {
	l, err := i.dialSocket(ctx, v)
	if err != nil {
		return nil, false
	}

	if err = l.sendFrame(helloFrame(i.tokens[role], v.target)); err == nil {
		var f *wire.ServerFrame
		if f, err = l.readFrame(time.Now().Add(dialTimeout)); err == nil {
			w := f.GetWelcome()
			if w == nil || w.Trip != nil || w.UserId != i.userID(role) {
				v.recordForeign(proto.Size(f), "the first frame is %.200v", f)
			}
			return l, true
		}
	}

	_ = l.Close()
	return nil, false
}

func (i *intruder) userID(role string) string {
	return map[string]string{"rider": Rider, "driver": Driver}[role]
}

// exchangeFrames sends frames, and judges all answers until each command is
// answered or no more answers come.
func (i *intruder) exchangeFrames(ctx context.Context, v *visit, role string, frames []*wire.ClientFrame) {
	l, ok := i.logIn(ctx, v, role)
	if !ok {
		v.countTried()
		v.Unanswered++
		return
	}
	defer func() { _ = l.Close() }()

	acks := 0
	for _, f := range append(slices.Clip(frames), &wire.ClientFrame{Body: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}}) {
		v.countTried()
		if err := l.sendFrame(f); err != nil {
			v.Unanswered++
			continue
		}

		switch f.Body.(type) {
		case *wire.ClientFrame_Fix, *wire.ClientFrame_Typing, *wire.ClientFrame_PositionAck, *wire.ClientFrame_WatchArea,
			*wire.ClientFrame_Ping:
			// These get no ack. The ping after all of them is answered.
		default:
			acks++
		}
	}

	i.readAnswers(l, v, acks)
}

// readAnswers judges frames until a pong and so many acks have come, or until
// answerTimeout.
func (i *intruder) readAnswers(l *socket, v *visit, acks int) {
	pong := false
	for until := time.Now().Add(answerTimeout); acks > 0 || !pong; {
		f, err := l.readFrame(until)
		if err != nil {
			break
		}
		if i.judgeFrame(v, f) {
			acks--
		}
		pong = pong || f.GetPong() != nil
	}

	v.Unanswered += max(acks, 0)
}

// judgeFrame counts what a frame reveals. It reports whether the frame is an
// ack.
func (i *intruder) judgeFrame(v *visit, f *wire.ServerFrame) (answer bool) {
	switch b := f.Body.(type) {
	case *wire.ServerFrame_Ack:
		if b.Ack.Code == "" {
			v.recordAccepted("%.200v", b.Ack)
		} else {
			v.Refused++
		}

		if b.Ack.Trip != nil || b.Ack.ChatSeq != 0 {
			v.recordForeign(proto.Size(f), "%.200v", f)
		}
		return true
	case *wire.ServerFrame_Pong, *wire.ServerFrame_Cars: // Public.
	case *wire.ServerFrame_FixRefused: // About our own fixes.
	default:
		v.recordForeign(proto.Size(f), "%.200v", f)
	}

	return false
}

// tryFirstFrame sends a first frame that must not be accepted.
func (i *intruder) tryFirstFrame(ctx context.Context, v *visit, first *wire.ClientFrame) {
	v.countTried()
	l, err := i.dialSocket(ctx, v)
	if err != nil {
		v.Unanswered++
		return
	}
	defer func() { _ = l.Close() }()

	if err := l.sendFrame(first); err != nil {
		v.Unanswered++
		return
	}

	f, err := l.readFrame(time.Now().Add(answerTimeout))
	for ; err == nil; f, err = l.readFrame(time.Now().Add(answerTimeout)) {
		if f.GetWelcome() != nil {
			v.recordAccepted("welcome as %s %s", f.GetWelcome().Role, f.GetWelcome().UserId)
		}
		i.judgeFrame(v, f)
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
