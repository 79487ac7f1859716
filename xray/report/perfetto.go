package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ridehail/ridehail/xray"
)

// traceEvent is an event of Chrome's trace event format, as in "Trace Event
// Format" (Nat Duca, Dan Sinclair, 2016). Times are microseconds.
type traceEvent struct {
	Name  string         `json:"name"`
	Cat   string         `json:"cat,omitempty"`
	Phase string         `json:"ph"`
	At    float64        `json:"ts"`
	Took  float64        `json:"dur,omitempty"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	ID    int            `json:"id,omitempty"`
	Bind  string         `json:"bp,omitempty"`
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// leastTook is drawn for what took no time, so that arrows find it.
const leastTook = 0.001

// trace collects the events of a ride. A process is a node, and a thread a part
// of it. Hops of a part that overlap lie on threads of their own, because the
// format wants those of a thread to nest.
type trace struct {
	events  []traceEvent
	pids    map[string]int
	lanes   map[[2]string][]*lane // by process and thread
	threads int
	began   float64 // Unix milliseconds of the ride
}

// lane is a thread, with the ends of what is open on it.
type lane struct {
	tid  int
	open []float64
}

// placedHop is a hop that has its place, for the arrows.
type placedHop struct {
	xray.Hop
	at, took float64
	pid, tid int
}

// Perfetto returns a ride as a file that ui.perfetto.dev opens: a track for each
// part of each node, and an arrow from each cause to what came of it.
func Perfetto(r xray.Ride) ([]byte, error) {
	t := &trace{pids: map[string]int{}, lanes: map[[2]string][]*lane{}}
	if len(r.Phases) > 0 {
		t.began = r.Phases[0].BeganAt
	}
	t.addPhases(r)
	t.addArrows(t.addHops(r))
	return json.MarshalIndent(map[string]any{"displayTimeUnit": "ns", "traceEvents": t.events, "otherData": map[string]string{"trip": r.Trip}}, "", " ")
}

// addPhases draws the phases and what lies between them.
func (t *trace) addPhases(r xray.Ride) {
	for _, p := range r.Phases {
		name := string(p.Name)
		if p.Nth > 0 {
			name += fmt.Sprint(" ", p.Nth)
		}
		at := t.offset(p, 0)
		t.addSlice("the ride", "phases", name, "phase", at, toUs(p.Duration), map[string]any{"unknown_us": p.Unknown, "batch": p.BatchNote})
		if p.Gap > 0 {
			t.addSlice("the ride", "waits", p.GapWhat, string(p.GapWait), at+toUs(p.Duration), toUs(p.Gap), nil)
		}
	}
}

// offset returns when something of a phase happens, since the ride began.
func (t *trace) offset(p xray.Phase, since xray.Micros) float64 {
	return (p.BeganAt-t.began)*1000 + toUs(since)
}

func toUs(m xray.Micros) float64 { return float64(m) / 1000 }

// addHops draws the hops by their beginning, the longer one of two first.
func (t *trace) addHops(r xray.Ride) (placed []placedHop) {
	for _, p := range r.Phases {
		for _, h := range p.Hops {
			placed = append(placed, placedHop{Hop: h, at: t.offset(p, h.Began), took: max(toUs(h.Duration), leastTook)})
		}
	}
	slices.SortStableFunc(placed, func(a, b placedHop) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.took, a.took)) })

	for i := range placed {
		h := &placed[i]
		if !h.Seen {
			pid, tid := t.place("not seen", nameOf(h.To), h.at, h.at)
			t.events = append(t.events, traceEvent{Name: "not seen: " + h.Name, Cat: string(h.Mechanism), Phase: "i", Scope: "t", At: h.at, PID: pid, TID: tid,
				Args: map[string]any{"reason": h.Reason, "mended_by": h.MendedBy}})
			continue
		}
		h.pid, h.tid = t.addSlice("node "+h.Node, nameOf(h.To), h.Name, string(h.Mechanism), h.at, h.took, map[string]any{"what": h.What, "from": nameOf(h.From),
			"bytes": h.Bytes, "batch": h.Batch, "waits_for": h.Wait, "doubt_us": h.Doubt, "reason": h.Reason, "code": h.Code, "failed": h.Failed,
			"repeated": h.Repeated, "source": h.Source, "frame": h.Frame})
	}
	return placed
}

// addArrows draws an arrow from each cause to what came of it.
func (t *trace) addArrows(placed []placedHop) {
	byKey := map[string]placedHop{}
	for _, h := range placed {
		if h.Key != "" && h.Seen {
			byKey[h.Key] = h
		}
	}
	arrows := 0
	for _, h := range placed {
		cause, ok := byKey[h.Cause]
		if !ok || !h.Seen {
			continue
		}
		arrows++
		from, to := cause.at+cause.took/2, h.at+h.took/2
		t.events = append(t.events,
			traceEvent{Name: h.Cause, Cat: "cause", Phase: "s", At: from, PID: cause.pid, TID: cause.tid, ID: arrows},
			traceEvent{Name: h.Cause, Cat: "cause", Phase: "f", Bind: "e", At: max(to, from), PID: h.pid, TID: h.tid, ID: arrows})
	}
}

// addSlice draws something that took a while.
func (t *trace) addSlice(process, thread, name, category string, at, took float64, args map[string]any) (pid, tid int) {
	took = max(took, leastTook)
	pid, tid = t.place(process, thread, at, at+took)
	t.events = append(t.events, traceEvent{Name: name, Cat: category, Phase: "X", At: at, Took: took, PID: pid, TID: tid, Args: args})
	return pid, tid
}

// place returns the first thread of a part where a slice lies beside the others
// or within one. Slices must come by their beginning.
func (t *trace) place(process, thread string, from, to float64) (pid, tid int) {
	pid = t.pids[process]
	if pid == 0 {
		pid = len(t.pids) + 1
		t.pids[process] = pid
		t.events = append(t.events, traceEvent{Name: "process_name", Phase: "M", PID: pid, Args: map[string]any{"name": process}})
	}

	key := [2]string{process, thread}
	for _, l := range t.lanes[key] {
		for len(l.open) > 0 && l.open[len(l.open)-1] <= from {
			l.open = l.open[:len(l.open)-1]
		}
		if len(l.open) == 0 || l.open[len(l.open)-1] >= to {
			l.open = append(l.open, to)
			return pid, l.tid
		}
	}
	t.threads++
	t.lanes[key] = append(t.lanes[key], &lane{tid: t.threads, open: []float64{to}})
	if n := len(t.lanes[key]); n > 1 {
		thread += fmt.Sprint(" ", n)
	}
	t.events = append(t.events, traceEvent{Name: "thread_name", Phase: "M", PID: pid, TID: t.threads, Args: map[string]any{"name": thread}})
	return pid, t.threads
}
