package wire

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"
)

var codecs = map[string]Codec{"json": JSON, "proto": Proto}

// frames makes an empty frame of each kind that travels.
var frames = map[string]func() proto.Message{
	"client": func() proto.Message { return new(ClientFrame) },
	"server": func() proto.Message { return new(ServerFrame) },
	"fleet":  func() proto.Message { return new(Fleet) },
}

// fillRandom sets a random choice of a message's fields to random values, at
// any depth.
func fillRandom(t *rapid.T, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.ContainingOneof() != nil || !rapid.Bool().Draw(t, "set "+string(f.Name())) {
			continue
		}
		setRandom(t, m, f)
	}

	oneofs := m.Descriptor().Oneofs()
	for i := range oneofs.Len() {
		bodies := oneofs.Get(i).Fields()
		if n := rapid.IntRange(0, bodies.Len()).Draw(t, "body"); n < bodies.Len() {
			setRandom(t, m, bodies.Get(n))
		}
	}
}

func setRandom(t *rapid.T, m protoreflect.Message, f protoreflect.FieldDescriptor) {
	switch {
	case f.IsList():
		list := m.Mutable(f).List()
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			fillRandom(t, list.AppendMutable().Message())
		}
	case f.Kind() == protoreflect.MessageKind:
		fillRandom(t, m.Mutable(f).Message())
	default:
		m.Set(f, randomScalar(t, f))
	}
}

func randomScalar(t *rapid.T, f protoreflect.FieldDescriptor) protoreflect.Value {
	label := string(f.Name())
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.String().Draw(t, label))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, label))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, label))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(rapid.Float64().Draw(t, label))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(rapid.Float32().Draw(t, label))
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(rapid.IntRange(0, values.Len()-1).Draw(t, label)).Number())
	}

	t.Fatalf("field %s has the kind %s: teach this test", f.FullName(), f.Kind())
	return protoreflect.Value{}
}

func TestEveryFrameComesBackAsItWentInBothCodecs(t *testing.T) {
	for kind, empty := range frames {
		t.Run(kind, rapid.MakeCheck(func(t *rapid.T) {
			sent := empty()
			fillRandom(t, sent.ProtoReflect())

			for name, codec := range codecs {
				data, err := codec.Append([]byte("before"), sent)
				if err != nil || string(data[:6]) != "before" {
					t.Fatalf("%s: encode: %v", name, err)
				}

				got := empty()
				if err := codec.Decode(data[6:], got); err != nil {
					t.Fatalf("%s: decode %q: %v", name, data[6:], err)
				}
				if !proto.Equal(sent, got) {
					t.Fatalf("%s: sent %v, got %v", name, sent, got)
				}
			}
		}))
	}
}

// A client that was written from the schema file alone, without our generated
// code, must understand each frame.
func TestFramesReadWithTheSchemaAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := new(ServerFrame)
		fillRandom(t, sent.ProtoReflect())

		data, err := JSON.Append(nil, sent)
		if err != nil {
			t.Fatal(err)
		}

		stranger := dynamicpb.NewMessage(sent.ProtoReflect().Descriptor())
		if err := JSON.Decode(data, stranger); err != nil {
			t.Fatal(err)
		}

		back, err := proto.Marshal(stranger)
		if err != nil {
			t.Fatal(err)
		}

		got := new(ServerFrame)
		if err := Proto.Decode(back, got); err != nil || !proto.Equal(sent, got) {
			t.Fatalf("sent %v, got %v, %v", sent, got, err)
		}
	})
}

func TestJSONSpeaksTheNamesOfTheSchema(t *testing.T) {
	data, err := JSON.Append(nil, &ClientFrame{Id: "c1", Body: &ClientFrame_MoveTrip{
		MoveTrip: &MoveTrip{TripId: "t1", Step: Step_ARRIVE}}})
	if err != nil {
		t.Fatal(err)
	}

	got := strings.ReplaceAll(string(data), " ", "")
	if want := `{"id":"c1","move_trip":{"trip_id":"t1","step":"ARRIVE"}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestWhatIsNotOneWholeFrameIsRefused(t *testing.T) {
	valid, err := Proto.Append(nil, &ClientFrame{Id: "c1", Body: &ClientFrame_Ping{Ping: &Ping{T1Ms: 1}}})
	if err != nil {
		t.Fatal(err)
	}

	deep := strings.Repeat(`{"hello":`, 50) + "{}" + strings.Repeat("}", 50)
	for name, c := range map[string]struct {
		codec Codec
		data  string
	}{
		"empty text":                {JSON, ""},
		"not an object":             {JSON, "[]"},
		"null and more":             {JSON, "null null"},
		"unknown field":             {JSON, `{"nonsense":1}`},
		"unknown field inside":      {JSON, `{"ping":{"t1_ms":1,"nonsense":1}}`},
		"two bodies":                {JSON, `{"ping":{},"typing":{}}`},
		"the same field twice":      {JSON, `{"id":"a","id":"b"}`},
		"trailing object":           {JSON, `{"ping":{}}{}`},
		"trailing text":             {JSON, `{"ping":{}} x`},
		"text that is not UTF-8":    {JSON, "{\"id\":\"\xff\"}"},
		"half a surrogate":          {JSON, `{"id":"\ud800"}`},
		"deep nesting":              {JSON, deep},
		"number out of range":       {JSON, `{"position_ack":{"n":4294967296}}`},
		"negative count":            {JSON, `{"position_ack":{"n":-1}}`},
		"number too large":          {JSON, `{"ping":{"t1_ms":1e999}}`},
		"unknown step":              {JSON, `{"move_trip":{"step":"FLY"}}`},
		"text where a number is":    {JSON, `{"ping":{"t1_ms":"soon"}}`},
		"half a binary frame":       {Proto, string(valid[:len(valid)-1])},
		"trailing byte":             {Proto, string(valid) + "\x00"},
		"binary that is not UTF-8":  {Proto, "\x0a\x01\xff"},
		"unknown binary field":      {Proto, string(valid) + "\xa2\x06\x01x"},
		"unknown field in a body":   {Proto, "\x6a\x03\xa0\x06\x01"},
		"text sent as binary":       {Proto, `{"ping":{}}`},
		"wrong type of a field":     {Proto, "\x08\x01"},
		"length beyond the message": {Proto, "\x0a\x7fabc"},
	} {
		if err := c.codec.Decode([]byte(c.data), new(ClientFrame)); err == nil {
			t.Errorf("%s: %q was accepted", name, c.data)
		}
	}
}

// What a newer node sends is read as far as an older phone knows it.
func TestAReceiverMaySkipWhatANewerSenderAdded(t *testing.T) {
	newer := map[string][2][]byte{ // a known body with an unknown field, an unknown body
		"json": {[]byte(`{"ack":{"id":"c1","hint":{"a":[1,{}]},"code":"slow_down"},"trace":"x"}`), []byte(`{"fireworks":{"n":1}}`)},
		"proto": {
			protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), protowire.AppendString(protowire.AppendTag(
				[]byte("\n\x02c1\x12\tslow_down"), 900, protowire.BytesType), "hint")),
			protowire.AppendBytes(protowire.AppendTag(nil, 901, protowire.BytesType), []byte{8, 1}),
		},
	}
	for name, codec := range codecs {
		known, unknown := newer[name][0], newer[name][1]
		for _, data := range [][]byte{known, unknown} {
			if err := codec.Decode(data, new(ServerFrame)); err == nil {
				t.Errorf("%s: the strict decoder takes %q", name, data)
			}
		}

		f := new(ServerFrame)
		if err := codec.DecodeKnown(known, f); err != nil || f.GetAck().GetId() != "c1" || f.GetAck().GetCode() != "slow_down" {
			t.Errorf("%s: %v, %v", name, f, err)
		}
		f = new(ServerFrame)
		if err := codec.DecodeKnown(unknown, f); err != nil || f.Body != nil {
			t.Errorf("%s: %v, %v", name, f, err)
		}
		if err := codec.DecodeKnown(known[:len(known)-1], f); err == nil {
			t.Errorf("%s: half a frame is taken", name)
		}
	}
}

func TestSubprotocolsNameTheirCodecs(t *testing.T) {
	for name, want := range map[string]Codec{SubprotocolJSON: JSON, SubprotocolProto: Proto} {
		if codec, ok := CodecFor(name); !ok || codec != want || codec.Text() != (codec == JSON) {
			t.Errorf("%s: %v, %v", name, codec, ok)
		}
	}

	if codec, ok := CodecFor("ridehail.v2.json"); ok || codec != nil {
		t.Errorf("a subprotocol that is not ours got %v", codec)
	}
}
