package xray

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// assembly is a ride that is being put together.
type assembly struct {
	trip   trips.Trip
	nodes  []Node
	steps  []*step
	byKey  map[string][]*step
	phases []*phase
}

// step is a hop that has its place in time. One that was expected and not seen
// has no node.
type step struct {
	tracing.Recorded
	kind *tracing.Kind

	began, ended int64 // by the clocks of the nodes; never shifted to fit
	doubt        Micros
	own          int64

	// order sorts steps: it is not before that of the cause, and depth says
	// how many causes have the same one.
	order int64
	depth int

	isSeen, isExpected, isRepeated bool
}

// phase is a phase of one number with its steps.
type phase struct {
	name         tracing.Phase
	nth          int
	steps        []*step
	began, ended int64
	gap          int64
	gapWait      tracing.Wait
	gapWhat      string
	unknown      int64
}

// Assemble turns the hops that nodes recorded of a trip into a ride. Hops may
// come in any order and be of any build; nodes are those that were asked. It
// reads no clock and shifts no time.
func Assemble(trip trips.Trip, hops []tracing.Recorded, nodes []Node) Ride {
	a := &assembly{trip: trip, nodes: slices.Clone(nodes), byKey: map[string][]*step{}}
	a.readHops(hops)
	a.alignConsumers()
	a.groupPhases()
	a.addExpected()
	for _, p := range a.phases {
		a.sortSteps(p)
		p.measure()
	}
	slices.SortStableFunc(a.phases, func(p, q *phase) int {
		return cmp.Or(cmp.Compare(p.began, q.began), cmp.Compare(rankOf(p.name), rankOf(q.name)), cmp.Compare(p.nth, q.nth))
	})

	ride := Ride{Trip: string(trip.ID), State: string(trip.State), From: formatPoint(trip.Pickup), To: formatPoint(trip.Dropoff),
		RequestedAtMs: float64(trip.RequestedAt.UnixMicro()) / 1000, Nodes: a.countHops(), Phases: []Phase{}}
	if trip.RequestedAt.IsZero() {
		ride.RequestedAtMs = 0
	}
	ride.Waited, ride.Duration = a.waited()
	for _, p := range a.phases {
		ride.Phases = append(ride.Phases, p.describe())
	}
	ride.Complete, ride.ClockDoubt = a.isComplete(), a.clockDoubt()
	return ride
}

func formatPoint(p location.Point) string { return fmt.Sprintf("%.4f, %.4f", p.Lat, p.Lng) }

// maxTime bounds the times that nodes say, so that sums of them fit.
const maxTime = 1 << 61

// unknownKind stands for the hops of a later build.
var unknownKind = &tracing.Kind{Mechanism: tracing.Code, Wait: tracing.Working, What: "A hop that this build does not know."}

// readHops takes the hops over, but not the root of the trace, which is no hop,
// nor positions whose beginning no node recorded.
func (a *assembly) readHops(hops []tracing.Recorded) {
	fixes := map[int]bool{}
	for _, h := range hops {
		if h.Name == tracing.FixSent.Name {
			fixes[h.Nth] = true
		}
	}

	for _, h := range hops {
		if h.Name == tracing.Ride.Name || h.Phase == tracing.Position && !fixes[h.Nth] {
			continue
		}
		s := &step{Recorded: h, kind: cmp.Or(h.Kind(), unknownKind), isSeen: true}
		s.began = min(max(h.Began, 0), maxTime)
		s.ended = min(max(h.Ended, s.began), maxTime)
		s.order = s.began
		a.steps = append(a.steps, s)
		if h.Key != "" {
			a.byKey[h.Key] = append(a.byKey[h.Key], s)
		}
	}
	slices.SortStableFunc(a.steps, func(s, t *step) int { return cmp.Compare(s.ended, t.ended) })
}

// isConsumer reports whether the hop is a message that came out of Redis, or a
// row that came out of the database: it begins where its cause ended.
func (s *step) isConsumer() bool {
	return s.kind == tracing.OutboxWait || (s.kind.From == tracing.Redis || s.kind.From == tracing.JobQueue) && slices.Contains(messaging, s.kind.Mechanism)
}

var messaging = []tracing.Mechanism{tracing.PubSub, tracing.Direct, tracing.Queue}

// alignConsumers lets each consumer begin where its cause ended. Where that is
// after it was heard, the clocks differ by as much at least: it has no length.
func (a *assembly) alignConsumers() {
	isDelivered := map[string]bool{} // of jobs: later deliveries begin as recorded
	for _, s := range a.steps {
		if !s.isConsumer() {
			s.doubt = s.phoneDoubt()
			continue
		}
		cause := a.causeOf(s)
		if cause == nil || isDelivered[s.Cause] {
			continue
		}
		isDelivered[s.Cause] = s.kind == tracing.JobWait
		s.began = min(cause.ended, s.ended)
		if cause.Node != s.Node {
			s.doubt = a.doubtOf(cause.Node) + a.doubtOf(s.Node)
		}
	}
	for _, s := range a.steps {
		a.orderAfterCause(s, 0)
	}
}

// phoneDoubt returns how far a hop may be wrong that began by a phone's clock:
// its clock is not known, so all of the hop is in doubt.
func (s *step) phoneDoubt() Micros {
	if s.kind == tracing.FixSent || s.kind == tracing.FrameRead && strings.Contains(s.Frame, "sent_ms") {
		return Micros(s.ended - s.began)
	}
	return 0
}

// causeOf returns the step that this one comes from: of several, as when a
// publishing was tried twice, the last that ended before it.
func (a *assembly) causeOf(s *step) (cause *step) {
	if s.Cause == "" {
		return nil
	}
	for _, c := range a.byKey[s.Cause] {
		if c != s && (cause == nil || c.ended <= s.ended && (c.ended > cause.ended || cause.ended > s.ended)) {
			cause = c
		}
	}
	return cause
}

// maxCauses bounds a chain of causes: one that is longer goes in circles.
const maxCauses = 16

func (a *assembly) orderAfterCause(s *step, depth int) {
	cause := a.causeOf(s)
	s.order, s.depth = s.began, 0
	if cause == nil || depth == maxCauses {
		return
	}
	a.orderAfterCause(cause, depth+1)
	if cause.order >= s.order {
		s.order, s.depth = cause.order, cause.depth+1
	}
}

func (a *assembly) doubtOf(node string) Micros {
	for _, n := range a.nodes {
		if n.Name == node {
			return n.Doubt
		}
	}
	return 0
}

// numbered are the phases that happen several times. Others have one group, and
// the numbers of their hops do not count.
var numbered = []tracing.Phase{tracing.Match, tracing.Offer, tracing.Position, tracing.Chat, tracing.Resume}

// groupPhases puts the steps of each phase and number together.
func (a *assembly) groupPhases() {
	type key struct {
		name tracing.Phase
		nth  int
	}
	groups := map[key]*phase{}
	for _, s := range a.steps {
		k := key{cmp.Or(s.Phase, "other"), s.Nth}
		if !slices.Contains(numbered, k.name) {
			k.nth = 0
		}
		p := groups[k]
		if p == nil {
			p = &phase{name: k.name, nth: k.nth}
			groups[k] = p
			a.phases = append(a.phases, p)
		}
		p.steps = append(p.steps, s)
	}

	for _, p := range a.phases {
		a.sortSteps(p)
		p.measure()
	}
}

func (a *assembly) sortSteps(p *phase) {
	slices.SortStableFunc(p.steps, func(s, t *step) int {
		return cmp.Or(cmp.Compare(s.order, t.order), cmp.Compare(s.depth, t.depth), cmp.Compare(s.ended, t.ended))
	})
}

// measure finds where the phase begins and ends, and shares its time among its
// steps.
func (p *phase) measure() {
	spans := make([]span, len(p.steps))
	for i, s := range p.steps {
		spans[i] = span{s.began, s.ended}
		if i == 0 {
			p.began, p.ended = s.began, s.ended
		}
		p.began, p.ended = min(p.began, s.began), max(p.ended, s.ended)
	}
	own, free := sweepTime(spans, p.began, p.ended)
	p.unknown = free
	for i, s := range p.steps {
		s.own = own[i]
	}
}

// countHops returns the nodes with how many hops each recorded, also those that
// hops name and that were not asked.
func (a *assembly) countHops() []Node {
	count := map[string]int{}
	for _, s := range a.steps {
		count[s.Node]++
	}
	nodes := []Node{}
	for _, n := range a.nodes {
		n.Hops = count[n.Name]
		delete(count, n.Name)
		nodes = append(nodes, n)
	}
	for name, hops := range count {
		nodes = append(nodes, Node{Name: name, Hops: hops})
	}
	slices.SortFunc(nodes, func(m, n Node) int { return strings.Compare(m.Name, n.Name) })
	return nodes
}

// clockDoubt returns the largest doubt between two nodes. What a phone's clock
// says is in doubt by itself.
func (a *assembly) clockDoubt() (doubt Micros) {
	for _, s := range a.steps {
		if s.isConsumer() {
			doubt = max(doubt, s.doubt)
		}
	}
	return doubt
}
