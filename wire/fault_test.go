package wire

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func findFault(codec Codec, data []byte) string {
	return codec.FindFault(data, new(ClientFrame).ProtoReflect().Descriptor())
}

// faults are messages that are no frames, with the id that can be read and
// what is said of them.
var faultyJSON = []struct{ data, id, fault string }{
	{``, "", `the JSON breaks off after byte 0`},
	{`x`, "", `it is not JSON near byte 0`},
	{`[]`, "", `it is not a JSON object`},
	{`7`, "", `it is not a JSON object`},
	{`{"id":"a","hullo":{}}`, "a", `unknown field "hullo", at byte 10`},
	{`{"hullo":{"id":"b","x":[{}]},"id":"a"}`, "a", `unknown field "hullo", at byte 1`},
	{`{"set_available":{"availible":true},"id":"a"}`, "a", `unknown field "availible" in "set_available", at byte 18`},
	{`{"id":"a","fix":{"point":{"lng":1,"long":2}}}`, "a", `unknown field "long" in "fix.point", at byte 34`},
	{`{"id":"a","fix":{"at_ms":true}}`, "a", `"fix.at_ms" must be a number, at byte 29`},
	{`{"id":"a","fix":{"at_ms":"soon"}}`, "a", `"fix.at_ms" must be a number, at byte 31`},
	{`{"id":"a","fix":{"speed":1e300}}`, "a", `"fix.speed" must be a number, at byte 30`},
	{`{"id":"a","fix":{"point":[3.3,6.4]}}`, "a", `"fix.point" must be an object, at byte 26`},
	{`{"id":"a","fix":{"seq":-1}}`, "a", `"fix.seq" must be a whole number from 0 to 4,294,967,295, at byte 25`},
	{`{"id":"a","fix":{"seq":1.5}}`, "a", `"fix.seq" must be a whole number from 0 to 4,294,967,295, at byte 26`},
	{`{"id":"a","set_available":{"available":"yes"}}`, "a", `"set_available.available" must be true or false, at byte 44`},
	{`{"id":"a","set_available":true}`, "a", `"set_available" must be an object, at byte 30`},
	{`{"id":7,"ping":{}}`, "", `"id" must be a string, at byte 7`},
	{`{"id":"a","move_trip":{"step":"ARIVE"}}`, "a", `"move_trip.step" must be one of ARRIVE, START, COMPLETE, at byte 37`},
	{`{"id":"a","fix":{},"ping":{}}`, "a", `it has two bodies, "fix" and "ping"`},
	{`{"id":"a","id":"b","ping":{}}`, "a", `"id" is there twice`},
	{`{"id":"a","ping":{}}{}`, "a", `something follows the frame, from byte 21 on`},
	{`{"id":"a","ping":{}`, "a", `the JSON breaks off after byte 19`},
	{`{"id":"a","ping":{"t1_ms":}}`, "a", `it is not JSON near byte 25`},
	{`{"id":"a","send_chat":{"text":"cut \ud83d"}}`, "a", `"send_chat.text" has half a character, a surrogate without its pair, before byte 42`},
	{strings.Repeat(`{"fix":`, 100), "", `unknown field "fix" in "fix", at byte 8`},
	{`{"id":"a","` + strings.Repeat("é", 30) + `":1}`, "a", `unknown field "` + strings.Repeat("é", 20) + `…", at byte 10`},
}

var faultyProto = []struct{ data, id, fault string }{
	{"\xff", "", "no field begins at byte 0"},
	{"\x0a\x01a\x1a\x09\x08", "a", "the field at byte 3 breaks off"},
	{"\x0a\x05ab", "", "the field at byte 0 breaks off"},
	{"\x0a\x01a\xfa\x7f\x00", "a", "unknown field 2047, at byte 3"},
	{"\xfa\x7f\x01x\x0a\x01a", "a", "unknown field 2047, at byte 0"},
	{"\x0a\x01a\x2a\x02\x10\x01", "a", `unknown field 2 in "set_available", at byte 5`},
	{"\x0a\x01a\x2a\x02\x0a\x00", "a", `"set_available.available" must be true or false, at byte 5`},
	{"\x0a\x01a\x1a\x02\x10\x01", "a", `"fix.at_ms" must be a number, at byte 5`},
	{"\x0a\x02\xff\xfe", "", `"id" is not UTF-8, at byte 2`},
	{"\x0a\x01a\x52\x03\x12\x01\xff", "a", `"send_chat.text" is not UTF-8, at byte 7`},
	{"\x08\x01\x0a\x01a", "a", `"id" must be a string, at byte 0`},
}

func TestAMessageThatIsNoFrameIsExplainedAndItsIDFound(t *testing.T) {
	for _, c := range faultyJSON {
		testFault(t, JSON, c.data, c.id, c.fault)
	}
	for _, c := range faultyProto {
		testFault(t, Proto, c.data, c.id, c.fault)
	}
}

func testFault(t *testing.T, codec Codec, data, id, fault string) {
	t.Helper()
	if err := codec.Decode([]byte(data), new(ClientFrame)); err == nil {
		t.Errorf("%.80q is a frame", data)
	}
	if got := codec.FindID([]byte(data)); got != id {
		t.Errorf("%.80q: the id is %q, want %q", data, got, id)
	}
	if got := findFault(codec, []byte(data)); got != fault {
		t.Errorf("%.80q: %s\nwant %s", data, got, fault)
	}
}

// Every frame with a byte changed, cut off or added is either a frame still or
// one of which a fault is known.
func TestADamagedFrameHasAFaultWeKnow(t *testing.T) {
	for kind, codec := range codecs {
		t.Run(kind, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				f := new(ClientFrame)
				fillRandom(rt, f.ProtoReflect())
				data, err := codec.Append(nil, f)
				if err != nil || len(data) == 0 {
					return
				}

				at := rapid.IntRange(0, len(data)-1).Draw(rt, "at")
				switch rapid.IntRange(0, 2).Draw(rt, "how") {
				case 0:
					data[at] = rapid.Byte().Draw(rt, "byte")
				case 1:
					data = data[:at]
				case 2:
					data = append(data, rapid.Byte().Draw(rt, "more"))
				}

				if codec.Decode(data, new(ClientFrame)) == nil || codec.Text() && !utf8.Valid(data) {
					return
				}
				if fault := findFault(codec, data); fault == unknownFault {
					rt.Errorf("%q: no fault is found: %v", data, codec.Decode(data, new(ClientFrame)))
				}
			})
		})
	}
}

// A phone of today goes on when a node of tomorrow says more.
func TestAPhoneSkipsWhatItDoesNotKnow(t *testing.T) {
	tomorrow := protowire.AppendTag(nil, 2, protowire.BytesType)
	tomorrow = protowire.AppendBytes(tomorrow, []byte("\x0a\x03r-1\xfa\x7f\x03new"))

	for codec, data := range map[Codec][]byte{
		JSON:  []byte(`{"welcome":{"user_id":"r-1","mood":{"good":true}}}`),
		Proto: tomorrow,
	} {
		var f ServerFrame
		if err := codec.DecodeKnown(data, &f); err != nil || f.GetWelcome().GetUserId() != "r-1" {
			t.Errorf("%q is read as %v, %v", data, &f, err)
		}
		if err := codec.Decode(data, new(ServerFrame)); err == nil {
			t.Errorf("a node takes %q", data)
		}
	}

	for codec, data := range map[Codec]string{JSON: `{"mood":{}}`, Proto: "\xfa\x7f\x00"} {
		var f ServerFrame
		if err := codec.DecodeKnown([]byte(data), &f); err != nil || f.Body != nil || !proto.Equal(&f, new(ServerFrame)) {
			t.Errorf("%q is read as %v, %v", data, &f, err)
		}
		if err := codec.DecodeKnown([]byte("{"), &f); err == nil {
			t.Error(errors.New("half a frame is read"))
		}
	}
}
