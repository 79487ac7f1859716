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

// columnNames maps the names in a header, in lower case, to the columns.
// Columns may come in any order. Others are ignored.
var columnNames = map[string]string{
	"id": "id", "driver": "id", "driver_id": "id", "vehicle": "id", "vehicle_id": "id", "device_id": "id",
	"time": "time", "timestamp": "time", "datetime": "time", "at": "time",
	"lng": "lng", "lon": "lng", "long": "lng", "longitude": "lng",
	"lat": "lat", "latitude": "lat",
	"heading": "heading", "bearing": "heading", "course": "heading",
	"speed": "speed",
}

// readTable reads a header line and then one row per line.
func (c *collector) readTable(in *bufio.Reader) error {
	var at map[string]int // Column by name.
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

// readTableLine returns the next line without its end. For a line that is too
// long it returns the beginning with long set, and skips the rest.
func readTableLine(in *bufio.Reader) (text string, long bool, err error) {
	part, err := in.ReadSlice('\n')
	text = string(part)

	for err == bufio.ErrBufferFull {
		long = true
		_, err = in.ReadSlice('\n')
	}
	return strings.TrimRight(text, "\r\n"), long, err
}

// findColumns returns the index of each column and the separator. It returns
// nil unless the four required columns are there.
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

// splitCells splits a line into cells. Quotes are rare, and only they need the
// full CSV reader. A quoted cell must end on its line.
func splitCells(text string, comma rune) ([]string, error) {
	if !strings.Contains(text, `"`) {
		return strings.Split(text, string(comma)), nil
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord = comma, -1
	return r.Read()
}

// parseRow adds the row of a line, or rejects it.
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

// minMilliseconds separates the two units of a numeric time. Numbers from here
// on are milliseconds, from 1973 on. Smaller numbers are seconds, up to the
// year 5138.
const minMilliseconds = 1e11

// parseTime reads RFC 3339, Unix seconds or Unix milliseconds.
func parseTime(s string) (time.Time, bool) {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if math.Abs(n) < minMilliseconds {
			n *= 1e3
		}
		if !(math.Abs(n) < 1e14) { // Also true of NaN.
			return time.Time{}, false
		}
		return time.UnixMilli(int64(math.Round(n))), true
	}

	s = strings.Replace(s, " ", "T", 1)
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

// parseHeading reads degrees. It returns Unknown for anything else.
func parseHeading(s string) float32 {
	h, err := strconv.ParseFloat(s, 64)
	if err != nil || !(h >= 0 && h <= 360) {
		return Unknown
	}
	return float32(math.Mod(h, 360))
}

// parseSpeed reads metres per second. It returns Unknown for anything else.
func parseSpeed(s string) float32 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v < 1000) {
		return Unknown
	}
	return float32(v)
}
