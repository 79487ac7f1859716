// Package plot draws charts as SVG: curves and bars in one style. The same
// chart always gives the same bytes.
package plot

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
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

// Axis is one side of a chart. A linear axis begins at 0. A logarithmic one
// begins at a power of ten: that of Start, or else of the least value.
type Axis struct {
	Name  string  `json:"name"`
	Log   bool    `json:"log,omitempty"`
	Start float64 `json:"start,omitempty"` // of a logarithmic axis; 0 means the data's
	End   float64 `json:"end,omitempty"`   // the axis reaches at least this; 0 means as far as the data
}

// Panel is one picture, of curves or of bars. The names of bars replace the
// ticks of the x axis.
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
// 0 or less on a logarithmic axis.
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

// Bar is one column. Bars of one Group stand side by side in one colour.
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

const (
	wide, narrow = 640, 360 // width of a single panel; of one of several
	left, right  = 62, 18   // margins of the plot in its panel
	header       = 56       // above the plot, without names of curves
	lineHeight   = 14
	plotHeight   = 270
	footer       = 58
	dark, pale   = "#111", "#555"
)

var curveColours = []string{"#1b6ac9", "#d1495b", "#2e933c", "#7a4fb5"}

// canvas is a chart that is being drawn. All measures are in pixels.
type canvas struct {
	strings.Builder
	x, y  scale
	top   float64 // of the plots
	width float64 // of a panel
}

// SVG returns the chart as an SVG document.
func (c Chart) SVG() string {
	k := &canvas{x: c.X.scaleFor(c.xValues()), y: c.Y.scaleFor(c.yValues()), top: header, width: wide}
	if len(c.Panels) > 1 {
		k.width = narrow
	}

	for _, p := range c.Panels {
		k.top = max(k.top, header+lineHeight*float64(len(p.Curves)))
	}

	width, height := k.width*float64(max(1, len(c.Panels))), k.top+plotHeight+footer
	fmt.Fprintf(k, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="11">`, width, height)
	fmt.Fprintf(k, `<rect width="%g" height="%g" fill="#fff"/>`, width, height)
	k.drawText(16, 22, "start", dark, c.Title)
	k.drawText(16, 38, "start", pale, c.Subtitle)

	for i, p := range c.Panels {
		fmt.Fprintf(k, `<g transform="translate(%g 0)">`, k.width*float64(i))
		k.drawPanel(c, p)
		k.WriteString(`</g>`)
	}

	k.WriteString("</svg>\n")
	return k.String()
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
			for _, at := range curve.Points {
				out = append(out, at.Y)
			}
		}

		for _, bar := range p.Bars {
			out = append(out, bar.Height)
		}
	}
	return out
}

func (k *canvas) drawPanel(c Chart, p Panel) {
	k.drawText(left, k.top-8, "start", dark, p.Name)

	for _, at := range k.y.tickValues() {
		y := k.placeY(at)
		k.drawLine(left, y, k.width-right, y)
		k.drawText(left-6, y+4, "end", pale, fmt.Sprintf("%g", at))
	}

	if len(p.Bars) > 0 {
		k.drawBars(p.Bars)
	} else {
		k.drawTicksX()
	}

	k.drawText((left+k.width-right)/2, k.top+plotHeight+38, "middle", dark, c.X.Name)
	fmt.Fprintf(k, `<g transform="translate(14 %.1f) rotate(-90)">`, k.top+plotHeight/2)
	k.drawText(0, 0, "middle", dark, c.Y.Name)
	k.WriteString(`</g>`)

	for i, curve := range p.Curves {
		ink := curveColours[i%len(curveColours)]
		k.drawCurve(curve, ink)
		k.drawText(k.width-right, k.top-8-lineHeight*float64(len(p.Curves)-1-i), "end", ink, curve.Name)
	}
}

func (k *canvas) drawTicksX() {
	for _, at := range k.x.tickValues() {
		x := k.placeX(at)
		k.drawLine(x, k.top, x, k.top+plotHeight)
		k.drawText(x, k.top+plotHeight+16, "middle", pale, fmt.Sprintf("%g", at))
	}
}

func (k *canvas) drawBars(bars []Bar) {
	step := (k.width - left - right) / float64(len(bars))
	for i, b := range bars {
		x, y := left+float64(i)*step, k.placeY(b.Height)
		fmt.Fprintf(k, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x+.08*step, y, .84*step,
			k.top+plotHeight-y, curveColours[0])
		k.drawText(x+step/2, k.top+plotHeight+16, "middle", pale, b.Name)
	}
}

func (k *canvas) drawCurve(c Curve, ink string) {
	points := slices.DeleteFunc(slices.Clone(c.Points), func(p Point) bool { return !k.x.canPlace(p.X) || !k.y.canPlace(p.Y) })
	slices.SortStableFunc(points, func(p, q Point) int { return cmp.Compare(p.X, q.X) })

	var path strings.Builder
	for _, p := range points {
		x, y := k.placeX(p.X), k.placeY(p.Y)
		fmt.Fprintf(&path, "%.1f,%.1f ", x, y)

		radius := 2.5
		if p.Mark != "" {
			radius = 4.5
			k.drawText(x+7, y-5, "start", ink, p.Mark)
		}
		if c.Dots || p.Mark != "" {
			fmt.Fprintf(k, `<circle cx="%.1f" cy="%.1f" r="%g" fill="%s"/>`, x, y, radius, ink)
		}
	}

	fmt.Fprintf(k, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`, strings.TrimSpace(path.String()), ink)
}

func (k *canvas) placeX(v float64) float64 { return left + k.x.shareOf(v)*(k.width-left-right) }

func (k *canvas) placeY(v float64) float64 { return k.top + (1-k.y.shareOf(v))*plotHeight }

func (k *canvas) drawLine(x1, y1, x2, y2 float64) {
	fmt.Fprintf(k, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`, x1, y1, x2, y2)
}

func (k *canvas) drawText(x, y float64, anchor, ink, s string) {
	if s != "" {
		fmt.Fprintf(k, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`, x, y, anchor, ink, html.EscapeString(s))
	}
}
