package xray

import (
	"fmt"

	"github.com/ridehail/ridehail/tracing"
)

// codeLeft is that of the wait for a window of a trip that ended before it.
const codeLeft = "left"

// expectMatch returns the hops of a window. One that found no car ends before
// the pairs are made.
func (a *assembly) expectMatch(p *phase) (all []expectation) {
	isBatched := false
	for _, q := range a.phases {
		isBatched = isBatched || q.name == tracing.Match && q.has(tracing.WindowWait)
	}

	if isBatched {
		all = append(all, one(tracing.WindowWait))
		if wait := p.first(tracing.WindowWait); wait != nil && wait.Code == codeLeft {
			return all
		}
	}
	all = append(all, one(tracing.CandidateSearch))
	if !a.leadsToOffer(p) {
		return all
	}
	if isBatched {
		all = append(all, one(tracing.MatrixCall), one(tracing.Assignment))
	}
	return append(all, one(tracing.Reserve))
}

// leadsToOffer reports whether an offer came of a window before the next one.
// The answer to an earlier offer may be written when the window has begun.
func (a *assembly) leadsToOffer(p *phase) bool {
	var next *phase
	for _, q := range a.phases {
		if q.name == tracing.Match && q.began > p.began && (next == nil || q.began < next.began) {
			next = q
		}
	}
	for _, q := range a.phases {
		if q.name == tracing.Offer && q.began >= p.began && (next == nil || q.began < next.began) {
			return true
		}
	}
	return false
}

// expectOffer returns the hops of an offer. One that could not be sent has no
// more than its end.
func (a *assembly) expectOffer(p *phase) []expectation {
	sent := p.first(tracing.OfferSent)
	if sent != nil && sent.Failed {
		return []expectation{one(tracing.OfferSent), one(tracing.OfferEnded)}
	}

	all := []expectation{one(tracing.OfferSent)}
	if node := a.nodeOf(tracing.DriverPhone, p); sent != nil && node != "" && node != sent.Node && p.has(tracing.OfferWritten) {
		all = append(all, one(tracing.OfferHeard))
	}
	for _, e := range []expectation{one(tracing.OfferWritten), one(tracing.OfferThought)} {
		e.explain = explainUnoffered
		all = append(all, e)
	}
	return append(all, one(tracing.OfferEnded))
}

// explainUnoffered says what became of an offer that the driver did not see.
func explainUnoffered(p *phase) (code, reason string) {
	end := p.first(tracing.OfferEnded)
	if end == nil || end.Reason == "" && end.Code == "" || p.has(tracing.OfferWritten) {
		return "", ""
	}
	why := end.Reason
	if why == "" {
		why = end.Code
	}
	return CodeAway, "The offer did not reach the phone. It ended: " + why
}

// expectPosition returns the hops of a position. The rider's node is another
// than the driver's, or the same.
func (a *assembly) expectPosition(p *phase) []expectation {
	all := []expectation{one(tracing.FixSent), one(tracing.FixMoved)}
	rider := a.nodeOf(tracing.RiderPhone, p)
	if rider == "" || a.isAway(tracing.RiderPhone, p) {
		return all
	}

	if moved := p.first(tracing.FixMoved); moved != nil && moved.Node != rider {
		all = append(all, one(tracing.CarPublished), one(tracing.CarHeard))
	}
	written := one(tracing.PositionWritten)
	written.explain = a.explainOverwritten
	all = append(all, written)
	if p.has(tracing.PositionWritten) {
		acked := one(tracing.PositionAcked)
		acked.explain = a.explainUnacked
		all = append(all, acked)
	}
	for i := range all {
		if all[i].explain == nil {
			all[i].explain = a.explainOverwritten
		}
	}
	return all
}

// isAway reports whether a phone's connection was lost during the phase.
func (a *assembly) isAway(phone tracing.Part, p *phase) bool {
	for _, s := range a.steps {
		if s.kind == tracing.ConnectionLost && s.From == phone && s.began <= p.ended && s.ended >= p.began {
			return true
		}
	}
	return false
}

// explainOverwritten names the position that was written instead.
func (a *assembly) explainOverwritten(p *phase) (code, reason string) {
	if next := a.laterPosition(p, tracing.PositionWritten); next != nil {
		return CodeOverwritten, fmt.Sprintf("Overwritten: the newer position %d was written %s later.", next.nth, formatSpan(next.began-p.began))
	}
	return a.explainLastPosition(p)
}

// explainLastPosition is for the last one that was recorded: not all are.
func (a *assembly) explainLastPosition(p *phase) (code, reason string) {
	for _, s := range a.steps {
		if s.kind == tracing.EventWritten && s.To == tracing.RiderPhone && s.ended > p.began {
			return CodeOverwritten, "Lost or overwritten. The trip's next event came instead, or a newer position that was not recorded."
		}
	}
	return "", ""
}

func (a *assembly) explainUnacked(p *phase) (code, reason string) {
	if next := a.laterPosition(p, tracing.PositionAcked); next != nil {
		return CodeOverwritten, fmt.Sprintf("The phone answered to the newer position %d.", next.nth)
	}
	if a.isLost(tracing.RiderPhone, p) {
		return CodeAway, "The phone was away before it answered."
	}
	return a.explainLastPosition(p)
}

// laterPosition returns the first later position that has a hop.
func (a *assembly) laterPosition(p *phase, k *tracing.Kind) (next *phase) {
	for _, q := range a.phases {
		if q.name == tracing.Position && q.nth > p.nth && q.has(k) && (next == nil || q.nth < next.nth) {
			next = q
		}
	}
	return next
}
