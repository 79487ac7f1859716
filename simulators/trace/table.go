package trace

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ridehail/ridehail/location"
)

// columns are what a header may call each of them, in any order and any case;
// others are ignored.
var columns = map[string]string{
	"id": "id", "driver": "id", "driver_id": "id", "vehicle": "id", "vehicle_id": "id", "device_id": "id",
	"time": "time", "timestamp": "time", "datetime": "time", "at": "time",
	"lng": "lng", "lon": "lng", "long": "lng", "longitude": "lng",
	"lat": "lat", "latitude": "lat",
	"heading": "heading", "bearing": "heading", "course": "heading",
	"speed": "speed",
}

// table reads rows of a line each, after a header line.
func (c *collector) table(in *bufio.Reader) error {
	var at map[string]int // column by name
	var comma rune
	for line := 1; ; line++ {
		text, long, err := readLine(in)
		if err != nil && err != io.EOF {
			return fmt.Errorf("line %d: %w", line, err)
		}
		if line == 1 {
			text = strings.TrimPrefix(text, string(mark))
		}
		last := err == io.EOF

		switch {
		case strings.TrimSpace(text) == "" && !long:
		case at == nil:
			if at, comma = header(text); at == nil {
				return fmt.Errorf("%w: line %d must name the columns id, time, lng and lat", ErrEmpty, line)
			}
		case long:
			c.report.Rows++
			c.bad(line, fmt.Sprintf("longer than %d bytes", lineMost), text)
		default:
			c.report.Rows++
			c.take(line, text, at, comma)
		}

		if last {
			return nil
		}
	}
}

// readLine returns the next line without its end. Of one that is too long it
// returns the beginning, and reads over the rest.
func readLine(in *bufio.Reader) (text string, long bool, err error) {
	part, err := in.ReadSlice('\n')
	text = string(part)

	for err == bufio.ErrBufferFull {
		long = true
		_, err = in.ReadSlice('\n')
	}
	return strings.TrimRight(text, "\r\n"), long, err
}

// header finds the columns and what separates them; nil without the four that
// are needed.
func header(text string) (map[string]int, rune) {
	for _, comma := range ",;\t" {
		cells, err := split(text, comma)
		if err != nil {
			continue
		}

		at := map[string]int{}
		for i, cell := range cells {
			if name := columns[strings.ToLower(strings.TrimSpace(cell))]; name != "" {
				if _, twice := at[name]; !twice {
					at[name] = i
				}
			}
		}

		if has(at, "id") && has(at, "time") && has(at, "lng") && has(at, "lat") {
			return at, comma
		}
	}

	return nil, 0
}

func has(at map[string]int, name string) bool { _, ok := at[name]; return ok }

// split takes a line apart. Quotes are rare, and only they need the full
// reader; a quoted cell ends on its line.
func split(text string, comma rune) ([]string, error) {
	if !strings.Contains(text, `"`) {
		return strings.Split(text, string(comma)), nil
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord = comma, -1
	return r.Read()
}

func (c *collector) take(line int, text string, at map[string]int, comma rune) {
	cells, err := split(text, comma)
	if err != nil {
		c.bad(line, "quotes that do not match", text)
		return
	}

	cell := func(name string) string {
		if i, ok := at[name]; ok && i < len(cells) {
			return strings.TrimSpace(cells[i])
		}
		return ""
	}

	for _, name := range [...]string{"id", "time", "lng", "lat"} {
		if cell(name) == "" {
			c.bad(line, "no "+name, text)
			return
		}
	}

	when, ok := moment(cell("time"))
	if !ok {
		c.bad(line, "a time that is neither RFC 3339 nor Unix seconds or milliseconds", cell("time"))
		return
	}

	lng, errLng := strconv.ParseFloat(cell("lng"), 64)
	lat, errLat := strconv.ParseFloat(cell("lat"), 64)
	if errLng != nil || errLat != nil {
		c.bad(line, "a place that is no number", cell("lng")+" "+cell("lat"))
		return
	}

	c.add(line, cell("id"), when, location.Point{Lng: lng, Lat: lat}, heading(cell("heading")), speed(cell("speed")))
}

// milliseconds is from where on a number of a time means these and not seconds:
// seconds of the year 5138, or milliseconds of 1973.
const milliseconds = 1e11

// moment reads a time.
func moment(s string) (time.Time, bool) {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if math.Abs(n) < milliseconds {
			n *= 1e3
		}
		if !(math.Abs(n) < 1e14) { // also NaN
			return time.Time{}, false
		}
		return time.UnixMilli(int64(math.Round(n))), true
	}

	s = strings.Replace(s, " ", "T", 1)
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

// heading reads degrees; anything else is unknown.
func heading(s string) float32 {
	h, err := strconv.ParseFloat(s, 64)
	if err != nil || !(h >= 0 && h <= 360) {
		return Unknown
	}
	return float32(math.Mod(h, 360))
}

// speed reads metres per second; anything else is unknown.
func speed(s string) float32 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v < 1000) {
		return Unknown
	}
	return float32(v)
}
