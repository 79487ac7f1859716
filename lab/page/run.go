package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/wire"
)

const (
	maxBody     = 16 << 10
	longestRun  = time.Minute
	stopGrace   = 5 * time.Second // within which an experiment must stop
	defaultSeed = 1

	codeBusy wire.Code = "lab_busy" // another run is on
)

// deadlineOf returns how long a run may take. It is generous: the machine may
// be busy.
func deadlineOf(e finding.Experiment) time.Duration {
	return min(3*e.Takes+10*time.Second, longestRun)
}

// request is what the page asks for. It names no servers: those of a run from
// the page are always embedded.
type request struct {
	Experiment string            `json:"experiment"`
	Guess      string            `json:"guess"` // a letter; empty: none was made
	Knobs      map[string]string `json:"knobs"`
	Seed       string            `json:"seed"`
}

// The reasons why a run was stopped.
var (
	errAsked    = errors.New("asked")    // by the person
	errGone     = errors.New("gone")     // the browser went away
	errDeadline = errors.New("deadline") // it took too long
)

// activeRun is the run that is on.
type activeRun struct {
	// Fixed at creation.
	id       string
	started  time.Time
	takes    time.Duration // as announced
	deadline time.Duration
	ctx      context.Context         // ends at the deadline at the latest
	cancel   context.CancelCauseFunc // with one of the reasons above
	feed     *feed

	ended chan struct{} // closed when the experiment has ended
	// The outcome, once ended is closed.
	found finding.Finding
	err   error
}

// secondsLeft estimates when the run ends, at least 1.
func (a *activeRun) secondsLeft() int {
	return max(1, int(math.Ceil((a.takes - time.Since(a.started)).Seconds())))
}

// start is what the page is told first of its run.
type start struct {
	Run         string               `json:"run"`
	Seed        string               `json:"seed"`
	Guess       string               `json:"guess"`
	Knobs       map[string]string    `json:"knobs"`
	Corrections []finding.Correction `json:"corrections"`
	Takes       float64              `json:"takes_s"`
	Deadline    float64              `json:"deadline_s"`
}

// postRun runs an experiment, and answers with its events until it ends.
func (p *Page) postRun(w http.ResponseWriter, r *http.Request) {
	if !p.cfg.MayRun {
		problem.Write(w, wire.CodeForbidden, http.StatusForbidden, tokensOff)
		return
	}

	var asked request
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	if err := body.Decode(&asked); err != nil {
		problem.Write(w, wire.CodeBadField, http.StatusBadRequest, "The body must be JSON with experiment, guess, knobs and seed: "+err.Error())
		return
	}
	// Only when all of the body is read does net/http notice that the client
	// has gone.
	_, _ = io.Copy(io.Discard, r.Body)

	e, ok := p.findExperiment(w, asked.Experiment)
	if !ok {
		return
	}
	run, guess, first, err := prepareRun(e, asked)
	if err != nil {
		problem.Write(w, wire.CodeBadField, http.StatusBadRequest, err.Error())
		return
	}

	run.Log = p.cfg.Log
	active, why := p.beginRun(e, run, guess)
	if active == nil {
		refuseRun(w, why)
		return
	}
	defer active.cancel(errGone)

	first.Run, first.Takes, first.Deadline = active.id, e.Takes.Seconds(), active.deadline.Seconds()
	p.streamRun(w, r, active, first, frameOf(e, run.Values))
}

// prepareRun checks what was asked for.
func prepareRun(e finding.Experiment, asked request) (*finding.Run, int, start, error) {
	guess := finding.NoGuess
	if asked.Guess != "" {
		guess = int(asked.Guess[0]) - 'A'
		if len(asked.Guess) != 1 || guess < 0 || guess >= len(e.Options) {
			return nil, 0, start{}, fmt.Errorf("%w: the guess is %s; want one letter of its options", finding.ErrUsage, quoteShort(asked.Guess))
		}
	}

	seed := uint64(defaultSeed)
	if asked.Seed != "" {
		var err error
		if seed, err = strconv.ParseUint(asked.Seed, 10, 64); err != nil {
			return nil, 0, start{}, fmt.Errorf("%w: the seed is %s; want a whole number, 0 or more", finding.ErrUsage, quoteShort(asked.Seed))
		}
	}

	values, corrections, err := e.Clamp(asked.Knobs)
	if err != nil {
		return nil, 0, start{}, err
	}
	return &finding.Run{Values: values, Seed: seed}, guess, start{Seed: strconv.FormatUint(seed, 10), Guess: asked.Guess,
		Knobs: e.Texts(values), Corrections: corrections}, nil
}

// refusal says why a run was not begun.
type refusal struct{ secondsLeft int } // of the run that is on; 0: the program ends

func refuseRun(w http.ResponseWriter, why refusal) {
	if why.secondsLeft == 0 {
		problem.Write(w, wire.CodeUnavailable, http.StatusServiceUnavailable, "The program is ending; no run can start.")
		return
	}
	w.Header().Set("Retry-After", strconv.Itoa(why.secondsLeft))
	problem.Write(w, codeBusy, http.StatusConflict, fmt.Sprintf("Another run is on, %d s left", why.secondsLeft))
}

// beginRun starts the experiment unless one runs already. The run ends by
// itself, with the page's context, at its deadline, or by cancel.
func (p *Page) beginRun(e finding.Experiment, run *finding.Run, guess int) (*activeRun, refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.ctx.Err() != nil {
		return nil, refusal{}
	}
	if p.current != nil {
		return nil, refusal{p.current.secondsLeft()}
	}

	p.lastRun++
	a := &activeRun{id: strconv.FormatUint(p.lastRun, 10), started: time.Now(), takes: e.Takes, deadline: deadlineOf(e),
		feed: &feed{}, ended: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(p.ctx)
	limited, release := context.WithTimeoutCause(ctx, a.deadline, errDeadline)
	a.ctx, a.cancel = limited, cancel
	run.OnPoint = a.feed.addPoint
	p.current = a

	p.running.Go(func() {
		a.found, a.err = performSafely(limited, e, run, guess)
		if a.err != nil && limited.Err() != nil {
			a.err = context.Cause(limited)
		}
		release()
		cancel(nil)
		p.mu.Lock()
		p.current = nil
		p.mu.Unlock()
		close(a.ended)
	})
	return a, refusal{}
}

// performSafely turns a panic of the experiment into an error.
func performSafely(ctx context.Context, e finding.Experiment, run *finding.Run, guess int) (found finding.Finding, err error) {
	defer func() {
		if v := recover(); v != nil {
			run.Log.Error("an experiment panicked", "experiment", e.Name, "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("the experiment %s broke off: %v; the log has more", e.Name, v)
		}
	}()
	return e.Perform(ctx, run, guess)
}

// deleteRun stops the run that is on. It answers when the stop is on its way,
// also when the run has ended already.
func (p *Page) deleteRun(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && p.current.id == r.PathValue("run") {
		p.current.cancel(errAsked)
	}
	w.WriteHeader(http.StatusNoContent)
}
