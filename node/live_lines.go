package node

import (
	"cmp"
	"slices"
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/xray"
)

const (
	// hopsOver is the time whose hops make the percentiles.
	hopsOver = 10 * time.Second
	// ratesOver is about the time over which rates are counted.
	ratesOver = 3 * time.Second
	// ratesForget is the age of a count from which no rate is made any more.
	ratesForget = 10 * time.Second
	// heldAfter is the age from which what waits counts as held.
	heldAfter = time.Second
	// maxLineDots bounds the dots of a line in a second.
	maxLineDots = 12
)

// The states of a line.
const (
	lineOK   = "ok"
	lineHeld = "held" // messages wait
	lineCut  = "cut"  // what is at its end does not answer
	lineIdle = "idle" // nothing goes over it

	// lineSame says that nothing tells: a line that was cut is so still.
	lineSame = "same"
)

// mapLine is a line of the map.
type mapLine struct {
	id        string
	from, to  tracing.Part
	mechanism tracing.Mechanism
	// count returns how many messages have gone over it since the node started.
	count func(reading) int64
	// state returns lineHeld, lineCut, lineSame or "", by what was read now and at the
	// beginning of the time that makes the rate; nil: never either.
	state func(now, before reading) string
}

// mapLines are the lines of the map, in the order of a ride.
var mapLines = []*mapLine{
	newLine(tracing.RiderPhone, tracing.Gateway, tracing.Socket,
		func(r reading) int64 { return int64(r.traffic.Riders.Read + r.traffic.Riders.Written) },
		func(now, before reading) string {
			return heldIf(now.traffic.Riders.Slow > 0 && before.traffic.Riders.Slow > 0)
		}),
	newLine(tracing.DriverPhone, tracing.Gateway, tracing.Socket,
		func(r reading) int64 { return int64(r.traffic.Drivers.Read + r.traffic.Drivers.Written) },
		func(now, before reading) string {
			return heldIf(now.traffic.Drivers.Slow > 0 && before.traffic.Drivers.Slow > 0)
		}),
	newLine(tracing.Gateway, tracing.SharedState, tracing.Memory, countMoves, nil),
	newLine(tracing.SharedState, tracing.Dispatch, tracing.Memory,
		func(r reading) int64 { return int64(r.drivers.Reserved + r.drivers.NotReserved) }, nil),
	newLine(tracing.Gateway, tracing.Routing, tracing.RPC,
		func(r reading) int64 { return int64(r.routing.Calls - r.routing.Matrices) }, routingState),
	newLine(tracing.Routing, tracing.Dispatch, tracing.RPC,
		func(r reading) int64 { return int64(r.routing.Matrices) }, routingState),
	newLine(tracing.Gateway, tracing.Store, tracing.Database,
		func(r reading) int64 { return r.values.sum("ridehail_store_moves_total") },
		storeState),
	newLine(tracing.Store, tracing.Outbox, tracing.Database, countRelayed, outboxState),
	newLine(tracing.Dispatch, tracing.Redis, tracing.Direct, countDirect, redisState),
	newLine(tracing.Outbox, tracing.Redis, tracing.PubSub, countRelayed, publishState),
	newLine(tracing.Outbox, tracing.JobQueue, tracing.Queue,
		func(r reading) int64 { return r.values.sum("ridehail_jobs_added_total") }, queueState),
	newLine(tracing.Redis, tracing.OtherNode, tracing.PubSub,
		func(r reading) int64 { return countHeard(r, "user", "region", "car") }, redisState),
	newLine(tracing.Redis, tracing.OtherNode, tracing.Direct,
		func(r reading) int64 { return countHeard(r, "node", "positions") }, redisState),
	newLine(tracing.JobQueue, tracing.Provider, tracing.RPC,
		func(r reading) int64 { return r.values.sum("ridehail_payments_provider_calls_total") }, providerState),
}

func newLine(from, to tracing.Part, mechanism tracing.Mechanism, count func(reading) int64, state func(now, before reading) string) *mapLine {
	return &mapLine{id: string(from) + "-" + string(to) + ":" + string(mechanism), from: from, to: to, mechanism: mechanism, count: count, state: state}
}

func heldIf(held bool) string {
	if held {
		return lineHeld
	}
	return ""
}

func cutIf(cut bool) string {
	if cut {
		return lineCut
	}
	return ""
}

func countMoves(r reading) int64 {
	n := r.drivers.Accepted
	for _, refused := range r.drivers.Rejected {
		n += refused
	}
	return int64(n)
}

// countRelayed counts the rows that the relay read and Redis took.
func countRelayed(r reading) int64 { return r.values.sum("ridehail_relay_messages_total") }

// countDirect counts what this node sends to one other node. An offer to a
// driver of its own is a call in memory.
func countDirect(r reading) (n int64) {
	for _, topic := range []string{topicOffer, topicWithdraw, topicDeclined, topicDriverGone, topicFleet, topicQuestion, topicAnswer, topicWaiting} {
		n += r.values.sum("ridehail_events_published_total", "topic", topic)
	}
	return n
}

// countHeard counts the messages that came on channels of these kinds.
func countHeard(r reading, kinds ...string) (n int64) {
	for _, kind := range kinds {
		n += r.values.sum("ridehail_events_received_total", "channel", kind)
	}
	return n
}

// routingState is lineCut while calls are made and none is answered.
func routingState(now, before reading) string {
	unanswered := func(r reading) uint64 { return r.routing.Skipped + r.routing.Unanswered }
	return callState(now.routing.Road > before.routing.Road, unanswered(now) > unanswered(before))
}

// providerState is lineCut while calls are made and none is answered.
func providerState(now, before reading) string {
	unanswered := func(r reading) int64 {
		return r.values.sum("ridehail_payments_provider_calls_total", "outcome", "unanswered")
	}
	answered := func(r reading) int64 { return r.values.sum("ridehail_payments_provider_calls_total") - unanswered(r) }
	return callState(answered(now) > answered(before), unanswered(now) > unanswered(before))
}

// callState is the state of a service by what became of calls.
func callState(someAnswered, someNot bool) string {
	switch {
	case someAnswered:
		return ""
	case someNot:
		return lineCut
	}
	return lineSame
}

func redisState(now, _ reading) string { return cutIf(now.probe.noRedis != nil) }

// storeState is lineHeld while moves of trips wait or fail and none is committed.
func storeState(now, before reading) string {
	if now.probe.noDatabase != nil {
		return lineCut
	}
	failed := func(r reading) int64 { return r.values.sum("ridehail_store_moves_total", "outcome", "failed") }
	done := func(r reading) int64 { return r.values.sum("ridehail_store_moves_total") - failed(r) }
	waits := func(r reading) bool { return r.values.sum("ridehail_store_moves_under_way") > 0 }
	return heldIf(done(now) == done(before) && (failed(now) > failed(before) || waits(now) && waits(before)))
}

func outboxState(now, _ reading) string {
	if now.probe.noDatabase != nil {
		return lineCut
	}
	return heldIf(now.isBacklogHeld())
}

func publishState(now, before reading) string {
	if now.probe.noRedis != nil {
		return lineCut
	}
	return outboxHeld(now, before)
}

func outboxHeld(now, _ reading) string { return heldIf(now.isBacklogHeld()) }

// isBacklogHeld reports whether a row of the outbox waits for longer than the
// relay takes.
func (r reading) isBacklogHeld() bool {
	return r.probe.backlog > 0 && r.at.Sub(r.probe.oldest) > heldAfter
}

// queueState is lineHeld while jobs wait and none is done.
func queueState(now, before reading) string {
	if now.probe.noRedis != nil {
		return lineCut
	}
	waits := func(r reading) bool { return r.probe.jobs[0]+r.probe.jobs[1] > 0 }
	runs := func(r reading) int64 {
		return r.values.sum("ridehail_job_runs_total") - r.values.sum("ridehail_job_runs_total", "outcome", "failed")
	}
	return heldIf(waits(now) && waits(before) && runs(now) == runs(before))
}

// lineWatcher follows the lines from one look to the next. It has no lock of its
// own.
type lineWatcher struct {
	seenHops uint64        // by tracing.Ring.Since
	hops     []lineHop     // of the last hopsOver
	dots     []xray.Dot    // of the last look
	readings []readAt      // the last few, the oldest first
	states   []lineHistory // of mapLines
}

type lineHop struct {
	line  int // of mapLines
	took  time.Duration
	ended time.Time
}

type readAt struct {
	reading
	taken time.Time // by the monotonic clock
}

// lineHistory is what a line was like at the last look.
type lineHistory struct {
	state  string
	okRate float64 // when it was neither held nor cut
}

func newLineWatcher() *lineWatcher {
	return &lineWatcher{states: make([]lineHistory, len(mapLines))}
}

// takeHops takes the hops since the last look, and makes dots of those that
// ended within a second.
func (w *lineWatcher) takeHops(hops []tracing.Recorded, now time.Time) {
	w.hops = slices.DeleteFunc(w.hops, func(h lineHop) bool { return now.Sub(h.ended) > hopsOver })
	w.dots = []xray.Dot{}
	perLine := make([]int, len(mapLines))

	for i := len(hops) - 1; i >= 0; i-- { // the newest first: they become dots
		h := &hops[i]
		line, ended := lineOf(h), time.Unix(0, h.Ended)
		age := now.Sub(ended)
		if line < 0 || age > hopsOver {
			continue
		}
		w.hops = append(w.hops, lineHop{line, h.Duration(), ended})
		if age <= liveEvery+heldAfter/2 && perLine[line] < maxLineDots {
			perLine[line]++
			w.dots = append(w.dots, xray.Dot{Line: mapLines[line].id, Trip: tripOf(h), Name: h.Name, AgoMs: max(0, age.Seconds()*1e3)})
		}
	}
}

// lineOf returns the line that a hop went over, in either direction, or -1.
func lineOf(h *tracing.Recorded) int {
	kind := h.Kind()
	if kind == nil {
		return -1
	}
	from, to, mechanism := h.From, h.To, cmp.Or(h.Mechanism, kind.Mechanism)
	if mechanism == tracing.Database && to == tracing.Store {
		from = tracing.Gateway // the part that asks the database
	}
	return slices.IndexFunc(mapLines, func(l *mapLine) bool {
		if mechanism == tracing.RPC && (from == tracing.OtherNode || to == tracing.OtherNode) {
			return l.mechanism == tracing.RPC && l.to == tracing.Provider && (from == tracing.Provider || to == tracing.Provider)
		}
		if mechanism == tracing.Direct && (from == tracing.Dispatch || to == tracing.Dispatch) {
			return l.mechanism == tracing.Direct && l.from == tracing.Dispatch
		}
		return l.mechanism == mechanism && (l.from == from && l.to == to || l.from == to && l.to == from)
	})
}

// tripOf returns the trip of a hop, as its UUID; empty for a batch, which has no
// phase of its own, and for a quote.
func tripOf(h *tracing.Recorded) string {
	if h.Phase == "" || h.Phase == tracing.Quote || len(h.Trace) != 32 {
		return ""
	}
	return tracing.TripOf(h.Trace)
}

// describe says how the lines are.
func (w *lineWatcher) describe(r reading, now time.Time) []xray.Line {
	w.readings = append(w.readings, readAt{r, now})
	for len(w.readings) > 1 && (now.Sub(w.readings[0].taken) > ratesForget || len(w.readings) > 2 && now.Sub(w.readings[1].taken) >= ratesOver) {
		w.readings = w.readings[1:]
	}
	before := w.readings[0]
	over := now.Sub(before.taken).Seconds()

	took := make([][]time.Duration, len(mapLines))
	for _, h := range w.hops {
		took[h.line] = append(took[h.line], h.took)
	}
	described := make([]xray.Line, 0, len(mapLines))
	for i, l := range mapLines {
		sorted := quantile.Sort(took[i])
		d := xray.Line{ID: l.id, From: string(l.from), To: string(l.to), Mechanism: string(l.mechanism),
			P50Us: micros(sorted.At(0.5)), P99Us: micros(sorted.At(0.99))}
		if over > 0 {
			d.RateHz = float64(max(0, l.count(r)-l.count(before.reading))) / over
		}
		w.states[i].describe(l, &d, r, before.reading)
		described = append(described, d)
	}
	return described
}

// describe fills in the state of a line and, while it is held or cut, what its
// rate was before.
func (h *lineHistory) describe(l *mapLine, d *xray.Line, now, before reading) {
	d.State = ""
	if l.state != nil {
		d.State = l.state(now, before)
	}
	if d.State == lineSame {
		d.State = cutIf(h.state == lineCut)
	}
	switch {
	case d.State != "":
		d.WasHz = h.okRate
	case d.RateHz > 0:
		d.State = lineOK
	default:
		d.State = lineIdle
	}
	if h.state = d.State; h.state == lineOK || h.state == lineIdle {
		h.okRate = d.RateHz
	}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
