// Package faults breaks a running city on purpose, between its real parts: the
// switches of the X-ray page. Each works on a line (Line) between two parts, or
// on the database's own lock, so that nothing is pretended. What a switch says
// of its effect is measured.
package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/xray"
)

const (
	longestOn  = 5 * time.Minute
	pageGone   = 30 * time.Second // since its page last asked
	checkEvery = 250 * time.Millisecond

	// longestAfter is how long a switch that is off speaks of its backlog, and
	// shownFor how long of its end.
	longestAfter = 90 * time.Second
	shownFor     = 10 * time.Second
	// measureTimeout bounds one look at the figures.
	measureTimeout = 400 * time.Millisecond
)

// The errors of Switch that a caller must tell apart.
var (
	errUnknown    = errors.New("there is no such fault")
	errImpossible = errors.New("this fault is not possible here")
	errClosed     = errors.New("the program ends: no fault is switched on any more")
	errOver       = errors.New("the fault is off already")
)

// fault is a switch and what it breaks.
type fault struct {
	// Fixed at creation.
	id, name, station string
	impossible        string // why; empty: it is possible

	begin  func(context.Context) error // breaks something
	repeat func()                      // every second while it is on; nil: nothing
	end    func() error                // mends what begin broke; does no harm twice
	lasts  time.Duration               // ends by itself; 0: longestOn

	// measure adds the figures that the sentences need.
	measure func(context.Context, *figures)
	// effect says what the fault does, or "" while that is not measured.
	effect func(episode) string
	// recovery says what has come back since it is off. The last sentence is
	// done.
	recovery func(episode) (sentence string, done bool)

	// Guarded by Desk.mu.
	state   state
	by      string // the page that switched it on
	since   time.Time
	heardOf time.Time // when that page asked last
	episode episode
	said    string
	saidAt  time.Time // when the last sentence came; zero: it has not yet
}

// state is where a fault is.
type state int

const (
	isOff state = iota
	isOn
	isRecovering // off, and its effect is still felt or spoken of
)

// Desk has the switches. Its methods may be called from any goroutine.
type Desk struct {
	// Fixed at creation.
	faults []*fault
	every  time.Duration // between two looks at the faults
	log    *slog.Logger
	wake   chan struct{} // one is on
	stop   context.CancelFunc
	ended  chan struct{} // closed when check has ended

	change sync.Mutex // held while something is broken or mended

	mu     sync.Mutex // guards the field below, and the states of faults
	closed bool
}

// newDesk starts to watch the faults. The caller must Close the desk.
func newDesk(log *slog.Logger, every time.Duration, faults []*fault) *Desk {
	ctx, stop := context.WithCancel(context.Background())
	d := &Desk{faults: faults, every: every, log: log, wake: make(chan struct{}, 1), stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(d.ended)
		d.checkAll(ctx)
	}()
	return d
}

// Close switches everything off, and lets nothing be switched on any more. It
// may be called several times.
func (d *Desk) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()

	d.SwitchAllOff()
	d.stop()
	<-d.ended
}

// Faults returns every switch as the page shows it.
func (d *Desk) Faults() []xray.Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	shown := make([]xray.Fault, 0, len(d.faults))
	for _, f := range d.faults {
		shown = append(shown, f.show())
	}
	return shown
}

func (f *fault) show() xray.Fault {
	s := xray.Fault{ID: f.id, Name: f.name, Station: f.station, On: f.state == isOn, Sentence: f.said,
		Possible: f.impossible == "", Why: f.impossible}
	if s.On {
		s.SinceMs, s.By = float64(f.since.UnixMicro())/1e3, f.by
	}
	return s
}

// WasOn reports whether any fault was on within a time before now.
func (d *Desk) WasOn(within time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.faults, func(f *fault) bool {
		return f.state == isOn || !f.episode.healedAt.IsZero() && time.Since(f.episode.healedAt) < within
	})
}

func (d *Desk) find(id string) *fault {
	if i := slices.IndexFunc(d.faults, func(f *fault) bool { return f.id == id }); i >= 0 {
		return d.faults[i]
	}
	return nil
}

// SwitchOn breaks something for a page, or tells that the page is still there.
// A fault that another page has on stays that page's. With keep it switches
// nothing on: the page only repeats what it believes.
func (d *Desk) SwitchOn(ctx context.Context, id, page string, keep bool) (xray.Fault, error) {
	f := d.find(id)
	switch {
	case f == nil:
		return xray.Fault{}, errUnknown
	case f.impossible != "":
		return xray.Fault{}, fmt.Errorf("%w: %s", errImpossible, f.impossible)
	}

	d.change.Lock()
	defer d.change.Unlock()
	if shown, done, err := d.keepOn(f, page, keep); done {
		return shown, err
	}

	before := d.measure(ctx, f)
	if err := f.begin(ctx); err != nil {
		return xray.Fault{}, errors.Join(err, f.end())
	}
	d.log.Warn("a fault is on", "fault", f.id, "page", page)

	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	f.state, f.by, f.since, f.heardOf, f.said, f.saidAt = isOn, page, now, now, "", time.Time{}
	f.episode = episode{before: before, last: before, began: now}
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return f.show(), nil
}

// keepOn answers for a fault that is on, or that must not be switched on.
func (d *Desk) keepOn(f *fault, page string, keep bool) (shown xray.Fault, done bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return shown, true, errClosed
	case f.state == isOn:
		if f.by == page {
			f.heardOf = time.Now()
		}
		return f.show(), true, nil
	case keep:
		return f.show(), true, errOver
	}
	return shown, false, nil
}

// SwitchOff mends what a fault broke; any page may.
func (d *Desk) SwitchOff(id string) (xray.Fault, error) {
	f := d.find(id)
	if f == nil {
		return xray.Fault{}, errUnknown
	}
	err := d.mend(f, "asked")
	d.mu.Lock()
	defer d.mu.Unlock()
	return f.show(), err
}

// SwitchAllOff mends everything.
func (d *Desk) SwitchAllOff() {
	for _, f := range d.faults {
		_ = d.mend(f, "asked") // it is logged
	}
}

// mend switches a fault off, if it is on.
func (d *Desk) mend(f *fault, why string) error {
	d.change.Lock()
	defer d.change.Unlock()
	d.mu.Lock()
	wasOn := f.state == isOn
	d.mu.Unlock()
	if !wasOn {
		return nil
	}

	broken := d.measure(context.Background(), f)
	err := f.end()
	if err != nil {
		d.log.Error("a fault is not mended", "fault", f.id, "err", err)
	} else {
		d.log.Warn("a fault is off", "fault", f.id, "why", why)
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	f.state, f.by, f.said = isRecovering, "", ""
	f.episode.atEnd, f.episode.healedAt = broken, time.Now()
	return err
}

// checkAll looks at the faults regularly while one is on or spoken of.
func (d *Desk) checkAll(ctx context.Context) {
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	for n := 0; ; n++ {
		for _, f := range d.faults {
			d.checkFault(ctx, f, n)
		}

		if d.isQuiet() {
			select {
			case <-ctx.Done():
				return
			case <-d.wake:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *Desk) isQuiet() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.ContainsFunc(d.faults, func(f *fault) bool { return f.state != isOff })
}

// checkFault mends a fault that is on for too long, repeats what it does each
// second, and says what is measured.
func (d *Desk) checkFault(ctx context.Context, f *fault, n int) {
	d.mu.Lock()
	state, why := f.state, f.whyOver(time.Now())
	d.mu.Unlock()

	switch {
	case state == isOff:
		return
	case state == isOn && why != "":
		_ = d.mend(f, why) // it is logged
	case state == isOn && f.repeat != nil && n%int(time.Second/d.every) == 0:
		d.change.Lock()
		if d.isStillOn(f) {
			f.repeat()
		}
		d.change.Unlock()
	}

	d.describe(f, d.measure(ctx, f))
}

func (d *Desk) isStillOn(f *fault) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return f.state == isOn
}

// whyOver says why a fault that is on must end; empty: it need not.
func (f *fault) whyOver(now time.Time) string {
	lasts := f.lasts
	if lasts == 0 {
		lasts = longestOn
	}
	switch {
	case now.Sub(f.since) >= lasts:
		return "its time is over"
	case now.Sub(f.heardOf) >= pageGone:
		return "its page is gone"
	}
	return ""
}

// measure returns the figures that a fault speaks of.
func (d *Desk) measure(ctx context.Context, f *fault) figures {
	d.mu.Lock()
	now := figures{at: time.Now(), until: time.Now()}
	if f.state == isRecovering {
		now.until = f.episode.healedAt
	}
	d.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	f.measure(ctx, &now)
	return now
}

// describe says what the figures show of a fault.
func (d *Desk) describe(f *fault, now figures) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.episode.addFigures(now)
	switch {
	case f.state == isOn:
		if said := f.effect(f.episode); said != "" {
			f.said, f.episode.isFelt = said, true
		}
	case f.state == isRecovering && f.saidAt.IsZero():
		f.describeRecovery()
	case f.state == isRecovering && time.Since(f.saidAt) >= shownFor:
		f.state, f.said = isOff, ""
	}
}

// describeRecovery says what has come back. What was never felt has nothing to
// come back.
func (f *fault) describeRecovery() {
	if !f.episode.isFelt && f.lasts == 0 {
		f.state = isOff
		return
	}

	said, done := f.recovery(f.episode)
	f.said = said
	if done || time.Since(f.episode.healedAt) >= longestAfter {
		f.saidAt = time.Now()
	}
}
