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

// columnNames are what a header may call each of them, in any order and any case;
// others are ignored.
var columnNames = map[string]string{
	"id": "id", "driver": "id", "driver_id": "id", "vehicle": "id", "vehicle_id": "id", "device_id": "id",
	"time": "time", "timestamp": "time", "datetime": "time", "at": "time",
	"lng": "lng", "lon": "lng", "long": "lng", "longitude": "lng",
	"lat": "lat", "latitude": "lat",
	"heading": "heading", "bearing": "heading", "course": "heading",
	"speed": "speed",
}

// readTable reads rows of a line each, after a header line.
func (c *collector) readTable(in *bufio.Reader) error {
	var at map[string]int // column by name
	var comma rune
	for line := 1; ; line++ {
		text, long, err := readTableLine(in)
		if err != nil && err != io.EOF {
			return fmt.Errorf("line %d: %w", line, err)
		}
		if line == 1 {
			text = strings.TrimPrefix(text, string(byteOrderMark))
		}
		last := err == io.EOF

		switch {
		case strings.TrimSpace(text) == "" && !long:
		case at == nil:
			if at, comma = findColumns(text); at == nil {
				return fmt.Errorf("%w: line %d must name the columns id, time, lng and lat", ErrEmpty, line)
			}
		case long:
			c.report.Rows++
			c.rejectRow(line, fmt.Sprintf("longer than %d bytes", maxLineBytes), text)
		default:
			c.report.Rows++
			c.parseRow(line, text, at, comma)
		}

		if last {
			return nil
		}
	}
}

// readTableLine returns the next line without its end. Of one that is too long it
// returns the beginning, and reads over the rest.
func readTableLine(in *bufio.Reader) (text string, long bool, err error) {
	part, err := in.ReadSlice('\n')
	text = string(part)

	for err == bufio.ErrBufferFull {
		long = true
		_, err = in.ReadSlice('\n')
	}
	return strings.TrimRight(text, "\r\n"), long, err
}

// findColumns finds the columns and what separates them; nil without the four that
// are needed.
func findColumns(text string) (map[string]int, rune) {
	for _, comma := range ",;\t" {
		cells, err := splitCells(text, comma)
		if err != nil {
			continue
		}

		at := map[string]int{}
		for i, cell := range cells {
			if name := columnNames[strings.ToLower(strings.TrimSpace(cell))]; name != "" {
				if _, twice := at[name]; !twice {
					at[name] = i
				}
			}
		}

		if hasColumn(at, "id") && hasColumn(at, "time") && hasColumn(at, "lng") && hasColumn(at, "lat") {
			return at, comma
		}
	}

	return nil, 0
}

func hasColumn(at map[string]int, name string) bool { _, ok := at[name]; return ok }

// splitCells takes a line apart. Quotes are rare, and only they need the full
// reader; a quoted cell ends on its line.
func splitCells(text string, comma rune) ([]string, error) {
	if !strings.Contains(text, `"`) {
		return strings.Split(text, string(comma)), nil
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord = comma, -1
	return r.Read()
}

func (c *collector) parseRow(line int, text string, at map[string]int, comma rune) {
	cells, err := splitCells(text, comma)
	if err != nil {
		c.rejectRow(line, "quotes that do not match", text)
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
			c.rejectRow(line, "no "+name, text)
			return
		}
	}

	when, ok := parseTime(cell("time"))
	if !ok {
		c.rejectRow(line, "a time that is neither RFC 3339 nor Unix seconds or milliseconds", cell("time"))
		return
	}

	lng, errLng := strconv.ParseFloat(cell("lng"), 64)
	lat, errLat := strconv.ParseFloat(cell("lat"), 64)
	if errLng != nil || errLat != nil {
		c.rejectRow(line, "a place that is no number", cell("lng")+" "+cell("lat"))
		return
	}

	c.addRow(line, cell("id"), when, location.Point{Lng: lng, Lat: lat}, parseHeading(cell("heading")), parseSpeed(cell("speed")))
}

// minMilliseconds is from where on a number of a time means these and not seconds:
// seconds of the year 5138, or milliseconds of 1973.
const minMilliseconds = 1e11

// parseTime reads a time.
func parseTime(s string) (time.Time, bool) {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if math.Abs(n) < minMilliseconds {
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

// parseHeading reads degrees; anything else is unknown.
func parseHeading(s string) float32 {
	h, err := strconv.ParseFloat(s, 64)
	if err != nil || !(h >= 0 && h <= 360) {
		return Unknown
	}
	return float32(math.Mod(h, 360))
}

// parseSpeed reads metres per second; anything else is unknown.
func parseSpeed(s string) float32 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v < 1000) {
		return Unknown
	}
	return float32(v)
}
