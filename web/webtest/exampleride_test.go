package webtest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/xray"
)

// exampleTrip is the trip that exampleRide tells of.
const exampleTrip = "7f3a2c1e-90b4-4d6f-8a51-5e0c9d7b2a64"

// exampleBegan is when it began, in Unix milliseconds.
const exampleBegan = 1795442002_100

// seenHop makes a hop of a kind that was seen on a node. Times are microseconds.
func seenHop(name string, from, to tracing.Part, node string, began, duration float64, bytes int) xray.Hop {
	k := tracing.KindNamed(name)
	return xray.Hop{Name: name, Mechanism: k.Mechanism, From: cmp.Or(k.From, from), To: cmp.Or(k.To, to), Node: node,
		Began: micros(began), Duration: micros(duration), Bytes: bytes, Sync: k.Sync, Expected: true, Seen: true, Wait: k.Wait,
		Source: "gateway/session.go:214", What: k.What, MayLose: k.MayLose, MendedBy: k.MendedBy, Experiment: k.Experiment}
}

func micros(us float64) xray.Micros { return xray.Micros(us * 1000) }

// with changes a hop.
func with(h xray.Hop, change func(*xray.Hop)) xray.Hop {
	change(&h)
	return h
}

func inBatch(n int) func(*xray.Hop) { return func(h *xray.Hop) { h.Batch = n } }

func ofDoubt(us float64) func(*xray.Hop) { return func(h *xray.Hop) { h.Doubt = micros(us) } }

func withFrame(frame string) func(*xray.Hop) { return func(h *xray.Hop) { h.Frame = frame } }

func notSeen(h *xray.Hop) { h.Seen, h.Node, h.Duration = false, "", 0 }

// phaseOf closes a phase: it works out what no hop covers, and what each hop
// has for itself.
func phaseOf(name tracing.Phase, nth int, atMs float64, hops ...xray.Hop) xray.Phase {
	p := xray.Phase{Name: name, Nth: nth, BeganAt: exampleBegan + atMs, Hops: hops}
	var edges []xray.Micros
	for _, h := range hops {
		if h.Seen {
			edges = append(edges, h.Began, h.Began+h.Duration)
		}
	}
	slices.Sort(edges)
	for i, to := range edges[1:] {
		p.Duration = max(p.Duration, to)
		if h := newestCovering(hops, edges[i], to); h == nil {
			p.Unknown += to - edges[i]
		} else {
			h.Own += to - edges[i]
		}
	}
	return p
}

func newestCovering(hops []xray.Hop, from, to xray.Micros) (found *xray.Hop) {
	for i := range hops {
		h := &hops[i]
		if h.Seen && h.Began <= from && h.Began+h.Duration >= to && h.Duration > 0 && (found == nil || h.Began >= found.Began) {
			found = h
		}
	}
	return found
}

// gapAfter says what filled the time until the next phase.
func gapAfter(p xray.Phase, seconds float64, wait tracing.Wait, what string) xray.Phase {
	p.Gap, p.GapWait, p.GapWhat = micros(seconds*1e6), wait, what
	return p
}

// movePhase is a command that becomes a trip event, heard on the other node.
func movePhase(name tracing.Phase, atMs float64, phone tracing.Part, seq int, commit float64) xray.Phase {
	written := 144 + commit
	return phaseOf(name, 0, atMs,
		with(seenHop("frame_read", phone, "", "node-1", 0, 120, 61), ofDoubt(0)),
		seenHop("command_wait", "", "", "node-1", 120, 4, 0),
		seenHop("commit_wait", "", "", "node-1", 126, 18, 0),
		with(seenHop("statement", "", "", "node-1", 144, commit, 1420), inBatch(6)),
		seenHop("ack_written", "", phone, "node-1", written+4, 22, 84),
		with(seenHop("event_written", "", tracing.RiderPhone, "node-1", written+8, 58, 318),
			withFrame(fmt.Sprintf(`{"trip_event":{"seq":%d,"kind":%q,"trip":{"id":%q,"state":"reserved"}}}`, seq, name, exampleTrip))),
		seenHop("outbox_wait", "", "", "node-1", written+12, 190, 318),
		with(seenHop("publish", "", "", "node-1", written+204, 72, 318), inBatch(2)),
		with(seenHop("heard", "", "", "node-2", written+240, 64, 318), ofDoubt(200)),
	)
}

func positionPhase(nth int, atMs float64) xray.Phase {
	sent := 118 + float64(nth*37%61)
	return phaseOf(tracing.Position, nth, atMs,
		with(seenHop("fix_sent", "", "", "node-1", 0, sent, 47), withFrame(fmt.Sprintf(`{"fix":{"seq":%d}}`, 468+nth))),
		seenHop("fix_moved", "", "", "node-1", sent+1, 9, 9),
		with(seenHop("position_written", "", "", "node-1", sent+11, 52, 63), withFrame(fmt.Sprintf(
			`{"position":{"n":%d,"seq":%d,"overwritten":3,"driver_id":"driver-0054","received_ms":1795442014120.121,"point":{"lng":3.382,"lat":6.451},"heading":92,"speed":8.2}}`, nth, 468+nth))),
		seenHop("position_acked", "", "", "node-1", sent+80, 44, 12))
}

// exampleRide is a ride over two nodes: one offer expires and one is accepted,
// a commit is shared, a message is not heard, and the provider is asked twice.
func exampleRide() *xray.Ride {
	r := &xray.Ride{Trip: exampleTrip, State: "completed", From: "6.4512, 3.3820", To: "6.4427, 3.3655", RequestedAtMs: exampleBegan + 2900,
		Nodes: []xray.Node{{Name: "node-1", Hops: 190}, {Name: "node-2", Hops: 22, Doubt: micros(200)}}, ClockDoubt: micros(200)}
	r.Phases = append(r.Phases, exampleBeginning()...)
	for n := 1; n <= 26; n++ {
		r.Phases = append(r.Phases, positionPhase(n, 23200+float64(n)*500))
	}
	r.Phases = append(r.Phases, exampleEnd()...)
	addUp(r)
	return r
}

func exampleBeginning() []xray.Phase {
	accept := movePhase(tracing.Accept, 23000, tracing.DriverPhone, 2, 412)
	accept.Hops[8] = with(accept.Hops[8], notSeen)
	accept = phaseOf(accept.Name, 0, 23000, resetOwn(accept.Hops)...)
	match := phaseOf(tracing.Match, 0, 3740,
		with(seenHop("window_wait", "", "", "node-1", 0, 240000, 0), inBatch(14)),
		with(seenHop("candidates", "", "", "node-1", 240000, 14, 1900), inBatch(14)),
		with(seenHop("matrix_call", "", "", "node-1", 240015, 400, 640), inBatch(14)),
		with(seenHop("assignment", "", "", "node-1", 240420, 31, 0), inBatch(14)),
		seenHop("reserve", "", "", "node-1", 240478, 6, 64))
	match.BatchNote = "one matching window, shared with 14 other trips"
	return []xray.Phase{
		gapAfter(phaseOf(tracing.Quote, 0, 0,
			seenHop("quote_read", "", "", "node-1", 0, 130, 210),
			seenHop("route_call", "", "", "node-1", 136, 560, 640),
			seenHop("surge_read", "", "", "node-1", 700, 9, 0),
			seenHop("quote_written", "", "", "node-1", 1010, 92, 260)), 2.9, tracing.People, "rider read the price"),
		movePhase(tracing.Request, 2900, tracing.RiderPhone, 1, 388),
		match,
		phaseOf(tracing.Offer, 1, 4000,
			with(seenHop("offer_sent", "", "", "node-1", 0, 148, 212), ofDoubt(200)),
			seenHop("offer_heard", "", "", "node-2", 148, 20, 212),
			with(seenHop("offer_written", "", "", "node-2", 170, 131, 240), withFrame(`{"offer":{"id":"o-1","driver_id":"driver-0131"}}`)),
			seenHop("offer_thought", "", "", "node-2", 301, 15e6, 0),
			with(seenHop("offer_ended", "", "", "node-1", 15000320, 3, 0), func(h *xray.Hop) {
				h.Failed, h.Code, h.Reason = true, "expired", "The driver did not answer within 15 s."
			})),
		phaseOf(tracing.Offer, 2, 19500,
			seenHop("offer_sent", "", "", "node-1", 0, 3, 212),
			seenHop("offer_written", "", "", "node-1", 5, 131, 240),
			seenHop("offer_thought", "", "", "node-1", 136, 3.4e6, 0),
			with(seenHop("offer_ended", "", "", "node-1", 3400140, 4, 0), func(h *xray.Hop) { h.Reason = "accepted" })),
		gapAfter(accept, 9.8, tracing.People, "driver drove to the pickup"),
	}
}

func resetOwn(hops []xray.Hop) []xray.Hop {
	for i := range hops {
		hops[i].Own = 0
	}
	return hops
}

func exampleEnd() []xray.Phase {
	charge := phaseOf(tracing.Charge, 0, 59300,
		seenHop("job_added", "", "", "node-1", 0, 84, 210),
		seenHop("job_wait", "", "", "node-2", 84, 310000, 210),
		with(seenHop("provider_call", "", "", "node-2", 310100, 12100, 380), func(h *xray.Hop) {
			h.Failed, h.Code, h.Reason = true, "unavailable", "The provider answered 503; the job is delivered again."
		}),
		seenHop("provider_call", "", "", "node-2", 326000, 38200, 412),
		seenHop("charge_recorded", "", "", "node-2", 364300, 410, 900))
	return []xray.Phase{
		gapAfter(movePhase(tracing.Arrive, 37000, tracing.DriverPhone, 3, 402), 4.1, tracing.People, "rider got in"),
		gapAfter(movePhase(tracing.Start, 41500, tracing.DriverPhone, 4, 421), 17.7, tracing.People, "rode"),
		movePhase(tracing.Complete, 59200, tracing.DriverPhone, 5, 395),
		charge,
		phaseOf(tracing.Receipt, 0, 59700,
			seenHop("outbox_wait", "", "", "node-2", 0, 210, 402),
			seenHop("publish", "", "", "node-2", 214, 71, 402),
			with(seenHop("heard", "", "", "node-1", 285, 20, 402), ofDoubt(200)),
			seenHop("event_written", "", tracing.RiderPhone, "node-1", 310, 60, 402)),
	}
}

// addUp works out what the whole ride waited for.
func addUp(r *xray.Ride) {
	byWait := map[tracing.Wait]*xray.Micros{tracing.People: &r.Waited.People, tracing.Queued: &r.Waited.Queue,
		tracing.Network: &r.Waited.Network, tracing.Disk: &r.Waited.Disk, tracing.Working: &r.Waited.Code}
	for _, p := range r.Phases {
		r.Duration += p.Duration + p.Gap
		r.Waited.Unknown += p.Unknown
		if p.Gap > 0 {
			*byWait[p.GapWait] += p.Gap
		}
		for _, h := range p.Hops {
			*byWait[h.Wait] += h.Own
		}
	}
}

// exampleMedian is what a hundred rides like it have in common.
func exampleMedian(r *xray.Ride, trips int) *xray.Median {
	m := &xray.Median{Trips: trips}
	done := map[tracing.Phase]bool{}
	for _, p := range r.Phases {
		if done[p.Name] {
			continue
		}
		done[p.Name] = true
		phase := xray.MedianPhase{Name: p.Name, Duration: p.Duration * 94 / 100}
		for i, h := range p.Hops {
			median := xray.MedianHop{Name: h.Name, From: h.From, To: h.To, Began: h.Began * 94 / 100, Duration: max(h.Duration, 30000) * xray.Micros(88+i*5) / 100}
			for n := range 100 {
				median.Samples = append(median.Samples, median.Duration*xray.Micros(70+n*n*n/9000+n*53%29)/100)
			}
			phase.Hops = append(phase.Hops, median)
		}
		m.Phases = append(m.Phases, phase)
	}
	return m
}
