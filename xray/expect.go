package xray

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// The codes of hops that were expected and not seen.
const (
	CodeOverwritten = "overwritten"  // a newer position came instead
	CodeResumed     = "resumed"      // the phone was away, and got it when it came back
	CodeAway        = "away"         // the phone was away, and is
	CodeReadBack    = "read_back"    // the node read the database instead
	CodeNodeMissing = "node_missing" // a node that may have seen it did not answer
	CodeNotSeen     = "not_seen"     // nothing stands in for it
)

// expectation is a hop that should have been seen.
type expectation struct {
	kinds []*tracing.Kind // one of them
	phone tracing.Part    // at one end of it; empty: any
	node  string          // that recorded it; empty: any

	// explain says what stands in for it, if anything does.
	explain func(p *phase) (code, reason string)
}

func one(kinds ...*tracing.Kind) expectation { return expectation{kinds: kinds} }

func (e expectation) at(phone tracing.Part) expectation {
	e.phone = phone
	return e
}

// matches reports whether a step is what was expected.
func (e expectation) matches(s *step) bool {
	return s.isSeen && slices.Contains(e.kinds, s.kind) && (e.node == "" || s.Node == e.node) &&
		(e.phone == "" || s.From == e.phone || s.To == e.phone)
}

// rescues are the hops that only something unexpected leads to.
var rescues = []*tracing.Kind{tracing.ReadBack, tracing.TakenOver, tracing.ConnectionLost, tracing.NodeGone, tracing.BudgetWait}

// addExpected marks what each phase should have, adds what was not seen, and
// marks what was seen again.
func (a *assembly) addExpected() {
	a.addPhases()
	slices.SortStableFunc(a.phases, func(p, q *phase) int { return cmp.Compare(p.began, q.began) })
	for _, p := range a.phases {
		for _, s := range p.steps {
			s.isExpected = !s.Failed && !slices.Contains(rescues, s.kind)
		}
		a.matchExpected(p)
		markRepeated(p)
	}
}

// addPhases adds the phases that must have happened and of which no hop is
// known: their node is gone.
func (a *assembly) addPhases() {
	t := &a.trip
	ended := map[trips.State]tracing.Phase{trips.Completed: tracing.Complete, trips.Cancelled: tracing.Cancel, trips.Expired: tracing.Cancel}
	for _, must := range []struct {
		name tracing.Phase
		at   time.Time
	}{{tracing.Request, t.RequestedAt}, {tracing.Accept, t.ReservedAt}, {tracing.Arrive, t.ArrivedAt}, {tracing.Start, t.StartedAt}, {ended[t.State], t.EndedAt}} {
		isKnown := slices.ContainsFunc(a.phases, func(p *phase) bool { return p.name == must.name })
		if !isKnown && must.name != "" && !must.at.IsZero() {
			at := min(max(must.at.UnixNano(), 0), maxTime)
			a.phases = append(a.phases, &phase{name: must.name, began: at, ended: at})
		}
	}
}

// matchExpected finds what the phase should have. What is not there comes after
// the hops that are expected before it.
func (a *assembly) matchExpected(p *phase) {
	at := p.began
	for _, e := range a.expectedIn(p) {
		found := false
		for _, s := range p.steps {
			if e.matches(s) {
				s.isExpected = true
				if !found {
					at = max(at, s.ended)
				}
				found = true
			}
		}
		if !found {
			p.steps = append(p.steps, a.newMissing(p, e, min(at, p.ended)))
		}
	}
}

// newMissing returns the step of a hop that was not seen.
func (a *assembly) newMissing(p *phase, e expectation, at int64) *step {
	k := e.kinds[0]
	s := &step{kind: k, began: at, ended: at, order: at, depth: maxCauses, isExpected: true}
	s.Recorded = tracing.Recorded{Name: k.Name, Phase: p.name, Nth: p.nth, From: k.From, To: k.To}
	if s.From == "" {
		s.From = e.phone
	} else if s.To == "" {
		s.To = e.phone
	}

	if e.explain != nil {
		s.Code, s.Reason = e.explain(p)
	}
	if s.Code == "" {
		s.Code, s.Reason = a.explainUnseen()
	}
	return s
}

// explainUnseen is for what nothing stands in for.
func (a *assembly) explainUnseen() (code, reason string) {
	var missing []string
	for _, n := range a.nodes {
		if n.Missing {
			missing = append(missing, n.Name)
		}
	}
	switch {
	case len(missing) > 0:
		return CodeNodeMissing, "Not seen. It may be known to " + strings.Join(missing, ", ") + ", which did not answer."
	case a.trip.State.IsActive():
		return CodeNotSeen, "Not seen so far."
	}
	return CodeNotSeen, "No node recorded it."
}

// markRepeated marks messages that came again although the first had arrived.
func markRepeated(p *phase) {
	type message struct{ name, from, to, node, cause, reason string }
	arrived := map[message]bool{}
	for _, s := range p.steps {
		if !s.isSeen || s.kind.Mechanism != tracing.Socket && !slices.Contains(messaging, s.kind.Mechanism) {
			continue
		}
		m := message{name: s.Name, from: string(s.From), to: string(s.To), cause: s.Cause, reason: s.Reason}
		if s.kind.Mechanism == tracing.Socket {
			_, m.cause, _ = strings.Cut(s.Cause, ":") // the same event from here and from Redis
		} else {
			m.node = s.Node
		}
		s.isRepeated = arrived[m]
		arrived[m] = arrived[m] || !s.Failed
	}
}

// isComplete reports whether every node answered, and all that was expected was
// seen or has something that stands in for it.
func (a *assembly) isComplete() bool {
	for _, n := range a.nodes {
		if n.Missing {
			return false
		}
	}
	for _, p := range a.phases {
		for _, s := range p.steps {
			if !s.isSeen && (s.Code == CodeNotSeen || s.Code == CodeNodeMissing) {
				return false
			}
		}
	}
	return len(a.phases) > 0
}

// expectedIn returns what a phase should have, in the order in which it happens.
func (a *assembly) expectedIn(p *phase) []expectation {
	switch p.name {
	case tracing.Quote:
		return []expectation{one(tracing.QuoteRead), one(tracing.RouteCall), one(tracing.SurgeRead), one(tracing.QuoteWritten)}
	case tracing.Request, tracing.Accept, tracing.Arrive, tracing.Start, tracing.Complete, tracing.Cancel:
		return a.expectCommand(p)
	case tracing.Match:
		return a.expectMatch(p)
	case tracing.Offer:
		return a.expectOffer(p)
	case tracing.Position:
		return a.expectPosition(p)
	case tracing.Charge:
		return []expectation{one(tracing.JobAdded), one(tracing.JobWait), one(tracing.ProviderCall), one(tracing.ChargeRecorded)}
	case tracing.Receipt:
		return a.expectNews(p, tracing.RiderPhone)
	case tracing.Chat:
		return a.expectChat(p)
	case tracing.Resume:
		if p.has(tracing.StateRead) || p.has(tracing.WelcomeWritten) {
			return []expectation{one(tracing.StateRead), one(tracing.WelcomeWritten)}
		}
	}
	return nil
}

// Commands over HTTP, which builds without these hops do not know.
const (
	httpRead    = "http_read"
	httpWritten = "http_written"
)

func (p *phase) hasNamed(name string) bool {
	return tracing.KindNamed(name) != nil && p.has(tracing.KindNamed(name))
}

func (p *phase) has(k *tracing.Kind) bool { return p.first(k) != nil }

// first returns the first step of a kind that was seen, or nil.
func (p *phase) first(k *tracing.Kind) *step {
	for _, s := range p.steps {
		if s.isSeen && s.kind == k {
			return s
		}
	}
	return nil
}

// expectCommand returns the hops of a command and of the event that it leads to.
func (a *assembly) expectCommand(p *phase) (all []expectation) {
	phone := tracing.DriverPhone
	if p.name == tracing.Request {
		phone = tracing.RiderPhone
	}
	isByPhone := p.name != tracing.Cancel || p.has(tracing.FrameRead) || p.hasNamed(httpRead)
	if read := p.first(tracing.FrameRead); read != nil {
		phone = read.From
	}

	switch {
	case p.hasNamed(httpRead):
		all = append(all, one(tracing.KindNamed(httpRead)), one(tracing.Statement), one(tracing.KindNamed(httpWritten)))
	case isByPhone:
		all = append(all, one(tracing.FrameRead).at(phone), one(tracing.CommandWait), one(tracing.Statement), one(tracing.AckWritten).at(phone))
	default:
		all = append(all, one(tracing.Statement))
	}
	if p.has(tracing.CommitWait) {
		all = slices.Insert(all, len(all)-1, one(tracing.CommitWait))
	}

	readers := []tracing.Part{tracing.RiderPhone}
	if p.name != tracing.Request && !a.trip.ReservedAt.IsZero() {
		readers = append(readers, tracing.DriverPhone)
	}
	return append(all, a.expectNews(p, readers...)...)
}

// expectNews returns the hops of a message of the outbox.
func (a *assembly) expectNews(p *phase, readers ...tracing.Part) (all []expectation) {
	all = append(all, one(tracing.OutboxWait), one(tracing.Publish))
	for _, node := range a.listeners(p, readers) {
		e := one(tracing.Heard)
		e.node, e.explain = node, a.explainUnheard(node, readers)
		all = append(all, e)
	}
	for _, phone := range readers {
		if a.isConnected(phone, p) {
			e := one(tracing.EventWritten).at(phone)
			e.explain = func(p *phase) (string, string) { return a.explainUnwritten(phone, p) }
			all = append(all, e)
		}
	}
	return all
}

// listeners returns the nodes that should hear a message: those of the phones,
// but the one that committed it writes to its phones at once. Some node must
// hear it in any case.
func (a *assembly) listeners(p *phase, readers []tracing.Part) (nodes []string) {
	committer := ""
	for _, k := range []*tracing.Kind{tracing.Statement, tracing.ChargeRecorded} {
		if s := p.first(k); s != nil {
			committer = s.Node
		}
	}
	for _, phone := range readers {
		node := a.nodeOf(phone, p)
		if node != "" && node != committer && a.isConnected(phone, p) && !slices.Contains(nodes, node) {
			nodes = append(nodes, node)
		}
	}
	if len(nodes) == 0 {
		nodes = []string{""}
	}
	return nodes
}

// isConnected reports whether a phone had a socket by the end of the phase. A
// rider may ask for everything over HTTP.
func (a *assembly) isConnected(phone tracing.Part, by *phase) bool { return a.nodeOf(phone, by) != "" }

// nodeOf returns the node that had a phone's socket at the end of the phase, as
// far as hops tell: the phase's own, or else the last one before.
func (a *assembly) nodeOf(phone tracing.Part, by *phase) (node string) {
	last := int64(-1)
	for _, p := range a.phases {
		for _, s := range p.steps {
			ofPhone := s.isSeen && s.kind.Mechanism == tracing.Socket && (s.From == phone || s.To == phone)
			if ofPhone && s.ended > last && (p == by || s.began <= by.ended) {
				node, last = s.Node, s.ended
			}
		}
	}
	return node
}

// explainUnheard says what a node did that did not hear of an event.
func (a *assembly) explainUnheard(node string, readers []tracing.Part) func(*phase) (string, string) {
	return func(p *phase) (string, string) {
		for _, s := range p.steps {
			if s.isSeen && s.kind == tracing.EventWritten && s.Node == node && slices.Contains(readers, s.To) {
				return CodeReadBack, "Not heard. The node read the database instead."
			}
		}
		for _, phone := range readers {
			if a.nodeOf(phone, p) == node || node == "" {
				if back := a.welcomeAfter(phone, p); back != nil {
					return CodeResumed, fmt.Sprintf("Not heard. The phone got it when it came back, %s later.", formatSpan(back.ended-p.began))
				}
			}
		}
		return "", ""
	}
}

// explainUnwritten says what a phone did that an event was not written to.
func (a *assembly) explainUnwritten(phone tracing.Part, p *phase) (code, reason string) {
	if back := a.welcomeAfter(phone, p); back != nil {
		return CodeResumed, fmt.Sprintf("The phone was away. It got this when it came back, %s later.", formatSpan(back.ended-p.began))
	}
	if a.isLost(phone, p) {
		return CodeAway, "The phone was away. It gets this when it comes back."
	}
	return "", ""
}

// welcomeAfter returns the first welcome of a phone after the phase began.
func (a *assembly) welcomeAfter(phone tracing.Part, p *phase) (first *step) {
	for _, s := range a.steps {
		if s.kind == tracing.WelcomeWritten && s.To == phone && s.ended >= p.began && (first == nil || s.ended < first.ended) {
			first = s
		}
	}
	return first
}

// isLost reports whether a phone's connection ended before the phase did, and no
// hop of its socket came after.
func (a *assembly) isLost(phone tracing.Part, p *phase) bool {
	for _, s := range a.steps {
		if s.kind == tracing.ConnectionLost && s.From == phone && s.began <= p.ended {
			return true
		}
	}
	return false
}

// expectChat returns the hops of a chat message.
func (a *assembly) expectChat(p *phase) []expectation {
	from, to := tracing.RiderPhone, tracing.DriverPhone
	if read := p.first(tracing.FrameRead); read != nil && read.From == tracing.DriverPhone {
		from, to = to, from
	}
	all := []expectation{one(tracing.FrameRead).at(from), one(tracing.CommandWait), one(tracing.Statement), one(tracing.AckWritten).at(from)}
	return append(all, a.expectNews(p, to)...)
}

func formatSpan(nanoseconds int64) string {
	return time.Duration(nanoseconds).Round(time.Millisecond).String()
}
