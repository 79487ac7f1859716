// Package detectors holds the lab's experiment with failure detectors: whether
// a driver whose phone is silent failed, or is only slow.
package detectors

import (
	"context"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// Detectors returns the experiment detectors.
func Detectors() finding.Experiment {
	return finding.Experiment{
		Name:      "detectors",
		Topic:     finding.RideHailing,
		Asks:      []string{"C2"},
		Question:  "Failed, or only slow?",
		Teaser:    "failed, or only slow",
		Situation: "A bad link has tunnels. To err there as seldom as on a good link, a timeout must be:",
		Options:   []string{"as long as on the good link", "twice as long", "about 4 times as long", "over 30 s: no timeout does it"},
		Knobs: []finding.Knob{
			{Name: "hours", Label: "Driver-hours on each link", Help: "Driver-hours on each link, in virtual time.",
				Default: 200, Low: 50, High: 5000, Step: 1, Log: true},
			{Name: "target", Label: "False alarms an hour", Help: "False alarms per driver-hour that a timeout may raise.",
				Default: 0.2, Low: 0.05, High: 5, Step: 0.05, Log: true},
			{Name: "stalls", Label: "Stalls of the bad link", Help: "How often an hour the bad link stalls; the good one does 4 times.",
				Default: 40, Low: 4, High: 120, Step: 1, Log: true},
		},
		Takes: 3 * time.Second,
		Real:  "the app's grades of silence, phi as in the paper and in Akka",
		Made:  "links, deaths",
		Code: []finding.Code{
			{File: "sharedstate/nearest.go", Func: "Drivers.Nearest", Why: "3 s: no offers"},
			{File: "lab/accrual/phi.go", Func: "Phi.Suspicion", Why: "phi"},
		},
		Next:  "--stalls 4, then 120: what does phi save? Every setting: --all",
		Frame: emptyChart,
		Run:   runDetectors,
	}
}

// runDetectors asks whether phi-accrual finds dead drivers sooner than a fixed
// timeout does, for as many false alarms.
func runDetectors(ctx context.Context, r *finding.Run) (finding.Result, error) {
	links, hours := modelLinks(r.Number("stalls")), r.Int("hours")

	raced := make([][]entrant, len(links))
	var racing sync.WaitGroup
	for i, l := range links {
		racing.Go(func() {
			raced[i] = runRace(ctx, l, uint64(i), r.Seed, hours, func(driven int, field []entrant) { tellPoints(r, l.name, driven, field) })
		})
	}
	racing.Wait()
	if err := ctx.Err(); err != nil {
		return finding.Result{}, err
	}

	var points []detectorPoint
	for i, l := range links {
		points = append(points, buildPoints(l.name, hours, raced[i])...)
	}
	points = append(points, buildPoints(mixedFleet, hours*len(links), mergeRaces(raced...))...)
	compareWithTimeouts(points)
	return buildResult(r.Values, points, raced[0]), nil
}

// tellEvery is how many driver-hours pass between two drawings of the curves.
const tellEvery = 5 * shiftHours

// tellPoints tells the curves of the fixed timeout so far.
func tellPoints(r *finding.Run, link string, driven int, field []entrant) {
	if driven%tellEvery != 0 {
		return
	}
	for _, p := range buildPoints(link, driven, field[:1]) {
		r.Point(link, p.Mean, p.PerHour)
	}
}

// emptyChart shows the law of each link: no timeout errs more seldom than the
// link stalls for longer than it.
func emptyChart(v finding.Values) plot.Chart {
	first := plot.Panel{Name: "a fixed timeout", Limits: []plot.Limit{{At: v.Number("target"), Name: "target"}}}
	for _, l := range modelLinks(v.Number("stalls")) {
		law := plot.Curve{Name: l.name + ": stalls that last longer", Style: plot.Law}
		for after := 1.5; after <= 30; after += 0.5 {
			// On average half a beat has passed before a death.
			law.Points = append(law.Points, plot.Point{X: after - heartbeatInterval.Seconds()/2, Y: l.stallsLongerThan(after)})
		}
		first.Curves = append(first.Curves, law)
	}
	return plot.Chart{
		X:      plot.Axis{Name: "seconds until found", End: 30},
		Y:      plot.Axis{Name: "false alarms per driver-hour", Log: true, Start: 0.001, End: 100},
		Panels: []plot.Panel{first, {Name: mixedFleet}},
	}
}
