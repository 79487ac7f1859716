// Package plot draws charts as SVG: curves and bars in one style. The same
// chart always gives the same bytes.
package plot

import (
	"fmt"
	"html"
	"math"
	"strings"
	"unicode/utf8"
)

// Chart is a row of panels that share their axes. As JSON it is what the page
// draws from.
type Chart struct {
	Title    string  `json:"title,omitempty"`
	Subtitle string  `json:"subtitle,omitempty"`
	X        Axis    `json:"x"`
	Y        Axis    `json:"y"`
	Panels   []Panel `json:"panels"`
}

// Axis is one side of a chart. A linear axis begins at 0, and a logarithmic one
// at a power of ten. It reaches at least from Start to End, and farther if what
// was measured does; laws and guesses are cut there. 0 means as far as all data.
type Axis struct {
	Name  string  `json:"name"`
	Log   bool    `json:"log,omitempty"`
	Start float64 `json:"start,omitempty"` // of a logarithmic axis
	End   float64 `json:"end,omitempty"`
}

// Panel is one picture, of curves or of bars. The names of bars replace the
// ticks of the x axis, and bands are for curves only.
type Panel struct {
	Name   string  `json:"name,omitempty"`
	Curves []Curve `json:"curves,omitempty"`
	Bars   []Bar   `json:"bars,omitempty"`
	Bands  []Band  `json:"bands,omitempty"`
	Limits []Limit `json:"limits,omitempty"`
}

// Style says what a curve or a bar stands for, and so how it is drawn.
type Style string

// The styles. The zero value is what was measured.
const (
	Measured Style = ""
	Law      Style = "law"     // grey: what a law of the field foretells
	Guess    Style = "guess"   // dashed: what a person expected
	Earlier  Style = "earlier" // pale: an earlier run
)

// Curve is a line through points, which SVG sorts by X. It leaves out points of
// 0 or less on a logarithmic axis. Curves of one name, such as a measured and an
// earlier one, share a colour and a marker.
type Curve struct {
	Name   string  `json:"name"`
	Style  Style   `json:"style,omitempty"`
	Points []Point `json:"points"`
	Dots   bool    `json:"dots,omitempty"` // draw each point as well
}

// Point is a point of a curve. Mark is written beside it.
type Point struct {
	X    float64 `json:"x"`
	Y    float64 `json:"y"`
	Mark string  `json:"mark,omitempty"`
}

// Bar is one column. Bars of one Name stand side by side at one place of the
// axis, and bars of one Group have one colour. A bar of 0 or less is not drawn.
type Bar struct {
	Name   string  `json:"name"`
	Height float64 `json:"height"`
	Group  string  `json:"group,omitempty"`
	Style  Style   `json:"style,omitempty"`
}

// Band is a hatched stretch of the x axis, such as the time of a fault.
type Band struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	Name string  `json:"name"`
}

// Limit is a dotted horizontal line, such as a capacity.
type Limit struct {
	At   float64 `json:"at"`
	Name string  `json:"name"`
}

// Measures in pixels.
const (
	wide, narrow = 640, 360 // width of a single panel; of one of several
	left, right  = 62, 18   // margins of the plot in its panel
	header       = 48       // title and subtitle
	lineHeight   = 16       // of a panel's name, and of a row of its legend
	plotHeight   = 270
	footer       = 58 // below the plot, with upright names of bars
	letterWidth  = 6.2
)

// canvas is a chart that is being drawn.
type canvas struct {
	strings.Builder
	x, y  scale
	top   float64 // of the plots
	width float64 // of a panel
	below float64 // height under the plots
	tilt  bool    // names of bars do not fit side by side
}

// SVG returns the chart as an SVG document, for light and dark screens and for
// print.
func (c Chart) SVG() string {
	k := c.newCanvas()
	width, height := k.width*float64(max(1, len(c.Panels))), k.top+plotHeight+k.below
	fmt.Fprintf(k, `<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 %g %g" font-family="sans-serif" font-size="11">`, width, height)
	fmt.Fprintf(k, `<title>%s</title><style>%s</style>%s`, html.EscapeString(c.Title), stylesheet, patterns)
	fmt.Fprintf(k, `<rect class="paper" width="%g" height="%g"/>`, width, height)
	k.drawText(16, 22, "start", "ink strong", c.Title)
	k.drawText(16, 38, "start", "pale", c.Subtitle)

	for i, p := range c.Panels {
		fmt.Fprintf(k, `<g transform="translate(%g 0)">`, k.width*float64(i))
		k.drawPanel(c, p)
		k.WriteString(`</g>`)
	}

	k.WriteString("</svg>\n")
	return k.String()
}

// newCanvas chooses measures that hold all panels.
func (c Chart) newCanvas() *canvas {
	k := &canvas{x: c.X.scaleFor(c.xValues()), y: c.Y.scaleFor(c.yValues()), width: wide, below: footer}
	if len(c.Panels) > 1 {
		k.width = narrow
	}

	rows, longest := 0, 0.0
	for _, p := range c.Panels {
		rows = max(rows, k.legendRows(p.legendItems()))
		names := p.barNames()
		for _, name := range names {
			width := letterWidth * float64(utf8.RuneCountInString(name))
			longest = max(longest, width)
			k.tilt = k.tilt || width > k.plotWidth()/float64(len(names))
		}
	}
	if k.tilt {
		k.below += longest * math.Sin(tiltAngle*math.Pi/180)
	}
	k.top = header + 4 + lineHeight*float64(rows+1)
	return k
}

func (c Chart) xValues() (out []float64) {
	for _, p := range c.Panels {
		for _, curve := range p.Curves {
			for _, at := range curve.Points {
				out = append(out, at.X)
			}
		}
	}
	return out
}

func (c Chart) yValues() (out []float64) {
	for _, p := range c.Panels {
		for _, curve := range p.Curves {
			if curve.isCut() && c.Y.End > 0 {
				continue
			}
			for _, at := range curve.Points {
				out = append(out, at.Y)
			}
		}

		for _, bar := range p.Bars {
			out = append(out, bar.Height)
		}
		for _, limit := range p.Limits {
			out = append(out, limit.At)
		}
	}
	return out
}

func (k *canvas) drawPanel(c Chart, p Panel) {
	k.drawText(left, header+9, "start", "ink strong", p.Name)
	k.drawLegend(p.legendItems())

	for _, band := range p.Bands {
		k.drawBand(band)
	}
	for i, at := range k.y.tickValues() {
		y := k.placeY(at)
		class := "grid"
		if i == 0 {
			class = "axis"
		}
		k.drawLine(class, left, y, k.width-right, y)
		k.drawText(left-6, y+4, "end", "pale", formatTick(at))
	}

	if len(p.Bars) > 0 {
		k.drawBars(p)
	} else {
		k.drawTicksX()
	}
	for _, limit := range p.Limits {
		k.drawLimit(limit)
	}
	k.drawCurves(p)

	k.drawText((left+k.width-right)/2, k.top+plotHeight+k.below-20, "middle", "ink", c.X.Name)
	fmt.Fprintf(k, `<g transform="translate(14 %.1f) rotate(-90)">`, k.top+plotHeight/2)
	k.drawText(0, 0, "middle", "ink", c.Y.Name)
	k.WriteString(`</g>`)
}

func (k *canvas) drawTicksX() {
	for _, at := range k.x.tickValues() {
		x := k.placeX(at)
		k.drawLine("grid", x, k.top, x, k.top+plotHeight)
		k.drawText(x, k.top+plotHeight+16, "middle", "pale", formatTick(at))
	}
}

// drawBand hatches the part of a band that is on the axis.
func (k *canvas) drawBand(b Band) {
	from, to := max(left, k.placeX(max(b.From, k.x.leastValue()))), min(k.width-right, k.placeX(max(b.To, k.x.leastValue())))
	if from >= to {
		return
	}
	fmt.Fprintf(k, `<rect class="band" x="%.1f" y="%.1f" width="%.1f" height="%d" fill="url(#hatch)"/>`, from, k.top, to-from, plotHeight)
	k.drawText(from+3, k.top+12, "start", "pale halo", b.Name)
}

func (k *canvas) drawLimit(l Limit) {
	if !k.y.canPlace(l.At) {
		return
	}
	y := k.placeY(l.At)
	fmt.Fprintf(k, `<line class="limit" x1="%d" y1="%.1f" x2="%.1f" y2="%.1f"/>`, left, y, k.width-right, y)
	k.drawText(k.width-right-2, y-4, "end", "pale halo", l.Name)
}

func (k *canvas) plotWidth() float64 { return k.width - left - right }

func (k *canvas) placeX(v float64) float64 { return left + k.x.shareOf(v)*k.plotWidth() }

func (k *canvas) placeY(v float64) float64 { return k.top + (1-k.y.shareOf(v))*plotHeight }

func (k *canvas) drawLine(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(k, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

func (k *canvas) drawText(x, y float64, anchor, class, s string) {
	if s != "" {
		fmt.Fprintf(k, `<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, class, x, y, anchor, html.EscapeString(s))
	}
}
