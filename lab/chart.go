package lab

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Chart is a row of panels that share their axes: x is linear from 0, y is logarithmic.
type Chart struct {
	X, Y   string
	Panels []Panel
}

// Panel is one picture of several curves.
type Panel struct {
	Name   string
	Curves []Curve
}

// Curve is a line through points; a point that is not above 0 has no place on a logarithmic axis and is left out.
type Curve struct {
	Name   string
	Points []Spot
}

// Spot is a point of a curve; Mark, if there is one, is written beside it.
type Spot struct {
	X, Y float64
	Mark string
}

const (
	panelWidth  = 360
	panelHeight = 380
	plotLeft    = 62
	plotTop     = 74
	plotWidth   = panelWidth - plotLeft - 18
	plotHeight  = panelHeight - plotTop - 58
)

var inks = []string{"#1b6ac9", "#d1495b", "#2e933c", "#7a4fb5"}

// axes are the ranges that all panels share.
type axes struct {
	right    float64 // of x, from 0
	low, top int     // powers of ten of y
}

func (c Chart) axes() axes {
	a, least, most := axes{}, math.Inf(1), math.Inf(-1)
	for _, p := range c.Panels {
		for _, curve := range p.Curves {
			for _, s := range curve.Points {
				a.right = max(a.right, s.X)
				if s.Y > 0 {
					least, most = min(least, s.Y), max(most, s.Y)
				}
			}
		}
	}
	if math.IsInf(least, 0) {
		least, most = 1, 1
	}
	a.right = 5 * math.Ceil(a.right/5+1e-9)
	a.low, a.top = int(math.Floor(math.Log10(least))), int(math.Ceil(math.Log10(most)))
	a.top = max(a.top, a.low+1)
	return a
}

func (a axes) place(s Spot) (x, y float64) {
	up := (math.Log10(s.Y) - float64(a.low)) / float64(a.top-a.low)
	return plotLeft + s.X/a.right*plotWidth, plotTop + (1-up)*plotHeight
}

func (c Chart) svg(title string) string {
	var b strings.Builder
	w := panelWidth * max(1, len(c.Panels))
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`, w, panelHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`, w, panelHeight)
	text(&b, 16, 24, "start", "#111", title)
	a := c.axes()
	for i, p := range c.Panels {
		fmt.Fprintf(&b, `<g transform="translate(%d 0)">`, i*panelWidth)
		p.draw(&b, c, a)
		b.WriteString(`</g>`)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (p Panel) draw(b *strings.Builder, c Chart, a axes) {
	text(b, plotLeft, plotTop-12, "start", "#111", p.Name)
	for power := a.low; power <= a.top; power++ {
		_, y := a.place(Spot{0, math.Pow10(power), ""})
		line(b, plotLeft, y, plotLeft+plotWidth, y)
		text(b, plotLeft-6, y+4, "end", "#555", fmt.Sprintf("%g", math.Pow10(power)))
	}
	for at := 0.0; at <= a.right; at += 5 {
		x, _ := a.place(Spot{at, 1, ""})
		line(b, x, plotTop, x, plotTop+plotHeight)
		text(b, x, plotTop+plotHeight+16, "middle", "#555", fmt.Sprintf("%g", at))
	}
	text(b, plotLeft+plotWidth/2, panelHeight-18, "middle", "#111", c.X)
	fmt.Fprintf(b, `<g transform="translate(14 %d) rotate(-90)">`, plotTop+plotHeight/2)
	text(b, 0, 0, "middle", "#111", c.Y)
	b.WriteString(`</g>`)
	for i, curve := range p.Curves {
		curve.draw(b, a, inks[i%len(inks)])
		text(b, plotLeft+plotWidth-6, plotTop+16+14*float64(i), "end", inks[i%len(inks)], curve.Name)
	}
}

func (c Curve) draw(b *strings.Builder, a axes, ink string) {
	spots := slices.DeleteFunc(slices.Clone(c.Points), func(s Spot) bool { return s.Y <= 0 })
	slices.SortStableFunc(spots, func(s, t Spot) int { return cmp.Compare(s.X, t.X) })
	var path strings.Builder
	for _, s := range spots {
		x, y := a.place(s)
		fmt.Fprintf(&path, "%.1f,%.1f ", x, y)
		radius := 2.5
		if s.Mark != "" {
			radius = 4.5
			text(b, x+7, y-5, "start", ink, s.Mark)
		}
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="%g" fill="%s"/>`, x, y, radius, ink)
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`, strings.TrimSpace(path.String()), ink)
}

func line(b *strings.Builder, x1, y1, x2, y2 float64) {
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`, x1, y1, x2, y2)
}

func text(b *strings.Builder, x, y float64, anchor, ink, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`, x, y, anchor, ink, html.EscapeString(s))
}
