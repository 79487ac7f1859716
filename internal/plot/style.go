package plot

import "fmt"

// Colours, markers and patterns. A curve is told by its marker and a group of
// bars by its pattern, so that colour is never needed.
const (
	inks       = 8  // colours, after which they repeat
	tiltAngle  = 50 // degrees, of names of bars that do not fit
	sampleWide = 24 // of a line in the legend
)

// stylesheet has the colours of paper, and those of a dark screen.
const stylesheet = `.plot .paper,.plot .hollow{fill:#fff}.plot .ink{fill:#111}.plot .strong{font-weight:600}.plot .pale{fill:#555}` +
	`.plot .halo{stroke:#fff;stroke-width:3;paint-order:stroke}` +
	`.plot .grid{stroke:#ddd}.plot .axis{stroke:#555}.plot .limit{stroke:#333;stroke-width:1.5;stroke-dasharray:2 3}` +
	`.plot .i0{color:#1b6ac9}.plot .i1{color:#c22f4b}.plot .i2{color:#2a7d34}.plot .i3{color:#7a4fb5}` +
	`.plot .i4{color:#b25a00}.plot .i5{color:#007a8a}.plot .i6{color:#a8328f}.plot .i7{color:#6b6200}` +
	`.plot .law{color:#8a8a8a}.plot .guess{color:#111}.plot .earlier{opacity:.35}` +
	`@media screen and (prefers-color-scheme:dark){` +
	`.plot .paper,.plot .hollow{fill:#14171c}.plot .ink{fill:#eceef1}.plot .pale{fill:#aab1ba}.plot .halo{stroke:#14171c}` +
	`.plot .grid{stroke:#30363f}.plot .axis{stroke:#aab1ba}.plot .limit{stroke:#d0d4da}` +
	`.plot .i0{color:#75b0ff}.plot .i1{color:#ff8a9c}.plot .i2{color:#6fce7b}.plot .i3{color:#bd9bf0}` +
	`.plot .i4{color:#f0a04b}.plot .i5{color:#4fc7d8}.plot .i6{color:#f08ad8}.plot .i7{color:#d3c84e}` +
	`.plot .law{color:#8f969f}.plot .guess{color:#eceef1}.plot .earlier{opacity:.45}}`

// patterns are drawn over the bars of all groups but the first, in the colour
// of the paper, and hatch bands.
const patterns = `<defs>` +
	`<pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="grid" d="M0 0V7" stroke-width="3"/></pattern>` +
	`<pattern id="p1" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="paper" width="2" height="6"/></pattern>` +
	`<pattern id="p2" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="paper" width="6" height="2"/></pattern>` +
	`<pattern id="p3" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="paper" x="2" y="2" width="3" height="3"/></pattern>` +
	`<pattern id="p4" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)"><rect class="paper" width="2" height="6"/></pattern>` +
	`<pattern id="p5" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="paper" width="2" height="6"/></pattern>` +
	`</defs>`

const patternCount = 6 // with none

// drawMarker draws the marker of a curve around a point. A radius of 3 is
// usual.
func (k *canvas) drawMarker(ink int, x, y, r float64) {
	switch ink % inks {
	case 0:
		fmt.Fprintf(k, `<circle cx="%.1f" cy="%.1f" r="%g" fill="currentColor"/>`, x, y, r)
	case 1:
		fmt.Fprintf(k, `<rect x="%.1f" y="%.1f" width="%g" height="%g" fill="currentColor"/>`, x-r, y-r, 2*r, 2*r)
	case 2:
		k.drawPath(`fill="currentColor"`, "M%.1f %.1fl%g %gh%gz", x, y-1.3*r, 1.3*r, 2.3*r, -2.6*r)
	case 3:
		k.drawPath(`fill="currentColor"`, "M%.1f %.1fl%g %gl%g %gl%g %gz", x, y-1.4*r, 1.4*r, 1.4*r, -1.4*r, 1.4*r, -1.4*r, -1.4*r)
	case 4:
		k.drawPath(`stroke="currentColor" stroke-width="2"`, "M%.1f %.1fl%g %gM%.1f %.1fl%g %g", x-r, y-r, 2*r, 2*r, x-r, y+r, 2*r, -2*r)
	case 5:
		k.drawPath(`stroke="currentColor" stroke-width="2"`, "M%.1f %.1fv%gM%.1f %.1fh%g", x, y-1.3*r, 2.6*r, x-1.3*r, y, 2.6*r)
	case 6:
		fmt.Fprintf(k, `<circle class="hollow" cx="%.1f" cy="%.1f" r="%g" stroke="currentColor" stroke-width="1.5"/>`, x, y, r)
	default:
		k.drawPath(`fill="currentColor"`, "M%.1f %.1fl%g %gh%gz", x, y+1.3*r, 1.3*r, -2.3*r, -2.6*r)
	}
}

func (k *canvas) drawPath(attributes, format string, values ...any) {
	fmt.Fprintf(k, `<path %s d="`+format+`"/>`, append([]any{attributes}, values...)...)
}
