package plot

import (
	"fmt"
	"html"
	"slices"
	"unicode/utf8"
)

// barNames returns the places of bars on the x axis, in their order.
func (p Panel) barNames() (out []string) {
	for _, b := range p.Bars {
		if !slices.Contains(out, b.Name) {
			out = append(out, b.Name)
		}
	}
	return out
}

// barGroups returns the groups of bars, in their order.
func (p Panel) barGroups() (out []string) {
	for _, b := range p.Bars {
		if !slices.Contains(out, b.Group) {
			out = append(out, b.Group)
		}
	}
	return out
}

// barShare is how much of its place on the axis a bar takes.
const barShare = .84

func (k *canvas) drawBars(p Panel) {
	names, groups := p.barNames(), p.barGroups()
	place := k.plotWidth() / float64(len(names))
	for n, name := range names {
		bars := slices.DeleteFunc(slices.Clone(p.Bars), func(b Bar) bool { return b.Name != name })
		x := left + float64(n)*place
		k.drawBarName(x+place/2, name)

		width := barShare * place / float64(len(bars))
		for i, b := range bars {
			k.drawBar(b, slices.Index(groups, b.Group), x+(1-barShare)/2*place+float64(i)*width, width)
		}
	}
}

func (k *canvas) drawBarName(x float64, name string) {
	y := k.top + plotHeight + 16
	if !k.tilt {
		k.drawText(x, y, "middle", "pale", name)
		return
	}
	fmt.Fprintf(k, `<text class="pale" transform="translate(%.1f %.1f) rotate(%d)" text-anchor="end">%s</text>`, x+4, y-4, -tiltAngle, html.EscapeString(name))
}

// drawBar draws a bar, and its height above it where there is room.
func (k *canvas) drawBar(b Bar, group int, x, width float64) {
	height := formatHeight(b.Height)
	base, y := k.top+plotHeight, k.top+plotHeight
	if b.Height > 0 && k.y.canPlace(b.Height) {
		y = min(base, k.placeY(b.Height))
	}
	if letterWidth*float64(utf8.RuneCountInString(height)) <= width {
		k.drawText(x+width/2, y-4, "middle", "pale halo", height)
	}

	shape := fmt.Sprintf(`x="%.1f" y="%.1f" width="%.1f" height="%.1f"`, x, y, width, base-y)
	fmt.Fprintf(k, `<g class="%s">`, inkClass(b.Style, group))
	k.fillBar(shape, b.Style, group)
	k.WriteString(`</g>`)
}

// fillBar draws a bar in the colour and with the pattern of its group.
func (k *canvas) fillBar(shape string, style Style, group int) {
	if style == Guess {
		fmt.Fprintf(k, `<rect %s fill="none" %s/>`, shape, strokeOf(Guess))
		return
	}
	fmt.Fprintf(k, `<rect %s fill="currentColor"/>`, shape)
	if pattern := group % patternCount; pattern > 0 && style != Law {
		fmt.Fprintf(k, `<rect %s fill="url(#p%d)"/>`, shape, pattern)
	}
}
