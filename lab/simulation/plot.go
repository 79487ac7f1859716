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
	p := &plot{minutes: max(5, 5*math.Ceil(r.longestWait().Minutes()/5))}
	fmt.Fprintf(p, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, plotW, plotH)
	fmt.Fprintf(p, `<rect width="%d" height="%d" fill="#fff"/>`, plotW, plotH)
	p.drawLabel(16, 24, "start", "#111", fmt.Sprintf("%s: %d drivers, %g riders per hour, %g h from %d:00", r.City, r.Drivers, r.PerHour, r.Hours, r.Begin))
	p.drawLabel(16, 42, "start", "#555", "who wanted a ride and had the car within …")
	p.drawAxes()
	for i, policy := range r.Policies {
		colour := lineColours[i%len(lineColours)]
		p.drawCurve(policy, colour)
		p.drawLabel(plotLeft+plotWidth, float64(18+15*i), "end", colour, policy.Policy)
	}
	p.WriteString("</svg>\n")
	return p.String()
}

func (r Report) longestWait() (longest time.Duration) {
	for _, p := range r.Policies {
		for _, run := range p.Runs {
			if n := len(run.Waits); n > 0 {
				longest = max(longest, run.Waits[n-1])
			}
		}
	}
	return longest
}

// plot is a picture under construction.
type plot struct {
	strings.Builder
	minutes float64 // at the right end of the axis
}

// position returns where a wait, in minutes, and a share are in the picture.
func (p *plot) position(wait, share float64) (x, y float64) {
	return plotLeft + wait/p.minutes*plotWidth, plotTop + (1-share)*plotHeight
}

func (p *plot) drawAxes() {
	for share := 0; share <= 100; share += 20 {
		x, y := p.position(0, float64(share)/100)
		fmt.Fprintf(p, `<path d="M%.1f %.1fh%d" stroke="#ddd"/>`, x, y, plotWidth)
		p.drawLabel(x-8, y+4, "end", "#555", fmt.Sprintf("%d %%", share))
	}
	step := max(1, math.Ceil(p.minutes/15))
	for m := 0.0; m <= p.minutes; m += step {
		x, y := p.position(m, 0)
		p.drawLabel(x, y+18, "middle", "#555", fmt.Sprintf("%g", m))
	}
	p.drawLabel(plotLeft+plotWidth/2, plotH-14, "middle", "#111", "minutes from the request to the car")
}

func (p *plot) drawCurve(policy PolicySum, colour string) {
	x, y := p.position(0, 0)
	fmt.Fprintf(p, `<path d="M%.1f %.1f`, x, y)
	for s := 0.0; s <= 60*p.minutes; s += 6 * p.minutes / 20 {
		x, y := p.position(s/60, policy.servedWithin(time.Duration(s*float64(time.Second))))
		fmt.Fprintf(p, "L%.1f %.1f", x, y)
	}
	fmt.Fprintf(p, `" fill="none" stroke="%s" stroke-width="2"/>`, colour)
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

func (p *plot) drawLabel(x, y float64, anchor, colour, text string) {
	fmt.Fprintf(p, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`, x, y, anchor, colour, html.EscapeString(text))
}
