package simulation

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	plotW, plotH          = 640, 400
	plotLeft, plotRight   = 64, 24
	plotTop, plotBottom   = 64, 56
	plotWidth, plotHeight = plotW - plotLeft - plotRight, plotH - plotTop - plotBottom
)

var lineColours = []string{"#1b6ac9", "#d1495b", "#2e933c", "#7a4fb5"}

// SVG draws, for each policy, which share of all who wanted a ride had the car
// within a time. A curve ends at the share that was served at all. The seeds
// are taken together.
func (r Report) SVG() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, plotW, plotH)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`, plotW, plotH)
	drawLabel(&b, 16, 24, "start", "#111", fmt.Sprintf("%s: %d drivers, %g riders per hour, %g h from %d:00", r.City, r.Drivers, r.PerHour, r.Hours, r.Begin))
	drawLabel(&b, 16, 42, "start", "#555", "who wanted a ride and had the car within …")
	var longest time.Duration
	for _, p := range r.Policies {
		for _, run := range p.Runs {
			if n := len(run.Waits); n > 0 {
				longest = max(longest, run.Waits[n-1])
			}
		}
	}

	minutes := max(5, 5*math.Ceil(longest.Minutes()/5))
	at := func(wait, share float64) (x, y float64) {
		return plotLeft + wait/minutes*plotWidth, plotTop + (1-share)*plotHeight
	}
	for share := 0; share <= 100; share += 20 {
		x, y := at(0, float64(share)/100)
		fmt.Fprintf(&b, `<path d="M%.1f %.1fh%d" stroke="#ddd"/>`, x, y, plotWidth)
		drawLabel(&b, x-8, y+4, "end", "#555", fmt.Sprintf("%d %%", share))
	}

	step := max(1, math.Ceil(minutes/15))
	for m := 0.0; m <= minutes; m += step {
		x, y := at(m, 0)
		drawLabel(&b, x, y+18, "middle", "#555", fmt.Sprintf("%g", m))
	}
	drawLabel(&b, plotLeft+plotWidth/2, plotH-14, "middle", "#111", "minutes from the request to the car")

	for i, p := range r.Policies {
		ink := lineColours[i%len(lineColours)]
		var path strings.Builder
		x, y := at(0, 0)
		fmt.Fprintf(&path, "M%.1f %.1f", x, y)

		for s := 0.0; s <= 60*minutes; s += 6 * minutes / 20 {
			x, y := at(s/60, p.servedWithin(time.Duration(s*float64(time.Second))))
			fmt.Fprintf(&path, "L%.1f %.1f", x, y)
		}

		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`, &path, ink)
		drawLabel(&b, plotLeft+plotWidth, float64(18+15*i), "end", ink, p.Policy)
	}

	b.WriteString("</svg>\n")
	return b.String()
}

// servedWithin returns the share of all who wanted a ride whose car was there
// within a time.
func (p PolicySum) servedWithin(d time.Duration) float64 {
	served, wished := 0, 0
	for _, r := range p.Runs {
		n, _ := slices.BinarySearch(r.Waits, d+1)
		served, wished = served+n, wished+r.Wishes
	}
	return float64(served) / float64(max(1, wished))
}

func drawLabel(b *strings.Builder, x, y float64, anchor, ink, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`, x, y, anchor, ink, html.EscapeString(s))
}
