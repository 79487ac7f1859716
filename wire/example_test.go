package wire_test

import (
	"fmt"
	"strings"

	"github.com/ridehail/ridehail/wire"
)

// One frame travels as JSON or in binary, as the WebSocket's subprotocol says.
func ExampleCodec() {
	sent := &wire.ClientFrame{Id: "c1", Body: &wire.ClientFrame_MoveTrip{
		MoveTrip: &wire.MoveTrip{TripId: "trip-1", Step: wire.Step_ARRIVE}}}

	for _, name := range []string{wire.SubprotocolJSON, wire.SubprotocolProto} {
		codec, _ := wire.CodecFor(name)
		data, err := codec.Append(nil, sent)
		if err != nil {
			fmt.Println(err)
			return
		}

		if codec.Text() {
			fmt.Println(strings.ReplaceAll(string(data), " ", ""))
		} else {
			fmt.Println(len(data), "bytes")
		}

		var got wire.ClientFrame
		err = codec.Decode(data, &got)
		fmt.Println(got.GetId(), got.GetMoveTrip().GetStep(), err)
	}

	err := wire.JSON.Decode([]byte(`{"nonsense":1}`), new(wire.ClientFrame))
	fmt.Println("unknown field refused:", err != nil)

	// Output:
	// {"id":"c1","move_trip":{"trip_id":"trip-1","step":"ARRIVE"}}
	// c1 ARRIVE <nil>
	// 16 bytes
	// c1 ARRIVE <nil>
	// unknown field refused: true
}
