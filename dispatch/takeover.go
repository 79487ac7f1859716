package dispatch

import (
	"fmt"
	"time"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// FormerOwner is the node that had a region before another one.
type FormerOwner struct {
	Node    string // empty: it is not known
	IsAlive bool
	Until   time.Time // when the nodes changed; zero: before this node was started
}

// recordTakeover records why the scan of the store began a search: the trip was
// open, and no event had begun one here. It records nothing for a trip so new
// that its event may still be on its way. Only Run's goroutine calls it.
func (d *Dispatcher) recordTakeover(t trips.Trip) {
	if !d.cfg.Tracer.Samples(string(t.ID)) {
		return
	}

	now, former := d.cfg.Now(), d.cfg.FormerOwner(t.Region)
	hop := tracing.TakenOver.Hop(tracing.Takeover, 0)
	var began time.Time
	switch isKnown := former.Node != "" && former.Node != d.cfg.Node; {
	case isKnown && former.Until.After(t.RequestedAt) && !former.IsAlive:
		hop.Code, began = "owner_gone", former.Until
		hop.Reason = fmt.Sprintf("node %s searched for a driver and is gone; node %s owns the region now and searches", former.Node, d.cfg.Node)
	case isKnown && former.Until.After(t.RequestedAt):
		hop.Code, began = "owner_changed", former.Until
		hop.Reason = fmt.Sprintf("the nodes changed: node %s had the region, node %s owns it now and searches", former.Node, d.cfg.Node)
	case t.RequestedAt.Before(d.startedAt):
		hop.Code, began = "started", d.startedAt
		hop.Reason = fmt.Sprintf("node %s was started when the trip was open already", d.cfg.Node)
		if isKnown {
			hop.Reason += fmt.Sprintf("; node %s has its region while %s is away", former.Node, d.cfg.Node)
		}
	case now.Sub(t.RequestedAt) >= d.cfg.ScanEvery/4:
		hop.Code, began = "no_search", t.RequestedAt
		hop.Reason = "no search ran for the open trip: its event was not heard, or a search could not go on; the scan of the database found it"
	default:
		return
	}
	d.cfg.Tracer.Record(string(t.ID), hop, began, now)
}
