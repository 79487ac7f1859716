// Package trace reads recorded drives, from tables (CSV) and tracks (GPX). A
// recording tells where each vehicle was, and when. The package counts and
// describes bad rows, and reads the rest.
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

// ErrEmpty means that no row of a file can be driven.
var ErrEmpty = errors.New("nothing in the file can be driven")

// Unknown stands for a heading or a speed that a row does not give.
const Unknown = -1

// Fix is where a car was at a time.
type Fix struct {
	At      time.Duration // Since the recording's first fix.
	Point   location.Point
	Heading float32 // Degrees clockwise from north.
	Speed   float32 // Metres per second.
}

// Car is one id of the recording with its fixes in order of time, no two at the
// same time.
type Car struct {
	ID    string
	Fixes []Fix
}

// Trace is a recording.
type Trace struct {
	StartedAt time.Time
	Cars      []Car // In the order in which they were first read.
}

// Report is what was read and what was rejected.
type Report struct {
	Cars    int `json:"cars"`
	Rows    int `json:"rows"`  // Table rows, or points of tracks.
	Fixes   int `json:"fixes"` // Rows that are driven.
	BadRows int `json:"bad"`
	// Rows by reason.
	Reasons   map[string]int `json:"bad_reasons,omitempty"`
	NamedRows []string       `json:"bad_rows,omitempty"` // With lines.
	Seconds   float64        `json:"seconds"`            // First fix to last.
}

// maxNamedRows bounds how many bad rows are described.
const maxNamedRows = 20

// Limits bound the memory of a reading. A fix takes 56 bytes while the file is
// read. Rows beyond the limits are bad rows.
type Limits struct{ Fixes, Cars int }

// DefaultLimits are five million fixes (280 MB) of twenty thousand cars.
var DefaultLimits = Limits{Fixes: 5_000_000, Cars: 20_000}

const (
	maxLineBytes = 64 << 10 // Of a table's row.
	maxIDBytes   = 64       // As nodes accept them.
)

// Open reads a file. It returns the system's error or ErrEmpty.
func Open(file string) (Trace, Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return Trace{}, Report{}, err
	}
	defer f.Close()
	base := filepath.Base(file)
	return Read(f, strings.TrimSuffix(base, filepath.Ext(base)), DefaultLimits)
}

// Read reads a table or tracks. It tells them apart by the first character:
// markup begins with "<". Rows may come in any order. Each car's rows are
// sorted by time, and of several at the same millisecond the first counts.
// Tracks without a name get the given one. Read returns the reader's error, or
// ErrEmpty with the reason.
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
		if len(c.report.NamedRows) > 0 {
			why = fmt.Sprintf("%d bad rows, the first: %s", c.report.BadRows, c.report.NamedRows[0])
		}
		return t, c.report, fmt.Errorf("%w: %s", ErrEmpty, why)
	}

	return t, c.report, nil
}

// byteOrderMark is how some programs begin a UTF-8 text.
var byteOrderMark = []byte("\xef\xbb\xbf")

func isMarkup(head []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(head, byteOrderMark)), []byte("<"))
}

// row is a fix as it was read.
type row struct {
	ms             int64 // Unix time.
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

// rejectRow counts a row that is left out, and describes it while there is
// room.
func (c *collector) rejectRow(line int, reason, detail string) {
	c.report.BadRows++
	c.report.Reasons[reason]++

	if len(c.report.NamedRows) < maxNamedRows {
		if len(detail) > 80 {
			detail = strings.ToValidUTF8(detail[:80], "") + "…"
		}
		if detail != "" {
			detail = fmt.Sprintf(" (%q)", detail)
		}
		c.report.NamedRows = append(c.report.NamedRows, fmt.Sprintf("line %d: %s%s", line, reason, detail))
	}
}

// addRow adds a parsed row, or rejects it if it is out of range.
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
	case p.CheckRange() != nil:
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
		id = strings.Clone(id) // Do not keep the whole line alive.
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
	t := Trace{StartedAt: time.UnixMilli(first), Cars: make([]Car, len(c.names))}
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

// minMoveMetres is the shortest move that gives a direction.
const minMoveMetres = 2

// fillMissing computes headings and speeds that the file does not give, from
// the fix before.
func fillMissing(fixes []Fix) {
	for i := range fixes {
		f, before := &fixes[i], &fixes[max(0, i-1)]
		from, to := before, f
		if i == 0 { // The first fix heads for the second.
			from, to = f, &fixes[min(1, len(fixes)-1)]
		}

		metres := location.MetresBetween(from.Point, to.Point)
		if f.Heading == Unknown {
			switch {
			case metres >= minMoveMetres:
				f.Heading = float32(location.InitialBearing(from.Point, to.Point))
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
