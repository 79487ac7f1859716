package ridehail_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// exampleFrames are the frames that the protocol's page shows, by who sends
// them: the lines of its sessions, and frames within sentences.
func exampleFrames(text string) (fromPhone, fromNode []string) {
	joined := regexp.MustCompile(`\n {10,}"`).ReplaceAllString(text, `"`) // a frame on two lines
	for _, line := range regexp.MustCompile(`(?m)^    ([<>]) (.*)$`).FindAllStringSubmatch(joined, -1) {
		if line[1] == ">" {
			fromPhone = append(fromPhone, line[2])
		} else {
			fromNode = append(fromNode, line[2])
		}
	}

	bodies := new(wire.ClientFrame).ProtoReflect().Descriptor().Fields()
	for _, span := range regexp.MustCompile("`(\\{\"[^`]*\\})`").FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`^\{(?:"id":"[^"]*",)?"(\w+)":\{`).FindStringSubmatch(span[1])
		if name != nil && bodies.ByName(protoreflect.Name(name[1])) != nil {
			fromPhone = append(fromPhone, span[1])
		}
	}
	return fromPhone, fromNode
}

func TestProtocolPagesFramesAreFrames(t *testing.T) {
	fromPhone, fromNode := exampleFrames(page(t, protocolPage))
	if len(fromPhone) < 12 || len(fromNode) < 15 {
		t.Fatalf("only %d and %d frames were found", len(fromPhone), len(fromNode))
	}

	check := func(frames []string, empty func() proto.Message) {
		for _, shown := range frames {
			// What the page leaves out is no part of a frame.
			whole := regexp.MustCompile(`,…|…(\})`).ReplaceAllString(shown, "$1")
			f := empty()
			if err := wire.JSON.Decode([]byte(whole), f); err != nil {
				t.Errorf("%s shows %s: %v", protocolPage, shown, err)
			} else if f.ProtoReflect().WhichOneof(f.ProtoReflect().Descriptor().Oneofs().ByName("body")) == nil {
				t.Errorf("%s shows %s, which has no body", protocolPage, shown)
			}
		}
	}
	check(fromPhone, func() proto.Message { return new(wire.ClientFrame) })
	check(fromNode, func() proto.Message { return new(wire.ServerFrame) })
}

// A row of a field that is gone would mislead as much as a missing one.
func TestProtocolPageDescribesNothingThatIsNotInTheSchema(t *testing.T) {
	told := sections(page(t, protocolPage))
	file := new(wire.ClientFrame).ProtoReflect().Descriptor().ParentFile()
	messages := map[string]protoreflect.MessageDescriptor{}
	for i := range file.Messages().Len() {
		messages[string(file.Messages().Get(i).Name())] = file.Messages().Get(i)
	}
	for name, frame := range map[string]string{"to the node": "ClientFrame", "to the phone": "ServerFrame"} {
		for i := range messages[frame].Fields().Len() {
			if f := messages[frame].Fields().Get(i); f.Message() != nil {
				messages[string(f.Name())+" ("+name+")"] = f.Message()
			}
		}
	}

	rows := 0
	for heading, text := range told {
		if _, fields, ok := strings.Cut(text, "| field | type | |\n"); ok {
			fields, _, _ = strings.Cut(fields, "\n\n") // a table ends with a blank line
			m := messages[heading]
			if m == nil {
				t.Errorf("%s describes %q, which is no message of the schema", protocolPage, heading)
				continue
			}
			for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]+) \\|").FindAllStringSubmatch(fields, -1) {
				rows++
				if f := m.Fields().ByName(protoreflect.Name(row[1])); f == nil {
					t.Errorf("%s, section %q, describes %s, which is no field", protocolPage, heading, row[1])
				} else if row[2] != typeName(f) {
					t.Errorf("%s, section %q, says %s of %s, which is a %s", protocolPage, heading, row[2], row[1], typeName(f))
				}
			}
		}
	}
	if rows < 100 {
		t.Errorf("only %d rows were read", rows)
	}
}

// typeName is a field's type as the page writes it.
func typeName(f protoreflect.FieldDescriptor) string {
	name := f.Kind().String()
	if f.Message() != nil {
		name = string(f.Message().Name())
	}
	if f.IsList() {
		return "list of " + name
	}
	return name
}

func TestProtocolPagesPlacesAreServed(t *testing.T) {
	city, err := routing.Open("1")
	if err != nil {
		t.Fatal(err)
	}

	places := regexp.MustCompile(`"lng":([\d.]+),"lat":([\d.]+)|\[([\d.]+),([\d.]+)\]|(3\.\d+) (6\.\d+)`).FindAllStringSubmatch(page(t, protocolPage), -1)
	if len(places) < 8 {
		t.Fatalf("only %d places were found", len(places))
	}
	for _, m := range places {
		numbers := strings.Fields(strings.Join(m[1:], " "))
		lng, _ := strconv.ParseFloat(numbers[0], 64)
		lat, _ := strconv.ParseFloat(numbers[1], 64)
		if !city.Contains(location.Point{Lng: lng, Lat: lat}) {
			t.Errorf("%s shows %s, which the default city does not serve", protocolPage, m[0])
		}
	}
}
