package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// escapeAll is a frame's JSON with each character of each value as an escape,
// which is as long as JSON gets without needless spaces: 6 bytes for a letter,
// 12 for an emoji.
func escapeAll(t *testing.T, f proto.Message) []byte {
	t.Helper()
	plain, err := wire.JSON.Append(nil, f)
	var fields map[string]any
	if err == nil {
		err = json.Unmarshal(plain, &fields)
	}
	if err != nil {
		t.Fatal(err)
	}
	return []byte(escapeValue(fields))
}

func escapeValue(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for name, inner := range v {
			parts = append(parts, fmt.Sprintf("%q:%s", name, escapeValue(inner)))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case string:
		var out strings.Builder
		for _, r := range v {
			if r > 0xffff {
				r -= 0x10000
				fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			} else {
				fmt.Fprintf(&out, `\u%04x`, r)
			}
		}
		return `"` + out.String() + `"`
	}
	data, _ := json.Marshal(v)
	return string(data)
}

// largestFrames are the largest legal frames of each body: every id and text as
// long as the page allows, every number as long as it gets.
func largestFrames() map[string]*wire.ClientFrame {
	id, emoji := strings.Repeat("i", translate.MaxID), func(n int) string { return strings.Repeat("😀", n) }
	token := strings.Repeat("t", auth.MaxToken)
	p := &wire.Point{Lng: -179.12345678901234, Lat: -89.123456789012345}
	frames := map[string]*wire.ClientFrame{}
	for _, f := range []*wire.ClientFrame{
		{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token, Client: strings.Repeat("c", 200),
			Resume: &wire.Resume{Epoch: id, TripId: id, TripSeq: math.MaxUint32, ChatSeq: math.MaxUint32}}}},
		{Body: &wire.ClientFrame_Fix{Fix: &wire.Fix{Seq: math.MaxUint32, AtMs: 1795442000000.1234, Point: p, Heading: 123.45678, Speed: 12.345678, Accuracy: 12.345678}}},
		{Body: &wire.ClientFrame_PositionAck{PositionAck: &wire.PositionAck{N: math.MaxUint32}}},
		{Body: &wire.ClientFrame_SetAvailable{SetAvailable: &wire.SetAvailable{Available: true}}},
		{Body: &wire.ClientFrame_AnswerOffer{AnswerOffer: &wire.AnswerOffer{OfferId: id, Accept: true}}},
		{Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{Pickup: p, Dropoff: p, Quote: token}}},
		{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: id, Step: wire.Step_COMPLETE}}},
		{Body: &wire.ClientFrame_CancelTrip{CancelTrip: &wire.CancelTrip{TripId: id, Reason: strings.Repeat("r", translate.MaxReason)}}},
		{Body: &wire.ClientFrame_SendChat{SendChat: &wire.SendChat{TripId: id, Text: emoji(chat.MaxRunes)}}},
		{Body: &wire.ClientFrame_Typing{Typing: &wire.Typing{TripId: id}}},
		{Body: &wire.ClientFrame_WatchArea{WatchArea: &wire.WatchArea{Center: p, RadiusM: 12345.678}}},
		{Body: &wire.ClientFrame_Ping{Ping: &wire.Ping{T1Ms: 1795442000000.1234}}},
		{Body: &wire.ClientFrame_Sos{Sos: &wire.Sos{TripId: id, Text: emoji(sos.MaxRunes)}}},
	} {
		f.Id = id
		m := f.ProtoReflect()
		frames[string(m.WhichOneof(m.Descriptor().Oneofs().ByName("body")).Name())] = f
	}
	return frames
}

func TestNoLegalFrameIsTooLarge(t *testing.T) {
	largest, frames := 0, largestFrames()
	bodies := new(wire.ClientFrame).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range bodies.Len() {
		f := frames[string(bodies.Get(i).Name())]
		if f == nil {
			t.Fatalf("no frame with %s is tried", bodies.Get(i).Name())
		}

		binary, err := wire.Proto.Append(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		for codec, data := range map[wire.Codec][]byte{wire.Proto: binary, wire.JSON: escapeAll(t, f)} {
			largest = max(largest, len(data))
			if len(data) > maxMessage {
				t.Errorf("%s has %d bytes", bodies.Get(i).Name(), len(data))
			}
			if got := new(wire.ClientFrame); codec.Decode(data, got) != nil || !proto.Equal(got, f) {
				t.Errorf("%s comes back as %v", bodies.Get(i).Name(), got)
			}
		}
	}

	if largest < maxMessage/2 {
		t.Errorf("the largest has %d bytes: the limit is far over it", largest)
	}
	t.Logf("the largest legal frame has %d bytes", largest)
}

// The longest chat message goes through with each codec, and reaches the other
// phone as it was.
func TestAThousandEmojiAreSaid(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		r := newReservedRide(t, newTestNode(t, nil), riders, drivers)
		for i, text := range []string{strings.Repeat("😀", chat.MaxRunes), strings.Repeat("ش", chat.MaxRunes)} {
			f := chatFrame(r.trip, text)
			f.Id = strings.Repeat("m", translate.MaxID-1) + fmt.Sprint(i)
			data, err := wire.Proto.Append(nil, f)
			if err != nil {
				t.Fatal(err)
			}
			if r.rider.codec.Text() {
				data = escapeAll(t, f)
			}
			r.rider.writeMessage(r.rider.messageKind(), data)

			if ack := r.rider.awaitAck(f.Id, 1); ack.Code != "" {
				t.Errorf("%d bytes: %v", len(data), ack)
			}
			if heard := awaitBodies[*wire.ServerFrame_Chat](r.driver, i+1)[i].Chat; heard.Text != text {
				t.Errorf("the driver heard %d bytes", len(heard.Text))
			}
		}
	})
}

func TestATooLargeMessageIsToldHowLargeOneMayBe(t *testing.T) {
	for _, limit := range []int64{0, 500} {
		c := newTestNode(t, func(cfg *Config) { cfg.Limits.Message = limit })
		limit = c.g.cfg.Limits.Message
		for name, greet := range map[string]bool{"before hello": false, "after hello": true} {
			p := c.connectUnwelcomed(asJSONText, trips.Rider("r"))
			if greet {
				p.sendHello(nil)
				p.awaitWelcome()
				p.writeMessage(websocket.TextMessage, []byte(`{"ping":{}}`+strings.Repeat(" ", int(limit)-11)))
				awaitBodies[*wire.ServerFrame_Pong](p, 1) // as large as may be
			}
			before := c.countDrops("too_big")
			p.writeMessage(websocket.TextMessage, []byte(strings.Repeat(" ", int(limit)+1)))

			code := p.awaitClose()
			closed := new(websocket.CloseError)
			if want := fmt.Sprintf("a message has at most %d bytes: send less", limit); code != wire.CloseTooBig || !errors.As(p.over, &closed) || closed.Text != want {
				t.Errorf("%s: %d, %v", name, code, p.over)
			}
			if c.countDrops("too_big") != before+1 {
				t.Errorf("%s: counted %d times", name, c.countDrops("too_big")-before)
			}
		}
	}
}

// What HTTP takes is smaller: the longest text is a reason, and tokens are of
// characters that no encoder escapes.
func TestNoLegalRequestIsTooLarge(t *testing.T) {
	c := newTestNode(t, nil)
	id := c.openTrip("r")
	reason := escapeValue(map[string]any{"reason": strings.Repeat("r", translate.MaxReason)})
	if w := c.callHTTP(trips.Rider("r"), "POST", "/v1/trips/"+string(id)+"/cancel", reason); w.Code != 200 {
		t.Errorf("a cancellation of %d bytes: %d %s", len(reason), w.Code, w.Body)
	}

	quote := fmt.Sprintf(`{"pickup":{"lng":%[1]v,"lat":%[2]v},"dropoff":{"lng":%[1]v,"lat":%[2]v},"quote":%[3]q}`,
		-179.12345678901234, -89.123456789012345, strings.Repeat("q", auth.MaxToken))
	if w := c.callHTTP(trips.Rider("r"), "POST", "/v1/quotes", quote); strings.Contains(w.Body.String(), "too_large") {
		t.Errorf("a request of %d bytes: %d %s", len(quote), w.Code, w.Body)
	}
}
