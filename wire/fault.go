package wire

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// unknownFault is what a message has when no fault is found although it cannot
// be decoded.
const unknownFault = "it cannot be read"

// longestName is how many bytes of a name that the sender chose are repeated.
const longestName = 40

func clip(name string) string {
	if len(name) <= longestName {
		return name
	}
	return strings.ToValidUTF8(name[:longestName], "") + "…"
}

// joinPath returns a field's name below that of the body it is in.
func joinPath(path string, f protoreflect.FieldDescriptor) string {
	if path == "" {
		return string(f.Name())
	}
	return path + "." + string(f.Name())
}

func unknownField(name, path string, at int64) string {
	if path == "" {
		return fmt.Sprintf("unknown field %s, at byte %d", name, at)
	}
	return fmt.Sprintf("unknown field %s in %q, at byte %d", name, path, at)
}

// kindWords names the values that a field takes.
func kindWords(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return "an object"
	case protoreflect.StringKind:
		return "a string"
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.Uint32Kind:
		return "a whole number from 0 to 4,294,967,295"
	case protoreflect.EnumKind:
		var names []string
		for i := range f.Enum().Values().Len() - 1 { // the first means none
			names = append(names, string(f.Enum().Values().Get(i+1).Name()))
		}
		return "one of " + strings.Join(names, ", ")
	}
	return "a number"
}

// FindID returns field 1 of a message that cannot be decoded, as far as its
// fields can be told apart.
func (protoCodec) FindID(data []byte) (id string) {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			break
		}
		size := protowire.ConsumeFieldValue(number, kind, data[n:])
		if size < 0 {
			break
		}
		if text, ok := protowire.ConsumeBytes(data[n:]); number == 1 && kind == protowire.BytesType && ok >= 0 && utf8.Valid(text) {
			id = string(text)
		}
		data = data[n+size:]
	}
	return id
}

// FindFault reads the fields beside the schema.
func (protoCodec) FindFault(data []byte, m protoreflect.MessageDescriptor) string {
	if fault := findProtoFault(data, 0, "", m); fault != "" {
		return fault
	}
	return unknownFault
}

// findProtoFault returns the first fault of a message that begins at a byte of
// the frame, or "". It goes no deeper than the schema.
func findProtoFault(data []byte, at int64, path string, m protoreflect.MessageDescriptor) string {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Sprintf("no field begins at byte %d", at)
		}
		size := protowire.ConsumeFieldValue(number, kind, data[n:])
		if size < 0 {
			return fmt.Sprintf("the field at byte %d breaks off", at)
		}

		f := m.Fields().ByNumber(number)
		if f == nil {
			return unknownField(fmt.Sprint(number), path, at)
		}
		if kind != wireType(f.Kind()) {
			return fmt.Sprintf("%q must be %s, at byte %d", joinPath(path, f), kindWords(f), at)
		}

		if kind == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(data[n:])
			inside := at + int64(n+size-len(content))
			if fault := findContentFault(content, inside, joinPath(path, f), f); fault != "" {
				return fault
			}
		}

		data, at = data[n+size:], at+int64(n+size)
	}
	return ""
}

func findContentFault(content []byte, at int64, path string, f protoreflect.FieldDescriptor) string {
	if f.Kind() == protoreflect.MessageKind {
		return findProtoFault(content, at, path, f.Message())
	}
	if !utf8.Valid(content) {
		return fmt.Sprintf("%q is not UTF-8, at byte %d", path, at)
	}
	return ""
}

// wireType is how a field of a kind is encoded.
func wireType(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.MessageKind, protoreflect.StringKind:
		return protowire.BytesType
	case protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.FloatKind:
		return protowire.Fixed32Type
	}
	return protowire.VarintType
}
