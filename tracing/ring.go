package tracing

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// maxRideHops bounds the hops of one ride. Further ones are dropped and counted.
const maxRideHops = 2000

// recentHops is how many of the newest hops are kept for those who follow all
// rides at once.
const recentHops = 4096

// Ring keeps the newest rides within a bound of memory. It is a span processor:
// each span that ends is in it at once. A new ride pushes out the oldest. Its
// methods may be called from any goroutine; a nil Ring is empty.
type Ring struct {
	node  string
	limit int

	mu      sync.Mutex // guards all below
	rides   map[suffix]*keptRide
	first   uint64 // order of the rides that were pushed out, and one more
	next    uint64
	byOrder map[uint64]suffix
	bytes   int
	dropped uint64

	recent []Recorded // the newest, from recentAt on the oldest
	count  uint64     // of all hops that ever came
}

// keptRide is a trip with its quote: both have one suffix. Two trips of one quote
// share it too.
type keptRide struct {
	order   uint64
	trip    string // the newest one; empty while only a quote is known
	hops    []keptHop
	bytes   int
	endedAt int64
}

// keptHop is a hop and the trip that it is kept for, which is not the hop's own
// trace if a batch made it.
type keptHop struct {
	trip trace.TraceID
	*Recorded
}

var _ sdk.SpanProcessor = (*Ring)(nil)

func newRing(node string, limit int) *Ring {
	return &Ring{node: node, limit: cmp.Or(limit, DefaultRingBytes), rides: map[suffix]*keptRide{}, byOrder: map[uint64]suffix{}}
}

// OnStart does nothing: a hop is recorded when it has ended.
func (*Ring) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd keeps a hop, with each trip that it is about.
func (r *Ring) OnEnd(s sdk.ReadOnlySpan) {
	hop, ok := decodeSpan(r.node, s)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()

	if !isShared(s) {
		r.keepLocked(s.SpanContext().TraceID(), &hop)
	} else {
		for _, link := range s.Links() {
			own := hop.forTrip(link.Attributes)
			r.keepLocked(link.SpanContext.TraceID(), &own)
		}
	}

	r.count++
	if len(r.recent) < recentHops {
		r.recent = append(r.recent, hop)
	} else {
		r.recent[(r.count-1)%recentHops] = hop
	}
}

// isShared reports whether the span is of a batch: it has no parent, and links
// to the trips.
func isShared(s sdk.ReadOnlySpan) bool { return !s.Parent().IsValid() && len(s.Links()) > 0 }

func (r *Ring) keepLocked(id trace.TraceID, hop *Recorded) {
	key := suffixOf(id)
	ride := r.rides[key]
	if ride == nil {
		ride = &keptRide{order: r.next}
		r.rides[key], r.byOrder[r.next] = ride, key
		r.next++
	}
	if len(ride.hops) >= maxRideHops {
		r.dropped++
		return
	}

	if hop.Phase != Quote {
		ride.trip = TripOf(id.String())
	}
	if hop.Name == Ride.Name {
		ride.endedAt = hop.Ended
	}
	ride.hops = append(ride.hops, keptHop{id, hop})
	ride.bytes += hop.size()
	r.bytes += hop.size()
	r.evictLocked(ride)
}

// evictLocked forgets the oldest rides until the rest fits, but not the one that
// is being added to.
func (r *Ring) evictLocked(keep *keptRide) {
	for r.bytes > r.limit && r.first < r.next {
		if key, ok := r.byOrder[r.first]; ok {
			ride := r.rides[key]
			if ride == keep {
				return
			}
			r.bytes -= ride.bytes
			delete(r.rides, key)
			delete(r.byOrder, r.first)
		}
		r.first++
	}
}

// TripOf returns the trip whose trace id is written in 32 digits.
func TripOf(traceID string) string {
	return traceID[:8] + "-" + traceID[8:12] + "-" + traceID[12:16] + "-" + traceID[16:20] + "-" + traceID[20:]
}

// HopsOf returns what this node recorded of a trip, with its quote, in no order.
func (r *Ring) HopsOf(trip string) (hops []Recorded) {
	id, ok := traceIDOf(trip)
	if r == nil || !ok {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ride := r.rides[suffixOf(id)]
	if ride == nil {
		return nil
	}
	for _, h := range ride.hops {
		if h.trip == id || h.Phase == Quote {
			hops = append(hops, *h.Recorded)
		}
	}
	return hops
}

// KeptTrip says which trip is kept.
type KeptTrip struct {
	ID    string
	Hops  int
	Bytes int
	Began time.Time
	Ended time.Time // zero: it goes on, or ended on another node
}

// Trips returns the trips that are kept, the newest first, at most limit.
func (r *Ring) Trips(limit int) (kept []KeptTrip) {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for order := r.next; order > r.first && len(kept) < limit; order-- {
		ride := r.rides[r.byOrder[order-1]]
		if ride == nil || ride.trip == "" {
			continue
		}
		k := KeptTrip{ID: ride.trip, Hops: len(ride.hops), Bytes: ride.bytes}
		first := slices.MinFunc(ride.hops, func(a, b keptHop) int { return cmp.Compare(a.Began, b.Began) })
		k.Began = time.Unix(0, first.Began)
		if ride.endedAt != 0 {
			k.Ended = time.Unix(0, ride.endedAt)
		}
		kept = append(kept, k)
	}
	return kept
}

// Since returns the hops that came after the first seen ones of all rides, at
// most the newest 4,096, and how many have come by now.
func (r *Ring) Since(seen uint64) (hops []Recorded, count uint64) {
	if r == nil {
		return nil, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := r.count - uint64(len(r.recent))
	for n := max(seen, oldest); n < r.count; n++ {
		hops = append(hops, r.recent[n%recentHops])
	}
	return hops, r.count
}

// RingStats is how full a ring is.
type RingStats struct {
	Rides, Bytes, Limit int
	Dropped             uint64 // hops of rides that had too many
}

// Stats returns how full the ring is.
func (r *Ring) Stats() RingStats {
	if r == nil {
		return RingStats{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return RingStats{Rides: len(r.rides), Bytes: r.bytes, Limit: r.limit, Dropped: r.dropped}
}

// Shutdown does nothing: the ring can still be read.
func (*Ring) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing: every hop is kept at once.
func (*Ring) ForceFlush(context.Context) error { return nil }

// ringCollector is the ring as metrics.
type ringCollector struct{ ring *Ring }

var (
	keptDesc    = prometheus.NewDesc("ridehail_tracing_rides_kept", "Rides whose hops are kept in memory.", nil, nil)
	bytesDesc   = prometheus.NewDesc("ridehail_tracing_ring_bytes", "Memory of the rides that are kept.", nil, nil)
	droppedDesc = prometheus.NewDesc("ridehail_tracing_hops_dropped_total", "Hops of rides that had too many.", nil, nil)
)

func (ringCollector) Describe(c chan<- *prometheus.Desc) {
	c <- keptDesc
	c <- bytesDesc
	c <- droppedDesc
}

func (k ringCollector) Collect(c chan<- prometheus.Metric) {
	s := k.ring.Stats()
	c <- prometheus.MustNewConstMetric(keptDesc, prometheus.GaugeValue, float64(s.Rides))
	c <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(s.Bytes))
	c <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(s.Dropped))
}
