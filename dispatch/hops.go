package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// searchHops is what a search keeps to record its hops. It costs nothing for a
// trip that is not sampled.
type searchHops struct {
	isTraced bool // fixed at creation

	// Owned as the search's state is.
	offers       int       // made so far, also to drivers who could not be reached
	waitsSince   time.Time // what was recorded ends here, while it waits
	emptyWindows int       // since the last driver that was found

	// Of the search's goroutine: when the signal was sent that ended an offer.
	signalled time.Time
}

// hopTime returns the time, or zero for a trip that is not sampled.
func (s *search) hopTime() time.Time {
	if !s.hops.isTraced {
		return time.Time{}
	}
	return s.dispatcher.cfg.Now()
}

// matchNth is 0 for the match that leads to the first offer. Later ones have
// the number of the offer that they lead to, and are phases of their own.
func (h *searchHops) matchNth() int {
	if h.offers == 0 {
		return 0
	}
	return h.offers + 1
}

// describeWait says why the trip waited for more than one window.
func (h *searchHops) describeWait(p Policy) string {
	switch {
	case h.emptyWindows > 0:
		return fmt.Sprintf("%d times there was no car for the trip", h.emptyWindows)
	case p.Window == 0:
		return "there are no windows: each trip is matched when it comes"
	}
	return ""
}

// recordLastWait records the wait of a search that ends without a driver. It
// takes a copy, because a window may still own what the search keeps.
func (s *search) recordLastWait(h searchHops) {
	if !h.isTraced {
		return
	}
	hop := tracing.WindowWait.Hop(tracing.Match, h.matchNth())
	hop.Code, hop.Reason = "left", "the search ended while the trip waited"
	if h.emptyWindows > 0 {
		hop.Reason += ": " + h.describeWait(s.dispatcher.cfg.Policy)
	}
	s.dispatcher.cfg.Tracer.Record(string(s.trip.ID), hop, h.waitsSince, s.dispatcher.cfg.Now())
}

// recordReserve records the compare-and-set that began at a time. A search that
// lost it waits for the next window.
func (s *search) recordReserve(began time.Time, lost error) {
	if !s.hops.isTraced {
		return
	}

	hop := tracing.Reserve.Hop(tracing.Match, s.hops.matchNth())
	ended := s.dispatcher.cfg.Now()
	if lost != nil {
		hop.IsFailure, hop.Code, hop.Reason = true, "taken", "another search was faster: the trip waits for the next window"
		s.hops.waitsSince = ended
	}
	s.dispatcher.cfg.Tracer.Record(string(s.trip.ID), hop, began, ended)
}

// The ends of offers that are no outcomes of a search.
const (
	endUnreachable = "unreachable"
	endWithdrawn   = "withdrawn"
)

// offerEnd names the end of an offer as the metrics do.
func offerEnd(end outcome) string {
	switch end {
	case outcomeNone:
		return GoneExpired
	case outcomeClosed, outcomeStopped:
		return endWithdrawn
	}
	return string(end)
}

// recordOfferEnd records how an offer ended, from when that was signalled.
func (s *search) recordOfferEnd(o Offer, end string) {
	if !s.hops.isTraced {
		return
	}

	hop := tracing.OfferEnded.Hop(tracing.Offer, o.Nth)
	hop.Cause, hop.Code, hop.Reason = o.HopKey(), end, end
	hop.IsFailure = end != string(outcomeAccepted) && end != endWithdrawn
	s.hops.waitsSince = s.dispatcher.cfg.Now()
	began := s.hops.signalled
	if began.IsZero() {
		began = s.hops.waitsSince
	}
	s.dispatcher.cfg.Tracer.Record(string(s.trip.ID), hop, began, s.hops.waitsSince)
}

// LookedAround is what Config.LookAround did. Its zero value: no other node was
// asked.
type LookedAround struct {
	Asked []string // nodes
	Late  []string // those of them that have not answered in time
	Err   error    // the questions were not sent
}

// add adds what was asked after that.
func (l *LookedAround) add(next LookedAround) {
	l.Asked, l.Late = append(l.Asked, next.Asked...), append(l.Late, next.Late...)
	if next.Err != nil {
		l.Err = next.Err
	}
}

// round is one matching of one or more searches, for their hops: each is one
// span with a link to each of their trips. A nil round records nothing.
type round struct {
	dispatcher *Dispatcher
	searches   []*search // those whose trips are sampled
	trips      int       // of all

	began, looked, found, matched time.Time

	around   LookedAround
	cars     int // candidates of all trips
	travel   travelCalls
	searched bool // for pairs; otherwise there were no candidates
}

// beginRound returns nil if no trip is sampled.
func (d *Dispatcher) beginRound(searches ...*search) *round {
	r := &round{dispatcher: d, trips: len(searches)}
	for _, s := range searches {
		if s.hops.isTraced {
			r.searches = append(r.searches, s)
		}
	}
	if len(r.searches) == 0 {
		return nil
	}
	r.began, r.travel.now = d.cfg.Now(), d.cfg.Now
	return r
}

func (r *round) noteLookedAround(l LookedAround) {
	if r != nil {
		r.around, r.looked = l, r.dispatcher.cfg.Now()
	}
}

func (r *round) noteCandidates(window ...Candidates) {
	if r == nil {
		return
	}
	for _, ask := range window {
		r.cars += len(ask.Nearby)
	}
	r.found = r.dispatcher.cfg.Now()
	r.matched = r.found
}

// contextOf returns a context for the matcher, which notes its calls for travel
// times.
func (r *round) contextOf(ctx context.Context) context.Context {
	if r == nil {
		return ctx
	}
	if r.trips == 1 {
		ctx = r.dispatcher.cfg.Tracer.ContextOf(ctx, string(r.searches[0].trip.ID))
	}
	return context.WithValue(ctx, travelCallsKey{}, &r.travel)
}

func (r *round) noteMatched() {
	if r != nil {
		r.searched, r.matched = true, r.dispatcher.cfg.Now()
	}
}

// wait is how long a trip waited for a round.
type wait struct {
	trip  string
	hop   tracing.Hop
	since time.Time
}

// settle returns what is to be recorded of the round, and changes what the
// searches keep: call it before they go on. Of several rounds in a row that
// find no driver for a trip only the first is recorded for it, since a trip may
// wait for hundreds. The next that is recorded tells how many there were.
func (r *round) settle(pairs map[trips.TripID]Assignment) (shared []tracing.Shared, waits []wait) {
	if r == nil {
		return nil, nil
	}
	for _, s := range r.searches {
		h := &s.hops
		_, isFound := pairs[s.trip.ID]
		if !isFound && h.emptyWindows > 0 {
			h.emptyWindows++
			continue
		}

		w := wait{trip: string(s.trip.ID), hop: tracing.WindowWait.Hop(tracing.Match, h.matchNth()), since: h.waitsSince}
		w.hop.Batch, w.hop.Reason = r.trips, h.describeWait(r.dispatcher.cfg.Policy)
		waits = append(waits, w)
		shared = append(shared, tracing.Shared{ID: w.trip, Phase: tracing.Match, Nth: h.matchNth()})

		h.waitsSince, h.emptyWindows = r.matched, 1
		if isFound {
			h.emptyWindows = 0
		}
	}
	return shared, waits
}

// record records the round for the trips that settle returned.
func (r *round) record(shared []tracing.Shared, waits []wait) {
	if len(shared) == 0 {
		return
	}
	tracer := r.dispatcher.cfg.Tracer
	for _, w := range waits {
		tracer.Record(w.trip, w.hop, w.since, r.began)
	}

	if len(r.around.Asked) > 0 || r.around.Err != nil {
		hop := r.newHop(tracing.LookAround)
		hop.Code, hop.Reason = r.around.describe()
		hop.IsFailure = hop.Code != ""
		tracer.RecordBatch(shared, hop, r.began, r.looked)
	}

	hop := r.newHop(tracing.CandidateSearch)
	hop.Reason = fmt.Sprintf("cars that may be asked: %d, trips in the window: %d", r.cars, r.trips)
	tracer.RecordBatch(shared, hop, r.looked, r.found)
	if !r.searched {
		return
	}

	began := r.found
	if c := &r.travel; c.count > 0 {
		hop = r.newHop(tracing.MatrixCall)
		hop.Code, hop.Reason = c.describe()
		hop.IsFailure = hop.Code != ""
		tracer.RecordBatch(shared, hop, c.began, c.ended)
		began = c.ended
	}
	tracer.RecordBatch(shared, r.newHop(tracing.Assignment), began, r.matched)
}

func (r *round) newHop(k *tracing.Kind) tracing.Hop {
	hop := k.Hop(tracing.Match, 0)
	hop.Batch = r.trips
	return hop
}

// describe returns a code for a failure, and a sentence.
func (l *LookedAround) describe() (code, reason string) {
	switch {
	case l.Err != nil:
		return "unavailable", "other nodes could not be asked: the search goes on with the cars known here"
	case len(l.Late) > 0:
		return "late", fmt.Sprintf("%s has not answered in time: the search goes on without its cars", joinNames(l.Late))
	}
	return "", joinNames(l.Asked) + " answered"
}

// joinNames lists names, each once.
func joinNames(names []string) string {
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// sourceStraight is the source of travel times that stand in for those of a
// routing service that failed.
const sourceStraight = "straight_line"

// travelCalls are the calls for travel times of one matching, one after the
// other.
type travelCalls struct {
	now          func() time.Time
	count        int
	began, ended time.Time // of the first and of the last
	straight     int       // answered with straight lines
	err          error
}

type travelCallsKey struct{}

// beginTravelCall notes that travel times are asked for now, if that is to be
// recorded. The caller calls end with the answer.
func beginTravelCall(ctx context.Context) (end func(source string, err error)) {
	c, ok := ctx.Value(travelCallsKey{}).(*travelCalls)
	if !ok {
		return func(string, error) {}
	}

	if c.count++; c.count == 1 {
		c.began = c.now()
	}
	return func(source string, err error) {
		c.ended = c.now()
		if err != nil {
			c.err = err
		} else if source == sourceStraight {
			c.straight++
		}
	}
}

// describe returns a code for a failure, and a sentence.
func (c *travelCalls) describe() (code, reason string) {
	switch {
	case c.err != nil:
		return "failed", fmt.Sprintf("distances by air stand in: %v", c.err)
	case c.straight > 0:
		return "unavailable", "straight lines stand in, because the routing service failed or was too late"
	case c.count > 1:
		return "", fmt.Sprintf("%d calls, one for each group of neighbouring trips", c.count)
	}
	return "", ""
}
