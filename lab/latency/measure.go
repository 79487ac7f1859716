package latency

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
)

// pair is a driver whose updates go to a rider.
type pair struct {
	driver, rider *phone
	tripID        string

	sent      atomic.Int64
	delivered atomic.Int64
	repeated  atomic.Int64
	// last is the newest Position.n, over the newest Position.overwritten.
	last     atomic.Uint32
	over     atomic.Int64
	overBase int64 // over when measuring began; set while no update is sent
}

// isAcross reports whether driver and rider are at different nodes.
func (p *pair) isAcross() bool { return p.driver.server != p.rider.server }

// arrival is the times of one update, in milliseconds since the epoch. Received
// and sent are by the node's clock, and 0 if there is no node.
type arrival struct {
	due, received, sent, got float64
}

// strips spread the recording over several locks.
const strips = 16

// recorder records the latencies of what riders receive.
type recorder struct {
	cfg    Config
	since  atomic.Int64 // microseconds; updates due earlier are warm-up
	strips [strips]strip
}

type strip struct {
	mu sync.Mutex
	histograms
}

// histograms are of the whole way, of its parts, and of the way from node to
// node alone.
type histograms struct{ all, in, node, outs, across, between *quantile.Histogram }

func newHistograms() histograms {
	return histograms{newHistogram(), newHistogram(), newHistogram(), newHistogram(), newHistogram(), newHistogram()}
}

func (h histograms) merge(other histograms) {
	h.all.Merge(other.all)
	h.in.Merge(other.in)
	h.node.Merge(other.node)
	h.outs.Merge(other.outs)
	h.across.Merge(other.across)
	h.between.Merge(other.between)
}

// newHistogram counts microseconds up to a minute. A latency that is negative,
// because a clock offset is imperfect, counts as one microsecond.
func newHistogram() *quantile.Histogram { return quantile.NewHistogram(60_000_000, 3) }

// startMeasuring resets the counts after the warm-up, while no update is sent.
func (m *recorder) startMeasuring(pairs []*pair) {
	for i := range m.strips {
		s := &m.strips[i]
		s.mu.Lock()
		s.histograms = newHistograms()
		s.mu.Unlock()
	}

	for _, p := range pairs {
		p.sent.Store(0)
		p.delivered.Store(0)
		p.repeated.Store(0)
		p.overBase = p.over.Load()
	}

	m.since.Store(time.Now().UnixMicro())
}

func (m *recorder) recordArrival(i int, p *pair, a arrival) {
	p.delivered.Add(1)
	if from := m.since.Load(); from == 0 || a.due*1e3 < float64(from) {
		return
	}
	s := &m.strips[i%strips]
	s.mu.Lock()
	defer s.mu.Unlock()

	s.all.Record(1e3 * (a.got - a.due))
	if a.received == 0 {
		return
	}
	s.in.Record(1e3 * (a.received - p.driver.offset - a.due))
	if !p.isAcross() {
		s.node.Record(1e3 * (a.sent - a.received))
	} else {
		// Two clocks: both times are compared with ours.
		inside := 1e3 * ((a.sent - p.rider.offset) - (a.received - p.driver.offset))
		s.node.Record(inside)
		s.between.Record(inside)
		s.across.Record(1e3 * (a.got - a.due))
	}
	s.outs.Record(1e3 * (a.got - (a.sent - p.rider.offset)))
}

// sumCounts adds up the counts of all pairs.
func sumCounts(pairs []*pair) (sent, delivered, over int64) {
	for _, p := range pairs {
		sent += p.sent.Load()
		delivered += p.delivered.Load()
		over += p.over.Load() - p.overBase
	}
	return sent, delivered, over
}

func (m *recorder) buildReport(pairs []*pair) Report {
	h := newHistograms()
	for i := range m.strips {
		s := &m.strips[i]
		s.mu.Lock()
		h.merge(s.histograms)
		s.mu.Unlock()
	}

	r := Report{Pairs: len(pairs), RateHz: m.cfg.Rate, Servers: m.cfg.servers(), Latency: h.all.Summary(1e3), hist: h.all,
		Hops: Hops{DriverToNode: describeHop(h.in, webSocket), NodeToRider: describeHop(h.outs, webSocket)}}
	for _, p := range pairs {
		if p.isAcross() {
			r.Across++
		}
	}
	r.Hops.Node = describeHop(h.node, nodeMechanism(r.Across, r.Pairs))
	if r.Across > 0 {
		hop, whole := describeHop(h.between, redisPubSub), h.across.Summary(1e3)
		r.Hops.NodeToNode, r.LatencyAcross = &hop, &whole
	}
	r.Sent, r.Delivered, r.Overwritten = sumCounts(pairs)
	r.Lost = r.Sent - r.Delivered - r.Overwritten
	for _, p := range pairs {
		r.Duplicated += p.repeated.Load()
	}
	if len(pairs) > 0 {
		r.ClockOffset = pairs[0].rider.offset
	}

	return r
}
