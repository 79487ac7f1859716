package chaos

import (
	"slices"
	"time"
)

// meter adds up a counter that is read now and then, and starts at 0 again when
// its process does. It misses what was counted between the last reading and the
// end of a process.
type meter struct {
	last   int64
	points []reading // in order
}

type reading struct {
	at    time.Time
	total float64
}

func (m *meter) addReading(at time.Time, value int64) {
	grown, total := value-m.last, 0.0
	if grown < 0 {
		grown = value
	}
	if n := len(m.points); n > 0 {
		total = m.points[n-1].total + float64(grown)
	}
	m.last, m.points = value, append(m.points, reading{at, total})
}

// total returns the growth since the first reading.
func (m *meter) total() float64 {
	if len(m.points) == 0 {
		return 0
	}
	return m.points[len(m.points)-1].total
}

// totalAt returns the growth up to a moment, interpolated between two readings.
func (m *meter) totalAt(at time.Time) float64 {
	i, found := slices.BinarySearchFunc(m.points, at, func(p reading, at time.Time) int { return p.at.Compare(at) })
	switch {
	case i == len(m.points):
		return m.total()
	case i == 0 || found:
		return m.points[i].total
	}

	a, b := m.points[i-1], m.points[i]
	return a.total + (b.total-a.total)*at.Sub(a.at).Seconds()/b.at.Sub(a.at).Seconds()
}

// interval is a stretch of time.
type interval struct{ from, to time.Time }

// growthWithin returns the growth during some intervals.
func (m *meter) growthWithin(in []interval) (sum float64) {
	for _, i := range in {
		sum += m.totalAt(i.to) - m.totalAt(i.from)
	}
	return sum
}

func totalSeconds(in []interval) (sum float64) {
	for _, i := range in {
		sum += i.to.Sub(i.from).Seconds()
	}
	return sum
}

// mergeIntervals returns the same time without overlaps, in order.
func mergeIntervals(in []interval) (out []interval) {
	in = slices.SortedFunc(slices.Values(in), func(a, b interval) int { return a.from.Compare(b.from) })
	for _, i := range in {
		if n := len(out); n > 0 && !i.from.After(out[n-1].to) {
			if i.to.After(out[n-1].to) {
				out[n-1].to = i.to
			}
			continue
		}

		out = append(out, i)
	}
	return out
}

// findGaps returns the parts of whole that are in none of the merged intervals.
func findGaps(whole interval, in []interval) (out []interval) {
	at := whole.from
	for _, i := range append(in, interval{whole.to, whole.to}) {
		if i.from.After(at) {
			out = append(out, interval{at, i.from})
		}
		if i.to.After(at) {
			at = i.to
		}
	}
	return out
}

// aftermath is how long after its heal a fault still makes more work, because
// clients ask again.
const aftermath = 2 * time.Second

// faultIntervals returns the time of the faults of a kind, or of all ("").
func faultIntervals(strikes []Strike, kind Kind) (out []interval) {
	for _, s := range strikes {
		if kind == "" || s.Kind == kind {
			out = append(out, interval{s.Begun, s.Healed.Add(aftermath)})
		}
	}
	return mergeIntervals(out)
}
