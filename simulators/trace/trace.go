// Package trace reads recorded drives: tables (CSV) and tracks (GPX) of who was
// where, and when. A recording has bad rows; they are counted and named, and
// the rest is read.
package trace

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ridehail/ridehail/location"
)

// ErrEmpty says that no row of a file can be driven.
var ErrEmpty = errors.New("nothing in the file can be driven")

// Unknown stands for a heading or a speed that a row does not tell.
const Unknown = -1

// Fix is where a car was.
type Fix struct {
	At      time.Duration // since the recording's first fix
	Point   location.Point
	Heading float32 // degrees clockwise from north
	Speed   float32 // metres per second
}

// Car is one id of the recording with its fixes in the order of time, no two at
// the same.
type Car struct {
	ID    string
	Fixes []Fix
}

// Trace is a recording.
type Trace struct {
	Began time.Time
	Cars  []Car // in the order in which they were first read
}

// Report says what was read and what was not.
type Report struct {
	Cars int `json:"cars"`
	// of a table, without its header, or points of tracks
	Rows  int `json:"rows"`
	Fixes int `json:"fixes"` // rows that are driven
	Bad   int `json:"bad"`
	// how many rows for each reason
	Reasons map[string]int `json:"bad_reasons,omitempty"`
	// the first of them, with their lines
	Named   []string `json:"bad_rows,omitempty"`
	Seconds float64  `json:"seconds"` // from the first fix to the last
}

// maxNamedRows bounds how many bad rows are described.
const maxNamedRows = 20

// Limits bound the memory of a reading: a fix takes 56 bytes while the file is
// read. Rows beyond are bad rows.
type Limits struct{ Fixes, Cars int }

// DefaultLimits are five million fixes (280 MB) of twenty thousand cars.
var DefaultLimits = Limits{Fixes: 5_000_000, Cars: 20_000}

const (
	maxLineBytes = 64 << 10 // bytes of a table's row
	maxIDBytes   = 64       // bytes, as nodes take them
)

// Open reads a file. Errors: the system's, or ErrEmpty.
func Open(file string) (Trace, Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return Trace{}, Report{}, err
	}
	defer f.Close()
	base := filepath.Base(file)
	return Read(f, strings.TrimSuffix(base, filepath.Ext(base)), DefaultLimits)
}

// Read reads a table or tracks, told apart by the first character: markup
// begins with "<". Rows may come in any order; each car's are sorted by time,
// and of several at the same millisecond the first counts. The name is for
// tracks without one. Errors: the reader's, or ErrEmpty with the reason.
func Read(r io.Reader, name string, limits Limits) (Trace, Report, error) {
	in := bufio.NewReaderSize(r, maxLineBytes)
	c := &collector{limits: limits, ids: map[string]int32{}, report: Report{Reasons: map[string]int{}}}
	head, err := in.Peek(512)
	if err != nil && err != io.EOF {
		return Trace{}, c.report, err
	}

	if isMarkup(head) {
		err = c.readTracks(in, name)
	} else {
		err = c.readTable(in)
	}

	if err != nil {
		return Trace{}, c.report, err
	}
	t := c.buildTrace()

	if len(t.Cars) == 0 {
		why := "it has no rows"
		if len(c.report.Named) > 0 {
			why = fmt.Sprintf("%d bad rows, the first: %s", c.report.Bad, c.report.Named[0])
		}
		return t, c.report, fmt.Errorf("%w: %s", ErrEmpty, why)
	}

	return t, c.report, nil
}

// of byte order, as some programs begin a text with
var byteOrderMark = []byte("\xef\xbb\xbf")

func isMarkup(head []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(head, byteOrderMark)), []byte("<"))
}

// row is a fix as it was read.
type row struct {
	ms             int64 // since the epoch
	point          location.Point
	heading, speed float32
	car            int32
	line           int32
}

// collector gathers good rows and counts bad ones.
type collector struct {
	limits Limits
	rows   []row
	ids    map[string]int32
	names  []string
	report Report
}

// rejectRow counts a row that is left out.
func (c *collector) rejectRow(line int, reason, detail string) {
	c.report.Bad++
	c.report.Reasons[reason]++

	if len(c.report.Named) < maxNamedRows {
		if len(detail) > 80 {
			detail = strings.ToValidUTF8(detail[:80], "") + "…"
		}
		if detail != "" {
			detail = fmt.Sprintf(" (%q)", detail)
		}
		c.report.Named = append(c.report.Named, fmt.Sprintf("line %d: %s%s", line, reason, detail))
	}
}

// addRow takes a row whose words were understood.
func (c *collector) addRow(line int, id string, at time.Time, p location.Point, heading, speed float32) {
	switch {
	case id == "":
		c.rejectRow(line, "no id", "")
		return
	case len(id) > maxIDBytes:
		c.rejectRow(line, fmt.Sprintf("an id longer than %d bytes", maxIDBytes), id)
		return
	case !utf8.ValidString(id):
		c.rejectRow(line, "an id that is not UTF-8", id)
		return
	case p.Check() != nil:
		c.rejectRow(line, "a place that is not on earth", fmt.Sprint(p))
		return
	case at.Year() < 1980 || at.Year() > 2200:
		c.rejectRow(line, "a time outside the years 1980 to 2200", at.UTC().Format(time.RFC3339))
		return
	case len(c.rows) >= c.limits.Fixes:
		c.rejectRow(line, fmt.Sprintf("beyond the first %d fixes; split the file", c.limits.Fixes), "")
		return
	}

	car, known := c.ids[id]
	if !known {
		if len(c.names) >= c.limits.Cars {
			c.rejectRow(line, fmt.Sprintf("beyond the first %d cars; split the file", c.limits.Cars), id)
			return
		}
		id = strings.Clone(id) // not the whole line
		car = int32(len(c.names))
		c.ids[id], c.names = car, append(c.names, id)
	}

	c.rows = append(c.rows, row{ms: at.UnixMilli(), point: p, heading: heading, speed: speed, car: car, line: int32(line)})
}

// buildTrace sorts the rows into cars.
func (c *collector) buildTrace() Trace {
	slices.SortFunc(c.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.car, b.car), cmp.Compare(a.ms, b.ms), cmp.Compare(a.line, b.line))
	})
	if len(c.rows) == 0 {
		return Trace{}
	}
	first, last := c.rows[0].ms, c.rows[0].ms
	for i := range c.rows {
		first, last = min(first, c.rows[i].ms), max(last, c.rows[i].ms)
	}
	t := Trace{Began: time.UnixMilli(first), Cars: make([]Car, len(c.names))}
	fixes := make([]Fix, 0, len(c.rows))
	for i, from := 0, 0; i < len(c.rows); i++ {
		r := &c.rows[i]
		if i > 0 && r.car == c.rows[i-1].car && r.ms == c.rows[i-1].ms {
			c.rejectRow(int(r.line), "a second fix of one car at one time", c.names[r.car])
			continue
		}
		if i > 0 && r.car != c.rows[i-1].car {
			from = len(fixes)
		}
		fixes = append(fixes, Fix{At: time.Duration(r.ms-first) * time.Millisecond, Point: r.point, Heading: r.heading, Speed: r.speed})
		t.Cars[r.car] = Car{ID: c.names[r.car], Fixes: fixes[from:len(fixes):len(fixes)]}
	}

	c.rows = nil
	for i := range t.Cars {
		fillMissing(t.Cars[i].Fixes)
	}
	c.report.Cars, c.report.Fixes, c.report.Seconds = len(t.Cars), len(fixes), float64(last-first)/1e3
	return t
}

// minMoveMetres is a move, in metres, that tells no direction.
const minMoveMetres = 2

// fillMissing computes headings and speeds that the file does not tell, from the
// fix before.
func fillMissing(fixes []Fix) {
	for i := range fixes {
		f, before := &fixes[i], &fixes[max(0, i-1)]
		from, to := before, f
		if i == 0 { // a first fix heads for the second
			from, to = f, &fixes[min(1, len(fixes)-1)]
		}

		metres := location.Metres(from.Point, to.Point)
		if f.Heading == Unknown {
			switch {
			case metres >= minMoveMetres:
				f.Heading = float32(location.Bearing(from.Point, to.Point))
			case i > 0:
				f.Heading = before.Heading
			default:
				f.Heading = 0
			}
		}

		if f.Speed == Unknown {
			f.Speed = 0
			if gone := (to.At - from.At).Seconds(); gone > 0 {
				f.Speed = float32(metres / gone)
			}
		}
	}
}
