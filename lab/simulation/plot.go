package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
)

// plotSteps is how many points a curve has.
const plotSteps = 200

// SVG draws, for each policy, which share of all who wanted a ride had the car
// within a time. A curve ends at the share that was served at all. The seeds
// are taken together.
func (r Report) SVG() string {
	longest := r.longestWait()
	var panel plot.Panel
	for _, p := range r.Policies {
		curve := plot.Curve{Name: p.Policy}
		for i := range plotSteps + 1 {
			wait := longest * time.Duration(i) / plotSteps
			curve.Points = append(curve.Points, plot.Point{X: wait.Minutes(), Y: 100 * p.servedWithin(wait)})
		}

		panel.Curves = append(panel.Curves, curve)
	}

	return plot.Chart{
		Title:    fmt.Sprintf("%s: %d drivers, %g riders per hour, %g h from %d:00", r.City, r.Drivers, r.PerHour, r.Hours, r.Begin),
		Subtitle: "who wanted a ride and had the car within …",
		X:        plot.Axis{Name: "minutes from the request to the car"},
		Y:        plot.Axis{Name: "% of all who wanted a ride", End: 100},
		Panels:   []plot.Panel{panel},
	}.SVG()
}

// longestWait returns that of all runs, and five minutes at least.
func (r Report) longestWait() time.Duration {
	longest := 5 * time.Minute
	for _, p := range r.Policies {
		for _, run := range p.Runs {
			if n := len(run.Waits); n > 0 {
				longest = max(longest, run.Waits[n-1])
			}
		}
	}
	return longest
}

// servedWithin returns the share of all who wanted a ride that had the car
// within d.
func (p PolicySum) servedWithin(d time.Duration) float64 {
	served, wished := 0, 0
	for _, r := range p.Runs {
		n, _ := slices.BinarySearch(r.Waits, d+1)
		served, wished = served+n, wished+r.Wishes
	}
	return float64(served) / float64(max(1, wished))
}
