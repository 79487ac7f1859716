// Package wire is the frames on the socket, shared by nodes and phones: one
// protobuf schema, carried either in binary or as JSON with the same names, and
// the codes that both sides act on.
package wire

import (
	_ "embed"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

//go:generate protoc --go_out=.. --go_opt=module=github.com/ridehail/ridehail -I .. ../wire/ridehail.proto

// Schema is the text of ridehail.proto, from which this package is generated.
//
//go:embed ridehail.proto
var Schema string

// The WebSocket subprotocols, one for each codec.
const (
	SubprotocolJSON  = "ridehail.v1.json"
	SubprotocolProto = "ridehail.v1.proto"
)

// Codec turns frames into WebSocket messages and back. Codecs are stateless and
// may be shared between goroutines.
type Codec interface {
	// Text reports whether messages are text (JSON) rather than binary.
	Text() bool
	// Append appends the frame's bytes to dst and returns the extended slice.
	Append(dst []byte, frame proto.Message) ([]byte, error)
	// Decode reads exactly one frame. Unknown fields, trailing bytes and broken
	// UTF-8 are errors.
	Decode(data []byte, frame proto.Message) error
	// DecodeKnown is Decode for the receiver of a newer sender: it skips fields
	// that are not in this build's schema. A frame whose body is such a field
	// has none then.
	DecodeKnown(data []byte, frame proto.Message) error

	// FindID returns the id in data that Decode cannot read, unchecked, or ""
	// if none is found. It reads data once at most.
	FindID(data []byte) string
	// FindFault returns what is wrong with data that Decode cannot read, in
	// words for a person, such as: "fix.at_ms" must be a number, at byte 17.
	FindFault(data []byte, frame protoreflect.MessageDescriptor) string
}

// The two codecs.
var (
	JSON  Codec = jsonCodec{}
	Proto Codec = protoCodec{}
)

// CodecFor returns the codec of a negotiated subprotocol; false for any other
// name.
func CodecFor(subprotocol string) (Codec, bool) {
	switch subprotocol {
	case SubprotocolJSON:
		return JSON, true
	case SubprotocolProto:
		return Proto, true
	}
	return nil, false
}

// maxDepth is how deep messages may be nested.
const maxDepth = 8

type jsonCodec struct{}

func (jsonCodec) Text() bool { return true }

func (jsonCodec) Append(dst []byte, f proto.Message) ([]byte, error) {
	return protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: false}.MarshalAppend(dst, f)
}

func (jsonCodec) Decode(data []byte, f proto.Message) error {
	return unmarshalJSON(data, f, protojson.UnmarshalOptions{RecursionLimit: maxDepth})
}

func (jsonCodec) DecodeKnown(data []byte, f proto.Message) error {
	return unmarshalJSON(data, f, protojson.UnmarshalOptions{RecursionLimit: maxDepth, DiscardUnknown: true})
}

func unmarshalJSON(data []byte, f proto.Message, how protojson.UnmarshalOptions) error {
	if !utf8.Valid(data) { // gorilla does not check text frames
		return fmt.Errorf("text frame is not UTF-8")
	}
	return how.Unmarshal(data, f)
}

type protoCodec struct{}

func (protoCodec) Text() bool { return false }

func (protoCodec) Append(dst []byte, f proto.Message) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(dst, f)
}

func (protoCodec) Decode(data []byte, f proto.Message) error {
	if err := (proto.UnmarshalOptions{RecursionLimit: maxDepth}).Unmarshal(data, f); err != nil {
		return err
	}
	return rejectUnknown(f.ProtoReflect())
}

func (protoCodec) DecodeKnown(data []byte, f proto.Message) error {
	return proto.UnmarshalOptions{RecursionLimit: maxDepth, DiscardUnknown: true}.Unmarshal(data, f)
}

// rejectUnknown returns an error for fields that are not in the schema, at any
// depth.
func rejectUnknown(m protoreflect.Message) (err error) {
	if n := len(m.GetUnknown()); n > 0 {
		return fmt.Errorf("%d bytes of unknown fields in %s", n, m.Descriptor().Name())
	}

	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for list, i := v.List(), 0; i < list.Len() && err == nil; i++ {
				err = rejectUnknown(list.Get(i).Message())
			}
		default:
			err = rejectUnknown(v.Message())
		}
		return err == nil
	})

	return err
}

// ToMillis returns a time as it travels: milliseconds since the Unix epoch,
// exact to the microsecond. The zero time is 0.
func ToMillis(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e3
}

// FromMillis is the inverse of ToMillis.
func FromMillis(ms float64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(math.Round(ms * 1e3)))
}
