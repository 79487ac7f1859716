package wire

import (
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
)

func FuzzDecodeJSON(f *testing.F) { fuzzDecode(f, JSON) }

func FuzzDecodeProto(f *testing.F) { fuzzDecode(f, Proto) }

// fuzzDecode decodes anything as each kind of frame. What is accepted means the
// same once more encoded and decoded.
func fuzzDecode(f *testing.F, codec Codec) {
	point := &Point{Lng: 3.38, Lat: 6.45}
	for _, seed := range []proto.Message{
		&ClientFrame{Body: &ClientFrame_Hello{Hello: &Hello{Token: "t", Resume: &Resume{Epoch: "e", TripSeq: 3}}}},
		&ClientFrame{Body: &ClientFrame_Fix{Fix: &Fix{Seq: 1, AtMs: 1.5e12, Point: point, Heading: 90, Speed: 8}}},
		&ClientFrame{Id: "c", Body: &ClientFrame_MoveTrip{MoveTrip: &MoveTrip{TripId: "t", Step: Step_COMPLETE}}},
		&ServerFrame{Body: &ServerFrame_TripEvent{TripEvent: &TripEvent{Seq: 1, Trip: &Trip{Fare: &Money{Minor: 1}}}}},
		&ServerFrame{Body: &ServerFrame_Cars{Cars: &Cars{Cars: []*Car{{Id: "d", Point: point}, {}}}}},
		&Fleet{Node: "n", Cars: []*FleetCar{{DriverId: "d", Fix: &Fix{Point: point}}}},
	} {
		data, err := codec.Append(nil, seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}

	f.Add([]byte(`{"ping":{"t1_ms":"NaN"}}`))
	f.Add([]byte(`{"move_trip":{"step":99}}`))
	f.Add([]byte("\x0a\x01\xff"))

	f.Fuzz(func(t *testing.T, data []byte) {
		for kind, empty := range frames {
			first := empty()
			if codec.Decode(data, first) != nil {
				if id := codec.FindID(data); !utf8.ValidString(id) {
					t.Fatalf("%s: the id of %q is %q", kind, data, id)
				}
				if codec.FindFault(data, first.ProtoReflect().Descriptor()) == "" {
					t.Fatalf("%s: %q has no fault", kind, data)
				}
				continue
			}

			again, err := codec.Append(nil, first)
			if err != nil {
				t.Fatalf("%s: %q decodes as %v, which cannot be encoded: %v", kind, data, first, err)
			}

			second := empty()
			if err := codec.Decode(again, second); err != nil || !proto.Equal(first, second) {
				t.Fatalf("%s: %q decodes as %v, then as %v, %v", kind, data, first, second, err)
			}
		}
	})
}
