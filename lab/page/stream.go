package page

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
)

const (
	batchEvery   = 100 * time.Millisecond // between two events with points
	maxWaiting   = 4096                   // points
	writeTimeout = 10 * time.Second       // of one event
)

// feed holds the points that the browser has not got yet. The experiment adds
// and never waits: when the browser is too slow, newer points replace older
// ones.
type feed struct {
	mu     sync.Mutex // guards the fields below
	points []sentPoint
	merged int // points that were replaced before they were sent
}

// sentPoint is a point as the page reads it.
type sentPoint struct {
	Curve string  `json:"c"`
	X     float64 `json:"x"`
	Y     float64 `json:"y"`
}

// addPoint may be called from any goroutine and does not block.
func (f *feed) addPoint(curve string, p plot.Point) {
	if math.IsNaN(p.X+p.Y) || math.IsInf(p.X+p.Y, 0) {
		return // JSON has no such numbers
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.points) >= maxWaiting {
		f.thinOut()
	}
	f.points = append(f.points, sentPoint{curve, p.X, p.Y})
}

// thinOut drops every second point of each curve, so that what is left still
// shows its shape. If that is not enough, it drops the oldest as well.
func (f *feed) thinOut() {
	before := len(f.points)
	drops := map[string]bool{}
	kept := slices.DeleteFunc(f.points, func(p sentPoint) bool {
		drops[p.Curve] = !drops[p.Curve]
		return !drops[p.Curve]
	})

	f.points = kept[max(0, len(kept)-maxWaiting/2):]
	f.merged += before - len(f.points)
}

// takePoints returns the points that wait, and how many were dropped since the
// last call.
func (f *feed) takePoints() (points []sentPoint, merged int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	points, merged = f.points, f.merged
	f.points, f.merged = nil, 0
	return points, merged
}

// pointsEvent is a batch of points. Merged counts those that newer ones replaced.
type pointsEvent struct {
	Points []sentPoint `json:"points"`
	Merged int         `json:"merged,omitempty"`
}

// stoppedEvent says why a run has no verdict.
type stoppedEvent struct {
	Why     string  `json:"why"`
	Says    string  `json:"says"`
	Seconds float64 `json:"seconds"`
}

type errorEvent struct {
	Says string `json:"says"`
}

// eventWriter writes Server-Sent Events.
type eventWriter struct {
	w    http.ResponseWriter
	conn *http.ResponseController
}

// sendEvent writes one event. It fails when the browser is gone or takes
// nothing.
func (e eventWriter) sendEvent(name string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("event %s: %w", name, err)
	}

	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, text) // JSON has no line breaks

	// Only tests have no connection and no deadline.
	_ = e.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := e.w.Write(b.Bytes()); err != nil {
		return err
	}
	return e.conn.Flush()
}

// streamRun sends a run's events until the run has ended or the browser is
// gone.
func (p *Page) streamRun(w http.ResponseWriter, r *http.Request, a *activeRun, first start, frame plot.Chart) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")

	out := eventWriter{w, http.NewResponseController(w)}
	defer out.conn.SetWriteDeadline(time.Time{}) // the connection may be used again
	if errors.Join(out.sendEvent("started", first), out.sendEvent("frame", frame)) != nil {
		return
	}
	if p.streamPoints(r.Context(), out, a) {
		sendOutcome(out, a)
	}
}

// streamPoints returns true when the run has ended, or does not end though it
// should, and false when the browser is gone.
func (p *Page) streamPoints(asker context.Context, out eventWriter, a *activeRun) bool {
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	mustStop, overdue := a.ctx.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case <-asker.Done():
			return false
		case <-a.ended:
			return sendPoints(out, a.feed) == nil
		case <-mustStop:
			mustStop, overdue = nil, time.After(p.grace)
		case <-overdue:
			return true
		case <-tick.C:
			if sendPoints(out, a.feed) != nil {
				return false
			}
		}
	}
}

func sendPoints(out eventWriter, f *feed) error {
	points, merged := f.takePoints()
	if len(points) == 0 {
		return nil
	}
	return out.sendEvent("points", pointsEvent{points, merged})
}

// sendOutcome sends the last event of a run: its result, or why there is none.
func sendOutcome(out eventWriter, a *activeRun) {
	err := context.Cause(a.ctx)
	select {
	case <-a.ended:
		err = a.err
	default: // it does not stop; the page need not wait
	}

	seconds := math.Round(time.Since(a.started).Seconds()*10) / 10
	switch {
	case err == nil:
		if err := out.sendEvent("result", a.found); errors.As(err, new(*json.UnsupportedValueError)) {
			_ = out.sendEvent("error", errorEvent{"The run has a figure that is no number: " + err.Error()})
		}
	case errors.Is(err, errAsked):
		_ = out.sendEvent("stopped", stoppedEvent{"asked", fmt.Sprintf("Stopped at %g s", seconds), seconds})
	case errors.Is(err, errDeadline):
		_ = out.sendEvent("stopped", stoppedEvent{"deadline", fmt.Sprintf("Stopped at %g s: it took too long", seconds), seconds})
	case errors.Is(err, context.Canceled):
		_ = out.sendEvent("stopped", stoppedEvent{"ending", fmt.Sprintf("Stopped at %g s: the program ends", seconds), seconds})
	default:
		_ = out.sendEvent("error", errorEvent{err.Error()})
	}
}
