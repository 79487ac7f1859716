package planted

import (
	"fmt"
	"html"
	"strings"
)

// The measures of a drawn diagram, in pixels.
const (
	svgApart  = 170 // between two processes
	svgMargin = 90
	svgRow    = 34
	svgTop    = 96 // of the first entry
	svgSlant  = 12 // how much later a message arrives
)

// SVG is the history as a Lamport diagram: a line for each process, time
// downwards, an arrow for each message, and the number of each event.
func (r Result) SVG() string {
	at := map[string]int{}
	for i, p := range r.Processes {
		at[p] = svgMargin + i*svgApart
	}
	width, bottom := 2*svgMargin+max(1, len(r.Processes))*svgApart, svgTop+len(r.History)*svgRow

	d := &svg{}
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, width, bottom+20)
	fmt.Fprintf(d, `<rect width="%d" height="%d" fill="#fff"/>`, width, bottom+20)
	d.drawText(16, 24, "start", "#111", r.Bug+": "+r.Says)
	verdict, colour := "broken: ", "#b3261e"
	if r.Holds {
		verdict, colour = "holds: ", "#1d6b34"
	}
	d.drawText(16, 44, "start", colour, verdict+r.Promise)

	for _, p := range r.Processes {
		d.drawText(at[p], svgTop-24, "middle", "#111", p)
		d.drawLine(at[p], svgTop-16, at[p], bottom, "#bbb")
	}
	for i, e := range r.History {
		d.drawEntry(e, at, svgTop+i*svgRow)
	}
	d.WriteString("</svg>\n")
	return d.String()
}

// svg is a picture that is being drawn.
type svg struct{ strings.Builder }

func (d *svg) drawEntry(e Entry, at map[string]int, y int) {
	x := at[e.From]
	d.drawDot(x, y)
	if e.To == "" {
		d.drawText(x-9, y+4, "end", "#555", fmt.Sprint(e.Clock))
		d.drawText(x+9, y+4, "start", "#111", e.Text)
		return
	}

	to, later := at[e.To], y+svgSlant
	side, anchor, other := -9, "end", "start"
	if to < x {
		side, anchor, other = 9, "start", "end"
	}
	d.drawText(x+side, y+4, anchor, "#555", fmt.Sprint(e.Clock))
	d.drawText((x+to)/2, y, "middle", "#111", e.Text)
	if e.Lost {
		to += side * 4
		d.drawLine(x, y, to, later, "#b3261e")
		d.drawText(to, later+5, "middle", "#b3261e", "✗")
		return
	}

	d.drawLine(x, y, to, later, "#1b6ac9")
	d.drawDot(to, later)
	fmt.Fprintf(d, `<path d="M%d %d l%d -5 v8 z" fill="#1b6ac9"/>`, to, later, side)
	d.drawText(to-side, later+4, other, "#555", fmt.Sprint(e.Received))
}

func (d *svg) drawDot(x, y int) { fmt.Fprintf(d, `<circle cx="%d" cy="%d" r="4" fill="#111"/>`, x, y) }

func (d *svg) drawLine(x1, y1, x2, y2 int, colour string) {
	fmt.Fprintf(d, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="1.5"/>`, x1, y1, x2, y2, colour)
}

func (d *svg) drawText(x, y int, anchor, colour, text string) {
	fmt.Fprintf(d, `<text x="%d" y="%d" text-anchor="%s" fill="%s">%s</text>`, x, y, anchor, colour, html.EscapeString(text))
}
