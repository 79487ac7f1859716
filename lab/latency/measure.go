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
	mu                  sync.Mutex
	all, in, node, outs *quantile.Histogram
}

// newHistogram counts microseconds up to a minute. A latency that is negative,
// because a clock offset is imperfect, counts as one microsecond.
func newHistogram() *quantile.Histogram { return quantile.NewHistogram(60_000_000, 3) }

// startMeasuring resets the counts after the warm-up, while no update is sent.
func (m *recorder) startMeasuring(pairs []*pair) {
	for i := range m.strips {
		s := &m.strips[i]
		s.mu.Lock()
		s.all, s.in, s.node, s.outs = newHistogram(), newHistogram(), newHistogram(), newHistogram()
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
	s.node.Record(1e3 * (a.sent - a.received))
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
	all, in, node, outs := newHistogram(), newHistogram(), newHistogram(), newHistogram()
	for i := range m.strips {
		s := &m.strips[i]
		s.mu.Lock()
		all.Merge(s.all)
		in.Merge(s.in)
		node.Merge(s.node)
		outs.Merge(s.outs)
		s.mu.Unlock()
	}

	r := Report{Pairs: len(pairs), RateHz: m.cfg.Rate, Latency: all.Summary(1e3), hist: all,
		Hops: Hops{DriverToNode: describeHop(in, webSocket), Node: describeHop(node, sharedMemory), NodeToRider: describeHop(outs, webSocket)}}
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
