package xray

import (
	"slices"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// rank is the order of phases that begin at the same moment.
var rank = []tracing.Phase{tracing.Quote, tracing.Request, tracing.Match, tracing.Offer, tracing.Accept, tracing.Position, tracing.Arrive,
	tracing.Start, tracing.Complete, tracing.Cancel, tracing.Charge, tracing.Receipt, tracing.Chat, tracing.Resume, tracing.Takeover}

func rankOf(p tracing.Phase) int {
	if i := slices.Index(rank, p); i >= 0 {
		return i
	}
	return len(rank)
}

// course returns the phases that the ride itself consists of, by their
// beginning. What happens beside them, as positions, chat and reconnects while
// the car drives, takes no time of the ride. If there is nothing else, it is the
// ride.
func (a *assembly) course() (course []*phase) {
	accepted := false
	for _, p := range a.phases {
		switch p.name {
		case tracing.Position, tracing.Chat, tracing.Resume, "other":
			continue
		case tracing.Takeover:
			if accepted {
				continue // the car drives on
			}
		case tracing.Accept:
			accepted = true
		}
		course = append(course, p)
	}
	if len(course) == 0 {
		return a.phases
	}
	return course
}

// interval is a part of the ride's time that no hop of its course covers.
type interval struct {
	span
	wait tracing.Wait // empty: unknown
}

// waited shares the time of the ride among what it was spent on, and notes the
// gaps between phases. The phases must be sorted.
func (a *assembly) waited() (w Waited, total Micros) {
	course := a.course()
	if len(course) == 0 {
		return w, 0
	}
	began, ended := course[0].began, course[0].ended
	var gaps []interval
	for i, p := range course {
		if i > 0 && p.began > ended {
			gaps = append(gaps, course[i-1].noteGap(p.began-ended, a.gapBefore(course[i-1].name, p.name), span{ended, p.began}))
		}
		ended = max(ended, p.ended)
	}
	if last := a.lastMoment(); a.trip.State.IsActive() && last > ended {
		tail := course[len(course)-1]
		gaps = append(gaps, tail.noteGap(last-ended, a.gapNow(), span{ended, last}))
		ended = last
	}

	w = shareWaits(course, gaps, began, ended)
	return w, Micros(ended - began)
}

func (p *phase) noteGap(length int64, g gap, at span) interval {
	p.gap, p.gapWait, p.gapWhat = length, g.wait, g.what
	return interval{at, g.wait}
}

// lastMoment is when the last hop ended.
func (a *assembly) lastMoment() (last int64) {
	for _, p := range a.phases {
		last = max(last, p.ended)
	}
	return last
}

// shareWaits gives each moment to the hop of the course that began last, or to
// the gap, or to the unknown.
func shareWaits(course []*phase, gaps []interval, began, ended int64) (w Waited) {
	var spans []span
	var waits []tracing.Wait
	for _, p := range course {
		for _, s := range p.steps {
			spans, waits = append(spans, span{s.began, s.ended}), append(waits, s.kind.Wait)
		}
	}
	for _, g := range gaps {
		spans, waits = append(spans, g.span), append(waits, g.wait)
	}

	own, free := sweepTime(spans, began, ended)
	for i, d := range own {
		w.add(waits[i], Micros(d))
	}
	w.Unknown += Micros(free)
	return w
}

func (w *Waited) add(to tracing.Wait, d Micros) {
	switch to {
	case tracing.People:
		w.People += d
	case tracing.Queued:
		w.Queue += d
	case tracing.Network:
		w.Network += d
	case tracing.Disk:
		w.Disk += d
	case tracing.Working:
		w.Code += d
	default:
		w.Unknown += d
	}
}

// Total returns the sum of all waits.
func (w Waited) Total() Micros {
	return w.People + w.Queue + w.Network + w.Disk + w.Code + w.Unknown
}

// gap is what happens between two phases.
type gap struct {
	wait tracing.Wait
	what string
}

// The gaps of a ride.
var (
	gapPrice   = gap{tracing.People, "rider read the price"}
	gapThought = gap{tracing.People, "driver thought"}
	gapPickup  = gap{tracing.People, "driver drove to the pickup"}
	gapBoard   = gap{tracing.People, "rider walked to the car and boarded"}
	gapDrive   = gap{tracing.People, "driver drove to the destination"}
	gapOpen    = gap{tracing.Queued, "trip waited for its search"}
	gapSearch  = gap{tracing.Queued, "trip waited for the next window"}
	gapOffer   = gap{tracing.Working, "offer was made ready"}
	gapCharge  = gap{tracing.Queued, "charge waited for a worker"}
	gapReceipt = gap{tracing.Queued, "receipt waited for the relay"}
	gapDead    = gap{tracing.Queued, "trip waited until another node took over"}
	gapUnknown = gap{"", "nothing was recorded"}
)

// gapBefore returns what happens before a phase, after another.
func (a *assembly) gapBefore(last, next tracing.Phase) gap {
	switch next {
	case tracing.Request:
		return gapPrice
	case tracing.Match:
		if last == tracing.Request {
			return gapOpen
		}
		return gapSearch
	case tracing.Offer:
		return gapOffer
	case tracing.Accept:
		return gapThought
	case tracing.Charge:
		return gapCharge
	case tracing.Receipt:
		return gapReceipt
	case tracing.Takeover:
		return gapDead
	}
	return gapAfter(last)
}

// gapAfter returns what a ride waits for when a phase is over.
func gapAfter(last tracing.Phase) gap {
	switch last {
	case tracing.Request, tracing.Match, tracing.Takeover:
		return gapSearch
	case tracing.Offer:
		return gapThought
	case tracing.Accept:
		return gapPickup
	case tracing.Arrive:
		return gapBoard
	case tracing.Start:
		return gapDrive
	}
	return gapUnknown
}

// gapNow returns what an active trip waits for.
func (a *assembly) gapNow() gap {
	switch a.trip.State {
	case trips.Reserved:
		return gapPickup
	case trips.Arrived:
		return gapBoard
	case trips.OnTrip:
		return gapDrive
	}
	return gapSearch
}
