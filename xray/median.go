package xray

import (
	"cmp"
	"slices"

	"github.com/ridehail/ridehail/tracing"
)

// maxSamples bounds the durations of a hop that Median has.
const maxSamples = 100

// medianKey names what is compared.
type medianKey struct {
	phase    tracing.Phase
	name     string
	from, to tracing.Part
}

// MedianOf returns the median of rides: of each phase its first one in a ride,
// and of that the first hop of each name.
func MedianOf(rides []Ride) Median {
	phases := map[tracing.Phase][]Micros{}
	began, durations := map[medianKey][]Micros{}, map[medianKey][]Micros{}
	for _, r := range rides {
		told := map[tracing.Phase]bool{}
		for _, p := range r.Phases {
			if told[p.Name] {
				continue
			}
			told[p.Name] = true
			phases[p.Name] = append(phases[p.Name], p.Duration)
			hops := map[medianKey]bool{}
			for _, h := range p.Hops {
				k := medianKey{p.Name, h.Name, h.From, h.To}
				if h.Seen && !hops[k] {
					hops[k] = true
					began[k], durations[k] = append(began[k], h.Began), append(durations[k], h.Duration)
				}
			}
		}
	}

	m := Median{Trips: len(rides), Phases: []MedianPhase{}}
	for name, all := range phases {
		m.Phases = append(m.Phases, MedianPhase{Name: name, Duration: median(all), Hops: []MedianHop{}})
	}
	slices.SortFunc(m.Phases, func(a, b MedianPhase) int {
		return cmp.Or(cmp.Compare(rankOf(a.Name), rankOf(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	for k, all := range durations {
		i := slices.IndexFunc(m.Phases, func(p MedianPhase) bool { return p.Name == k.phase })
		m.Phases[i].Hops = append(m.Phases[i].Hops, MedianHop{Name: k.name, From: k.from, To: k.to,
			Began: median(began[k]), Duration: median(all), Samples: all[:min(len(all), maxSamples)]})
	}
	for _, p := range m.Phases {
		slices.SortFunc(p.Hops, func(a, b MedianHop) int {
			return cmp.Or(cmp.Compare(a.Began, b.Began), cmp.Compare(a.Name, b.Name), cmp.Compare(a.To, b.To), cmp.Compare(a.From, b.From))
		})
	}
	return m
}

// median returns the middle of values, the lower one of two.
func median(values []Micros) Micros {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
