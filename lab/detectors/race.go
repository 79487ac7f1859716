package detectors

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/lab/accrual"
)

// detectorPoint is the result of one setting of a detector on one link. App
// names what the service does at this setting. Times are from death to verdict,
// P99 within 0.1 s. False positives are verdicts on living drivers; Ratio
// compares them with a fixed timeout of the same mean.
type detectorPoint struct {
	Link     string  `json:"link"`
	Detector string  `json:"detector"`
	Setting  string  `json:"setting"`
	App      string  `json:"app,omitempty"`
	Mean     float64 `json:"detection_mean_s"`
	P99      float64 `json:"detection_p99_s"`
	False    int     `json:"false_positives"`
	PerHour  float64 `json:"false_per_driver_hour"`
	Ratio    float64 `json:"times_a_timeout,omitempty"`

	level float64 // of the setting: seconds of a timeout, or phi
}

// Names of the detectors.
const (
	fixedTimeout = "fixed timeout"
	phiPaper     = "phi, the paper's"
	phiAkka      = "phi, Akka's"
)

// shiftHours is how long a driver drives. The next driver has new detectors.
const shiftHours = 8

// deathInterval is the mean time between the moments at which the experiment
// assumes that the driver dies.
const deathInterval = 20 * time.Second

const longestTimeout = 30 * time.Second

// akkaDefault is the setting that Akka comes with.
const akkaDefault = "phi 8, pause 3s"

// mixedFleet has as many drivers on the one link as on the other, and one
// setting for all.
const mixedFleet = "mixed fleet"

// entrant is one detector with its settings, by rising levels of suspicion. The
// detector is fed once and read at all levels.
type entrant struct {
	name     string
	settings []setting
	make     func() accrual.Detector
}

type setting struct {
	name  string
	app   string
	level float64
	tally tally
}

func newEntrants() []entrant {
	app := map[time.Duration]string{detector.SuspectAfter: "suspect", detector.OfflineAfter: "offline",
		detector.CommsLostAfter: "comms_lost"}
	fixed := entrant{name: fixedTimeout, make: func() accrual.Detector { return new(accrual.Fixed) }}
	for after := 1500 * time.Millisecond; after <= longestTimeout; after += 250 * time.Millisecond {
		fixed.settings = append(fixed.settings, setting{name: after.String(), app: app[after], level: after.Seconds()})
	}

	paper := entrant{name: phiPaper, make: func() accrual.Detector { return accrual.NewPhi(accrual.PhiOptions{}) }}
	for _, phi := range []float64{1, 2, 4, 8, 16, 32, 64, 128, 256} {
		paper.settings = append(paper.settings, setting{name: fmt.Sprintf("phi %g", phi), level: phi})
	}

	out := []entrant{fixed, paper}
	for _, s := range []int{0, 1, 2, 3, 4, 5, 6, 8, 10, 13} {
		pause := time.Duration(s) * time.Second
		out = append(out, entrant{name: phiAkka,
			make:     func() accrual.Detector { return accrual.NewPhi(accrual.AkkaOptions(pause)) },
			settings: []setting{{name: fmt.Sprintf("phi 8, pause %v", pause), level: accrual.AkkaThreshold}}})
	}
	return out
}

// runRace feeds all entrants the same heartbeats. It ends early with ctx. It
// calls onShift, with the hours driven so far, after each driver's shift.
func runRace(ctx context.Context, l link, number, seed uint64, hours int, onShift func(hours int, field []entrant)) []entrant {
	field := newEntrants()
	for driven, phone := 0, uint64(0); driven < hours && ctx.Err() == nil; phone++ {
		shift := min(hours-driven, shiftHours)
		simulateShift(newRadio(l, seed, phone<<8|number), time.Duration(shift)*time.Hour, field)
		driven += shift
		onShift(driven, field)
	}
	return field
}

// simulateShift simulates one driver's shift. A verdict between two heartbeats
// is false. At random moments each detector is asked when it would have noticed
// a death.
func simulateShift(r *radio, length time.Duration, field []entrant) {
	began := time.Unix(0, 0)
	detectors := make([]accrual.Detector, len(field))
	for i, e := range field {
		detectors[i] = e.make()
	}

	death := time.Duration(r.rng.ExpFloat64() * float64(deathInterval))
	for at, first := time.Duration(0), true; at < length; at += heartbeatInterval {
		arrived := r.sendBeat(at)
		if first {
			death += arrived // a driver cannot die before the first beat
		}

		for ; death < arrived; death += time.Duration(r.rng.ExpFloat64() * float64(deathInterval)) {
			for i := range field {
				field[i].recordDeath(detectors[i], began.Add(death))
			}
		}

		for i := range field {
			field[i].recordHeartbeat(detectors[i], began.Add(arrived))
		}
		first = false
	}
}

// recordHeartbeat counts the settings whose verdict came before the heartbeat.
func (e *entrant) recordHeartbeat(d accrual.Detector, until time.Time) {
	suspicion := d.Suspicion(until)
	for i := 0; i < len(e.settings) && suspicion >= e.settings[i].level; i++ {
		e.settings[i].tally.wrong++
	}
	d.RecordHeartbeat(until)
}

// recordDeath records how long each setting would have taken: 0 if its verdict
// had come already.
func (e *entrant) recordDeath(d accrual.Detector, at time.Time) {
	for i := range e.settings {
		e.settings[i].tally.addDetection(d.ReachesAt(e.settings[i].level).Sub(at))
	}
}

// tally counts the verdicts of one setting.
type tally struct {
	wrong  int
	deaths int
	total  time.Duration
	// within counts deaths by the tenth of a second in which they were found.
	// The last one holds all that took longer.
	within [2000]int32
}

func (t *tally) addDetection(after time.Duration) {
	after = max(0, after)
	t.deaths++
	t.total += after
	t.within[min(int(after/(100*time.Millisecond)), len(t.within)-1)]++
}

func (t *tally) meanSeconds() float64 { return t.total.Seconds() / float64(max(1, t.deaths)) }

// p99 returns the end of the tenth of a second by which 99 of 100 deaths were
// found, in seconds.
func (t *tally) p99() float64 {
	seen := 0
	for i, n := range t.within {
		if seen += int(n); seen*100 >= t.deaths*99 {
			return float64(i+1) / 10
		}
	}
	return float64(len(t.within)) / 10
}

// mergeRaces adds up several races.
func mergeRaces(races ...[]entrant) []entrant {
	out := newEntrants()
	for e := range out {
		for s := range out[e].settings {
			sum := &out[e].settings[s].tally
			for _, r := range races {
				t := &r[e].settings[s].tally
				sum.wrong += t.wrong
				sum.deaths += t.deaths
				sum.total += t.total
				for i, n := range t.within {
					sum.within[i] += n
				}
			}
		}
	}

	return out
}

func buildPoints(link string, hours int, field []entrant) (out []detectorPoint) {
	for _, e := range field {
		for i := range e.settings {
			s := &e.settings[i]
			out = append(out, detectorPoint{Link: link, Detector: e.name, Setting: s.name, App: s.app, level: s.level,
				Mean: roundTo(s.tally.meanSeconds(), 3), P99: s.tally.p99(), False: s.tally.wrong,
				PerHour: roundTo(float64(s.tally.wrong)/float64(hours), 6)})
		}
	}
	return out
}

func roundTo(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

// enoughFalse false positives give a rate that is known to about 20 %
// (Poisson).
const enoughFalse = 25

// compareWithTimeouts sets the Ratio of each point of phi to a fixed timeout
// with the same mean detection time, which it interpolates between the two
// nearest ones, linearly on a logarithmic scale of false positives.
func compareWithTimeouts(points []detectorPoint) {
	for i := range points {
		p := &points[i]
		if p.Detector == fixedTimeout || p.False < enoughFalse {
			continue
		}

		timeouts := slices.DeleteFunc(pointsOf(points, p.Link, fixedTimeout), func(q detectorPoint) bool { return q.False < enoughFalse })
		for j := 1; j < len(timeouts); j++ {
			a, b := timeouts[j-1], timeouts[j]
			if a.Mean <= p.Mean && p.Mean <= b.Mean {
				way := (p.Mean - a.Mean) / (b.Mean - a.Mean)
				same := math.Exp((1-way)*math.Log(a.PerHour) + way*math.Log(b.PerHour))
				p.Ratio = roundTo(p.PerHour/same, 2)
			}
		}
	}
}
