package plot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// behind orders curves from the back to the front.
var behind = []Style{Earlier, Law, Measured, Guess}

// fewMarkers is how many markers tell a curve of many points.
const fewMarkers = 6

func (k *canvas) drawCurves(p Panel) {
	inks := p.curveInks()
	marked := p.countMarked() > 1
	for _, style := range behind {
		for i, curve := range p.Curves {
			if curve.Style == style {
				k.drawCurve(curve, inks[i], marked)
			}
		}
	}

	for _, curve := range p.Curves {
		if curve.Style == Law && p.countLaws() > 1 {
			k.drawEndName(curve)
		}
	}
}

// drawEndName writes the name of a curve above its end: to the left, or to the
// right where there is no room.
func (k *canvas) drawEndName(c Curve) {
	points := k.placeablePoints(c)
	if len(points) == 0 {
		return
	}
	end := points[len(points)-1]
	x, anchor := k.placeX(end.X)-2, "end"
	if x-letterWidth*float64(utf8.RuneCountInString(c.Name)) < left {
		x, anchor = x+6, "start"
	}
	k.drawText(x, k.placeY(end.Y)-5, anchor, "pale halo", c.Name)
}

// isCut reports whether the curve ends where the axis does.
func (c Curve) isCut() bool { return c.Style == Law || c.Style == Guess }

// placeablePoints returns the points that can be drawn, by rising X.
func (k *canvas) placeablePoints(c Curve) []Point {
	points := slices.DeleteFunc(slices.Clone(c.Points), func(p Point) bool {
		return !k.x.canPlace(p.X) || !k.y.canPlace(p.Y) || c.isCut() && !k.y.holds(p.Y)
	})
	slices.SortStableFunc(points, func(p, q Point) int { return cmp.Compare(p.X, q.X) })
	return points
}

// curveInks returns the number of each curve's colour and marker. Laws and
// guesses have none: theirs is -1.
func (p Panel) curveInks() []int {
	var names []string
	out := make([]int, len(p.Curves))
	for i, curve := range p.Curves {
		if curve.Style == Law || curve.Style == Guess {
			out[i] = -1
			continue
		}
		out[i] = slices.Index(names, curve.Name)
		if out[i] < 0 || curve.Name == "" {
			out[i] = len(names)
			names = append(names, curve.Name)
		}
	}
	return out
}

// countMarked counts the curves that only a marker or a colour tells apart.
func (p Panel) countMarked() (n int) {
	for _, ink := range p.curveInks() {
		n = max(n, ink+1)
	}
	return n
}

func (p Panel) countLaws() (n int) {
	for _, c := range p.Curves {
		if c.Style == Law {
			n++
		}
	}
	return n
}

func inkClass(style Style, ink int) string {
	switch style {
	case Law, Guess:
		return string(style)
	case Earlier:
		return fmt.Sprintf("i%d earlier", ink%inks)
	}
	return fmt.Sprintf("i%d", ink%inks)
}

// strokeOf returns the stroke of a line.
func strokeOf(style Style) string {
	switch style {
	case Law:
		return `stroke="currentColor" stroke-width="2.5"`
	case Guess:
		return `stroke="currentColor" stroke-width="2" stroke-dasharray="7 5"`
	}
	return `stroke="currentColor" stroke-width="1.8"`
}

// drawCurve draws a curve, and with many a few markers on it.
func (k *canvas) drawCurve(c Curve, ink int, marked bool) {
	points := k.placeablePoints(c)
	if len(points) == 0 {
		return
	}

	every := max(1, len(points)/fewMarkers)
	fmt.Fprintf(k, `<g class="%s">`, inkClass(c.Style, ink))
	var path strings.Builder
	for i, p := range points {
		x, y := k.placeX(p.X), k.placeY(p.Y)
		fmt.Fprintf(&path, "%.1f,%.1f ", x, y)
		if p.Mark != "" {
			k.drawText(x+7, y-5, "start", "ink halo", p.Mark)
		}

		// The markers of two curves stand at different points.
		if ink >= 0 && (c.Dots || p.Mark != "" || marked && i%every == ink%inks*every/inks) {
			k.drawMarker(ink, x, y, markerRadius(p))
		} else if c.Dots || p.Mark != "" || len(points) == 1 {
			k.drawMarker(0, x, y, markerRadius(p)) // of a law, of a guess, or of a curve that is no line yet
		}
	}
	fmt.Fprintf(k, `<polyline points="%s" fill="none" %s/></g>`, strings.TrimSpace(path.String()), strokeOf(c.Style))
}

func markerRadius(p Point) float64 {
	if p.Mark != "" {
		return 4.5
	}
	return 3
}
