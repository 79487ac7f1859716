package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// FindID returns the top-level "id" of a message that cannot be decoded, as far
// as the JSON before it can be read.
func (jsonCodec) FindID(data []byte) string {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return ""
	}

	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return ""
		}
		value, err := dec.Token()
		if id, ok := value.(string); ok && key == "id" {
			return id
		}
		if err != nil || skipJSON(dec, value) != nil {
			return ""
		}
	}
	return ""
}

// skipJSON reads to the end of the value that begins with a token.
func skipJSON(dec *json.Decoder, begin json.Token) error {
	depth := jsonDepth(begin)
	for depth > 0 {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		depth += jsonDepth(t)
	}
	return nil
}

// jsonDepth returns 1 for a token that opens a value, -1 for one that closes
// it.
func jsonDepth(t json.Token) int {
	switch t {
	case json.Delim('{'), json.Delim('['):
		return 1
	case json.Delim('}'), json.Delim(']'):
		return -1
	}
	return 0
}

// FindFault reads the JSON beside the schema, because the texts of protojson
// are not for a person and vary from build to build.
func (jsonCodec) FindFault(data []byte, m protoreflect.MessageDescriptor) string {
	w := &jsonWalk{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	w.dec.UseNumber()

	fault := w.walkFrame(m)
	if fault == "" {
		return unknownFault
	}
	return fault
}

// jsonWalk reads a message token by token up to its first fault.
type jsonWalk struct {
	data []byte
	dec  *json.Decoder
	from int64 // where reading the last token began
}

func (w *jsonWalk) walkFrame(m protoreflect.MessageDescriptor) string {
	open, fault := w.readToken()
	if fault != "" {
		return fault
	}
	if open != json.Delim('{') {
		return "it is not a JSON object"
	}

	if fault := w.walkObject("", m); fault != "" {
		return fault
	}
	if _, err := w.dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Sprintf("something follows the frame, from byte %d on", w.dec.InputOffset())
	}
	return ""
}

// readToken returns the next token, or a fault.
func (w *jsonWalk) readToken() (json.Token, string) {
	w.from = w.dec.InputOffset()
	t, err := w.dec.Token()
	syntax := new(json.SyntaxError)
	switch {
	case err == nil:
		return t, ""
	case errors.As(err, &syntax):
		return nil, fmt.Sprintf("it is not JSON near byte %d", max(syntax.Offset, 1)-1)
	}
	return nil, fmt.Sprintf("the JSON breaks off after byte %d", w.from)
}

// walkObject reads the fields of an object that is open. path is "" for the
// frame itself.
func (w *jsonWalk) walkObject(path string, m protoreflect.MessageDescriptor) string {
	seen := map[protoreflect.Name]bool{}
	body := ""

	for w.dec.More() {
		key, fault := w.readToken()
		if fault != "" {
			return fault
		}
		at := w.from + int64(bytes.IndexByte(w.data[w.from:], '"')) // after a comma

		name, _ := key.(string) // a key that is no string is a syntax error
		f := jsonField(m, name)
		switch {
		case f == nil:
			return unknownField(strconv.Quote(clip(name)), path, at)
		case seen[f.Name()]:
			return fmt.Sprintf("%q is there twice", joinPath(path, f))
		}
		seen[f.Name()] = true

		value, fault := w.readToken()
		if fault != "" {
			return fault
		}
		if value == nil {
			continue // null is as good as absent
		}

		if f.ContainingOneof() != nil && body != "" {
			return fmt.Sprintf("it has two bodies, %q and %q", body, f.Name())
		} else if f.ContainingOneof() != nil {
			body = string(f.Name())
		}
		if fault := w.walkField(joinPath(path, f), f, value); fault != "" {
			return fault
		}
	}

	_, fault := w.readToken() // the end of the object
	return fault
}

func jsonField(m protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := m.Fields().ByJSONName(name); f != nil {
		return f
	}
	return m.Fields().ByTextName(name)
}

// walkField reads the value of a field that begins with a token.
func (w *jsonWalk) walkField(path string, f protoreflect.FieldDescriptor, value json.Token) string {
	if !f.IsList() {
		return w.walkValue(path, f, value)
	}
	if value != json.Delim('[') {
		return w.mustBe(path, "a list")
	}

	for w.dec.More() {
		item, fault := w.readToken()
		if fault == "" {
			fault = w.walkValue(path, f, item)
		}
		if fault != "" {
			return fault
		}
	}

	_, fault := w.readToken()
	return fault
}

func (w *jsonWalk) walkValue(path string, f protoreflect.FieldDescriptor, value json.Token) string {
	fits := false
	switch f.Kind() {
	case protoreflect.MessageKind:
		if value == json.Delim('{') {
			return w.walkObject(path, f.Message())
		}
	case protoreflect.BoolKind:
		_, fits = value.(bool)
	case protoreflect.StringKind:
		var text string
		if text, fits = value.(string); fits && w.hasLoneSurrogate(text) {
			return fmt.Sprintf("%q has half a character, a surrogate without its pair, before byte %d", path, w.dec.InputOffset())
		}
	case protoreflect.EnumKind:
		name, isName := value.(string)
		_, fits = value.(json.Number)
		fits = fits || isName && f.Enum().Values().ByName(protoreflect.Name(name)) != nil
	default:
		fits = isNumberFor(f.Kind(), value)
	}

	if !fits {
		return w.mustBe(path, kindWords(f))
	}
	return ""
}

func (w *jsonWalk) mustBe(path, what string) string {
	return fmt.Sprintf("%q must be %s, at byte %d", path, what, w.dec.InputOffset())
}

// hasLoneSurrogate returns true if the string just read has an escape that is
// half a character, such as the first half of an emoji that was cut in two. The
// decoder has put U+FFFD in its place.
func (w *jsonWalk) hasLoneSurrogate(text string) bool {
	raw := strings.ToLower(string(w.data[w.from:w.dec.InputOffset()]))
	return strings.Count(text, "\ufffd") > strings.Count(raw, "\ufffd")+strings.Count(raw, `\ufffd`)
}

// isNumberFor returns true if a token is a number that the kind can hold.
// protojson takes numbers in quotes too.
func isNumberFor(kind protoreflect.Kind, value json.Token) bool {
	text, quoted := value.(string)
	if !quoted {
		number, ok := value.(json.Number)
		if !ok {
			return false
		}
		text = number.String()
	}

	bits := 64
	if kind == protoreflect.FloatKind {
		bits = 32
	}
	n, err := strconv.ParseFloat(text, bits)
	if err != nil {
		return false
	}

	return kind != protoreflect.Uint32Kind || n >= 0 && n <= math.MaxUint32 && n == math.Trunc(n)
}
