package plot

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// legendItem tells what a line or a bar stands for.
type legendItem struct {
	name  string
	style Style
	ink   int
	bar   bool
	// marked curves are told by their marker.
	marked bool
}

// legendItems lists what has a name: curves, and groups of bars. Of several
// laws each has its name at the end of its line, since all are grey.
func (p Panel) legendItems() (out []legendItem) {
	many := p.countMarked() > 1
	for i, ink := range p.curveInks() {
		if c := p.Curves[i]; c.Name != "" && (c.Style != Law || p.countLaws() == 1) {
			out = append(out, legendItem{name: c.Name, style: c.Style, ink: ink, marked: ink >= 0 && (c.Dots || many)})
		}
	}
	groups := p.barGroups()
	for _, b := range p.Bars {
		item := legendItem{name: b.Group, style: b.Style, ink: slices.Index(groups, b.Group), bar: true}
		if b.Group != "" && !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}

// legendColumns is how many names fit beside each other.
func (k *canvas) legendColumns(items []legendItem) int {
	longest := 0
	for _, item := range items {
		longest = max(longest, utf8.RuneCountInString(item.name))
	}
	return max(1, min(3, int(k.plotWidth()/(sampleWide+16+letterWidth*float64(longest)))))
}

func (k *canvas) legendRows(items []legendItem) int {
	columns := k.legendColumns(items)
	return (len(items) + columns - 1) / columns
}

func (k *canvas) drawLegend(items []legendItem) {
	columns := k.legendColumns(items)
	for i, item := range items {
		x := left + k.plotWidth()/float64(columns)*float64(i%columns)
		y := k.top - lineHeight*float64(k.legendRows(items)-i/columns) + 4
		fmt.Fprintf(k, `<g class="%s">`, inkClass(item.style, item.ink))
		k.drawSample(item, x, y)
		k.WriteString(`</g>`)
		k.drawText(x+sampleWide+6, y+4, "start", "ink", item.name)
	}
}

// drawSample draws a piece of a line, or a small bar.
func (k *canvas) drawSample(item legendItem, x, y float64) {
	if !item.bar {
		fmt.Fprintf(k, `<path d="M%.1f %.1fh%d" fill="none" %s/>`, x, y, sampleWide, strokeOf(item.style))
		if item.marked {
			k.drawMarker(item.ink, x+sampleWide/2, y, 3)
		}
		return
	}

	shape := fmt.Sprintf(`x="%.1f" y="%.1f" width="%d" height="10"`, x, y-5, sampleWide)
	k.fillBar(shape, item.style, item.ink)
}
