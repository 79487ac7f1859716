package trace

import (
	"fmt"
	"strings"

	"github.com/ridehail/ridehail/location"
)

// Text formats the report for a person.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "recording of %.0f s: %d cars, %d fixes of %d rows, %d bad\n", r.Seconds, r.Cars, r.Fixes, r.Rows, r.BadRows)
	for _, row := range r.NamedRows {
		fmt.Fprintf(&b, "  %s\n", row)
	}
	return b.String()
}

// CountOutside counts the cars whose first fix is outside an area.
func (t Trace) CountOutside(contains func(location.Point) bool) (n int) {
	for _, car := range t.Cars {
		if !contains(car.Fixes[0].Point) {
			n++
		}
	}
	return n
}
