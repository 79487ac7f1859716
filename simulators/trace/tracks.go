package trace

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ridehail/ridehail/location"
)

// maxTextBytes bounds the bytes between two tags, which the decoder holds at
// once.
const maxTextBytes = 1 << 20

// readTracks reads GPX. Every track is a car with the track's name. A file that
// breaks off is read up to there.
func (c *collector) readTracks(in *bufio.Reader, name string) error {
	if head, err := in.Peek(len(byteOrderMark)); err == nil && string(head) == string(byteOrderMark) {
		_, _ = in.Discard(len(byteOrderMark))
	}
	meter := &byteLimiter{r: in}

	dec := xml.NewDecoder(meter)
	g := gpx{collector: c, name: name}
	for {
		meter.left = maxTextBytes
		token, err := dec.Token()
		line, _ := dec.InputPos()
		switch {
		case err == io.EOF:
			return nil
		case meter.err != nil:
			return meter.err
		case err != nil:
			c.rejectRow(line, "the rest cannot be read", err.Error())
			return nil
		}

		g.handleToken(line, token)
	}
}

var errLongText = fmt.Errorf("more than %d bytes between two tags", maxTextBytes)

// byteLimiter lets left bytes pass, and remembers an error of the file itself.
type byteLimiter struct {
	r    io.Reader
	left int
	err  error
}

func (m *byteLimiter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errLongText
	}
	n, err := m.r.Read(p[:min(len(p), m.left)])
	m.left -= n
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}

// gpx is the state of reading a GPX file.
type gpx struct {
	*collector
	name     string // Of tracks without one.
	nameless int    // Tracks without a name so far.

	// The current track.
	id      string
	inTrack bool
	inPoint bool

	// The current point.
	line                           int
	lng, lat, time, heading, speed string

	text strings.Builder // Since the last tag.
}

func (g *gpx) handleToken(line int, token xml.Token) {
	switch t := token.(type) {
	case xml.StartElement:
		g.text.Reset()
		switch t.Name.Local {
		case "trk":
			g.inTrack, g.id = true, ""
		case "trkpt":
			g.inPoint, g.line = g.inTrack, line
			g.lng, g.lat, g.time, g.heading, g.speed = attributeValue(t, "lon"), attributeValue(t, "lat"), "", "", ""
		}
	case xml.CharData:
		if g.inTrack && g.text.Len()+len(t) <= 4096 {
			g.text.Write(t)
		}
	case xml.EndElement:
		g.handleEnd(t.Name.Local, strings.TrimSpace(g.text.String()))
		g.text.Reset()
	}
}

func (g *gpx) handleEnd(tag, text string) {
	switch {
	case tag == "trk":
		g.inTrack, g.inPoint = false, false
	case g.inPoint && tag == "trkpt":
		g.inPoint = false
		g.addPoint()
	case g.inPoint && tag == "time":
		g.time = text
	case g.inPoint && tag == "course":
		g.heading = text
	case g.inPoint && tag == "speed":
		g.speed = text
	case g.inTrack && !g.inPoint && tag == "name":
		g.id = text
	}
}

// addPoint adds the current point of a track, or rejects it.
func (g *gpx) addPoint() {
	g.report.Rows++

	if g.id == "" { // The file's name, numbered from the second track on.
		g.nameless++
		g.id = g.name
		if g.nameless > 1 {
			g.id = fmt.Sprintf("%s-%d", g.name, g.nameless)
		}
	}

	if g.time == "" {
		g.rejectRow(g.line, "no time", "")
		return
	}

	when, ok := parseTime(g.time)
	if !ok {
		g.rejectRow(g.line, "a time that is not RFC 3339", g.time)
		return
	}

	lng, errLng := strconv.ParseFloat(g.lng, 64)
	lat, errLat := strconv.ParseFloat(g.lat, 64)
	if errLng != nil || errLat != nil {
		g.rejectRow(g.line, "a place that is no number", g.lng+" "+g.lat)
		return
	}

	g.addRow(g.line, g.id, when, location.Point{Lng: lng, Lat: lat}, parseHeading(g.heading), parseSpeed(g.speed))
}

func attributeValue(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}
