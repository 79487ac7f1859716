package doors

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

// Door is what one door cost and brought. Per position means for each position
// that a rider saw; ages are of the picture on the screen.
type Door struct {
	Name      string  `json:"name"`
	Every     float64 `json:"poll_interval_s,omitempty"`
	Published int     `json:"published"`
	Shown     int     `json:"shown"`
	Requests  int     `json:"requests"`
	AgeMean   float64 `json:"age_mean_s"`
	AgeWorst  float64 `json:"age_worst_s"`
	BytesDown float64 `json:"bytes_down_per_position"`
	CPUDown   float64 `json:"cpu_down_us_per_position"`
	BytesUp   float64 `json:"bytes_up_per_fix"`
	CPUUp     float64 `json:"cpu_up_us_per_fix"`
}

// Missed returns the share of positions that riders never saw.
func (d Door) Missed() float64 {
	return 1 - float64(d.Shown)/float64(max(1, d.Published))
}

// window is the time in which all doors are watched, with the same positions.
type window struct {
	fixes int           // of each car
	every time.Duration // between two of them
	begun time.Time
	polls map[string][]float64 // by door: when in an interval each rider first polls
}

// newWindow spreads the riders' polls evenly over the interval, in an order
// that the seed gives.
func newWindow(fixes int, every time.Duration, riders int, seed uint64) *window {
	w := &window{fixes: fixes, every: every, polls: map[string][]float64{}}
	order := rand.New(rand.NewPCG(seed, 2))
	for _, d := range doors {
		for _, place := range order.Perm(riders) {
			w.polls[d.name] = append(w.polls[d.name], (float64(place)+.5)/float64(riders))
		}
	}
	return w
}

// firstFix returns when a car's first fix is due: the cars are spread evenly.
func (w *window) firstFix(car, cars int) time.Time {
	return w.begun.Add(time.Duration(float64(car) / float64(cars) * float64(w.every)))
}

// end returns when a car's picture is looked at for the last time.
func (w *window) end(car, cars int) time.Time {
	return w.firstFix(car, cars).Add(time.Duration(w.fixes) * w.every)
}

// watchCrowds lets the cars drive while riders look through all doors, and
// returns what they saw. The riders of the crowds stay.
func (w *window) watchCrowds(ctx context.Context, t *town, crowds []*crowd) ([]Door, error) {
	for _, c := range crowds {
		if c.every == 0 {
			c.enter(ctx)
		}
	}
	for _, c := range crowds {
		if c.every == 0 {
			if err := c.awaitFirst(ctx); err != nil {
				return nil, err
			}
		}
	}

	w.begun = time.Now().Add(50 * time.Millisecond)
	for _, c := range crowds {
		c.begin(w, len(t.pairs))
		if c.every > 0 {
			c.enter(ctx)
		}
	}

	before := make([]float64, len(crowds))
	for i, c := range crowds {
		before[i] = countBytes(c.meter)
	}
	if err := w.driveCars(ctx, t); err != nil {
		return nil, err
	}

	out := make([]Door, len(crowds))
	for i, c := range crowds {
		out[i] = c.sumUp(w, len(t.pairs))
		out[i].BytesDown = (countBytes(c.meter) - before[i]) / float64(max(1, out[i].Shown))
	}
	return out, nil
}

// begin starts the riders' measurement: what was on the screen before counts
// for nothing.
func (c *crowd) begin(w *window, cars int) {
	for i, v := range c.viewers {
		v.beginAfter(v.pair.seq)
		if c.every > 0 {
			v.firstPoll = w.firstFix(i, cars).Add(time.Duration(w.polls[c.name][i] * float64(c.every)))
			v.lastPoll = w.end(i, cars)
		}
	}
}

// driveCars sends each car's fixes when they are due, and returns after the
// last picture.
func (w *window) driveCars(ctx context.Context, t *town) error {
	cars := len(t.pairs)
	for round := range w.fixes {
		for i, p := range t.pairs {
			due := w.firstFix(i, cars).Add(time.Duration(round) * w.every)
			if !sleep.Until(ctx, due) {
				return ctx.Err()
			}
			if err := p.sendFix(due); err != nil {
				return err
			}
		}
	}
	if !sleep.Until(ctx, w.end(cars-1, cars)) {
		return ctx.Err()
	}
	return nil
}

// sumUp adds up what the riders of one door saw.
func (c *crowd) sumUp(w *window, cars int) Door {
	d := Door{Name: c.name, Every: c.every.Seconds(), Published: w.fixes * cars}
	var all age
	for i, v := range c.viewers {
		a := v.ageUntil(w.end(i, cars))
		all.total += a.total
		all.over += a.over
		all.worst = max(all.worst, a.worst)
		shown, requests := v.countShown()
		d.Shown += shown
		d.Requests += requests
	}

	if all.over > 0 {
		d.AgeMean = all.total / all.over
	}
	d.AgeWorst = all.worst
	return d
}

func (s *screen) countShown() (shown, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.shows), s.requests
}
