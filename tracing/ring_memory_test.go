package tracing

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// rideHops is a whole ride on one node with 30 positions.
func rideHops() (hops []Hop) {
	add := func(phase Phase, nth int, id string, kinds ...*Kind) {
		for _, k := range kinds {
			h := k.Hop(phase, nth)
			h.Bytes = 120
			switch k {
			case Statement:
				h.Key = "commit:" + id
			case Publish:
				h.Key, h.Cause = "publish:"+id, "commit:"+id
			case Heard, EventWritten:
				h.Cause = "publish:" + id
			}
			switch k {
			case FrameRead, AckWritten, EventWritten, OfferWritten, FixSent, PositionWritten:
				h.Frame = `{"position":{"seq":1,"atMs":"1795720000123","point":{"lng":3.384979,"lat":6.408022},"bearing":90,"speed":8.3,"accuracy":5}}`
			}
			hops = append(hops, h)
		}
	}

	add(Quote, 0, "", QuoteRead, RouteCall, SurgeRead, QuoteWritten)
	add(Match, 0, "", WindowWait, CandidateSearch, MatrixCall, Assignment, Reserve)
	add(Offer, 1, "", OfferSent, OfferWritten, OfferThought, OfferEnded)
	for i, phase := range []Phase{Request, Accept, Arrive, Start, Complete} {
		add(phase, 0, EventID(uint32(i+1)), FrameRead, CommandWait, CommitWait, Statement, AckWritten, EventWritten, EventWritten, OutboxWait, Publish, Heard)
	}
	for n := range 30 {
		add(Position, n+1, "", FixSent, FixMoved, PositionWritten, PositionAcked)
	}
	add(Charge, 0, "", JobAdded, JobWait, ProviderCall, ChargeRecorded)
	add(Receipt, 0, ReceiptID, OutboxWait, Publish, Heard, EventWritten)
	add("", 0, "", Ride)
	return hops
}

// recordRide records such a ride as one of a trip of its own.
func recordRide(t *Tracer) {
	trip := uuid.NewString()
	for _, h := range rideHops() {
		if h.Phase == Position {
			h.Key = "fix:" + strconv.Itoa(h.Nth)
		}
		h.Frame = strings.Clone(h.Frame) // each hop has its own
		t.Record(trip, h, began, began.Add(time.Millisecond))
	}
}

// fillRing records rides until the first is forgotten.
func fillRing(t *Tracer) RingStats {
	for rides := 0; rides == t.Ring().Stats().Rides; rides++ {
		recordRide(t)
	}
	return t.Ring().Stats()
}

// heapBytes returns what the heap has that is in use.
func heapBytes() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestTheRingTakesNotMuchMoreMemoryThanItCounts(t *testing.T) {
	before := heapBytes()
	tracer := newTracer(t, Config{RingBytes: 8 << 20})
	s := fillRing(tracer)
	if took, most := heapBytes()-before, s.Limit*11/10+recentHops*hopSize; took > most || s.Bytes > s.Limit {
		t.Errorf("it counts %d bytes of at most %d and takes %d of at most %d", s.Bytes, s.Limit, took, most)
	}
	runtime.KeepAlive(tracer)
}

// BenchmarkRing records rides in a full ring, and says how many it keeps in how
// much memory.
func BenchmarkRing(b *testing.B) {
	before := heapBytes()
	tracer, err := New(b.Context(), Config{Node: "node-1", Ratio: 1})
	if err != nil {
		b.Fatal(err)
	}
	s := fillRing(tracer)

	for b.Loop() {
		recordRide(tracer)
	}
	b.ReportMetric(float64(len(rideHops())), "hops")
	b.ReportMetric(float64(s.Rides), "rides-kept")
	b.ReportMetric(float64(s.Bytes)/float64(s.Rides)/1024, "ride-KiB")
	b.ReportMetric(float64(heapBytes()-before)/(1<<20), "heap-MiB")
	runtime.KeepAlive(tracer)
}
