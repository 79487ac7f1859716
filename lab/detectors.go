package lab

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/lab/accrual"
)

// DetectorsConfig is what the experiment with failure detectors may be told.
type DetectorsConfig struct {
	Hours int    // of driving on each link, more than 0
	Seed  uint64 // the same one gives the same Finding
}

// DetectorsFigures are the experiment's figures.
type DetectorsFigures struct {
	Hours  int             `json:"driver_hours_per_link"`
	Seed   uint64          `json:"seed"`
	Points []DetectorPoint `json:"points"`
}

// DetectorPoint is how one setting of a detector does on one link.
type DetectorPoint struct {
	Link     string `json:"link"`
	Detector string `json:"detector"`
	Setting  string `json:"setting"`
	// what the service does at this setting
	App     string  `json:"app,omitempty"`
	Mean    float64 `json:"detection_mean_s"`      // from death to verdict
	P99     float64 `json:"detection_p99_s"`       // likewise, within 0.1 s
	False   int     `json:"false_positives"`       // verdicts on living drivers
	PerHour float64 `json:"false_per_driver_hour"` // likewise
	// false positives, against a fixed timeout with the same mean
	Ratio float64 `json:"times_a_timeout,omitempty"`
}

// The detectors that run. Each entrant is fed once and read at many levels.
const (
	fixedTimeout = "fixed timeout"
	phiPaper     = "phi, the paper's"
	phiAkka      = "phi, Akka's"
)

// shiftLength is how long a driver drives; the next one's detectors start afresh.
const shiftLength = 8 * time.Hour

// deathInterval is the mean time between the moments at which the experiment
// asks: what if the driver died now?
const deathInterval = 20 * time.Second

// mixedFleet has as many drivers on the one link as on the other, and one
// setting for all.
const mixedFleet = "mixed fleet"

// Detectors asks whether phi-accrual finds dead drivers sooner than a fixed
// timeout does, for as many false alarms.
func Detectors(ctx context.Context, cfg DetectorsConfig) (Finding, error) {
	if cfg.Hours <= 0 {
		return Finding{}, fmt.Errorf("the experiment needs at least one hour of driving, not %d", cfg.Hours)
	}

	raced := make([][]entrant, len(modelLinks))
	var racing sync.WaitGroup
	for i, l := range modelLinks {
		racing.Go(func() { raced[i] = runRace(ctx, l, uint64(i), cfg) })
	}
	racing.Wait()
	if err := ctx.Err(); err != nil {
		return Finding{}, err
	}

	figures := DetectorsFigures{Hours: cfg.Hours, Seed: cfg.Seed}
	for i, l := range modelLinks {
		figures.Points = append(figures.Points, buildPoints(l.name, cfg.Hours, raced[i])...)
	}

	figures.Points = append(figures.Points, buildPoints(mixedFleet, cfg.Hours*len(modelLinks), mergeRaces(raced...))...)
	compareWithTimeouts(figures.Points)
	return Finding{
		Experiment: "detectors",
		Question:   "Does phi-accrual find dead drivers sooner than a fixed timeout, for as many false alarms?",
		Model:      linkParameters(),
		Figures:    figures,
		Says:       formatVerdict(figures.Points),
		Table:      detectorTable(figures.Points),
		Chart:      detectorChart(figures.Points),
	}, nil
}

// entrant is one detector and what came of it at each setting, by rising levels
// of suspicion.
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
	for after := 1500 * time.Millisecond; after <= 30*time.Second; after += 250 * time.Millisecond {
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

// runRace lets all entrants hear the same beats.
func runRace(ctx context.Context, l link, number uint64, cfg DetectorsConfig) []entrant {
	field := newEntrants()
	left := time.Duration(cfg.Hours) * time.Hour
	for phone := uint64(0); left > 0 && ctx.Err() == nil; phone++ {
		simulateShift(newRadio(l, cfg.Seed, phone<<8|number), min(left, shiftLength), field)
		left -= shiftLength
	}
	return field
}

// simulateShift is one driver's shift. Between two beats each detector may take the
// driver for dead, which is false; and at random moments it is asked when it
// would have noticed a death.
func simulateShift(r *radio, length time.Duration, field []entrant) {
	began := time.Unix(0, 0)
	detectors := make([]accrual.Detector, len(field))
	for i, e := range field {
		detectors[i] = e.make()
	}

	death := time.Duration(r.rng.ExpFloat64() * float64(deathInterval))
	for at, first := time.Duration(0), true; at < length; at += heartbeatInterval {
		arrived := r.send(at)
		if first {
			death += arrived // before, there is nobody to die
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

// recordHeartbeat counts the settings at which the verdict came before the sign of life.
func (e *entrant) recordHeartbeat(d accrual.Detector, until time.Time) {
	suspicion := d.Suspicion(until)
	for i := 0; i < len(e.settings) && suspicion >= e.settings[i].level; i++ {
		e.settings[i].tally.wrong++
	}
	d.RecordHeartbeat(until)
}

// recordDeath notes how long each setting would have taken; nothing where the verdict
// had already come.
func (e *entrant) recordDeath(d accrual.Detector, at time.Time) {
	for i := range e.settings {
		e.settings[i].tally.addDetection(d.ReachesAt(e.settings[i].level).Sub(at))
	}
}

// tally is what came of one setting.
type tally struct {
	wrong  int
	deaths int
	total  time.Duration
	// deaths by the tenth of a second in which they were found; the last holds
	// all that took longer
	within [2000]int32
}

func (t *tally) addDetection(after time.Duration) {
	after = max(0, after)
	t.deaths++
	t.total += after
	t.within[min(int(after/(100*time.Millisecond)), len(t.within)-1)]++
}

func (t *tally) mean() float64 { return t.total.Seconds() / float64(max(1, t.deaths)) }

// p99 is the end of the tenth of a second below which 99 of 100 deaths were
// found.
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

func buildPoints(link string, hours int, field []entrant) (out []DetectorPoint) {
	for _, e := range field {
		for i := range e.settings {
			s := &e.settings[i]
			out = append(out, DetectorPoint{Link: link, Detector: e.name, Setting: s.name, App: s.app,
				Mean: roundTo(s.tally.mean(), 3), P99: s.tally.p99(), False: s.tally.wrong,
				PerHour: roundTo(float64(s.tally.wrong)/float64(hours), 6)})
		}
	}
	return out
}

func roundTo(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

// enoughFalse false positives for a rate to mean something: it is then known to
// about 20 % (Poisson).
const enoughFalse = 25

// compareWithTimeouts sets each point of phi against a fixed timeout with the same mean
// detection time, between the two nearest that were run, straight on a
// logarithmic scale of false positives.
func compareWithTimeouts(points []DetectorPoint) {
	for i := range points {
		p := &points[i]
		if p.Detector == fixedTimeout || p.False < enoughFalse {
			continue
		}

		timeouts := slices.DeleteFunc(slices.Clone(points), func(q DetectorPoint) bool {
			return q.Link != p.Link || q.Detector != fixedTimeout || q.False < enoughFalse
		})
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
