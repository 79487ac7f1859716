package dispatch

import (
	"context"
	"slices"

	"github.com/ridehail/ridehail/sharedstate"
)

// nearMetres is how far around a pickup other nodes are asked first. Most
// searches find enough drivers there.
const nearMetres = 3000

// lookAround asks other nodes for free drivers around the pickups of some
// searches: near ones for all, then those of the widest circle for the searches
// that have too few.
func (d *Dispatcher) lookAround(ctx context.Context, searches []*SearchState) (looked LookedAround) {
	if d.cfg.LookAround == nil || len(searches) == 0 {
		return looked
	}

	looked = d.askAreas(ctx, searches, func(h *SearchState) float64 { return min(nearMetres, h.widest()) })

	now, enough := d.cfg.Now(), d.cfg.Policy.MinCandidates()
	var short []*SearchState
	for _, h := range searches {
		if h.widest() > nearMetres && len(h.findCandidates(d.cfg.Drivers, nearMetres, now)) < enough {
			short = append(short, h)
		}
	}
	if len(short) > 0 {
		looked.add(d.askAreas(ctx, short, (*SearchState).widest))
	}
	return looked
}

func (d *Dispatcher) askAreas(ctx context.Context, searches []*SearchState, metres func(*SearchState) float64) LookedAround {
	areas := make([]sharedstate.Area, len(searches))
	for i, h := range searches {
		areas[i] = sharedstate.Area{Point: h.Trip.Pickup, Metres: metres(h), Limit: h.rules.Candidates + len(h.askAfter), FreeOnly: true}
	}
	return d.cfg.LookAround(ctx, areas)
}

// widest returns the radius of the widest circle, in metres.
func (h *SearchState) widest() float64 { return slices.Max(h.rules.SearchRadii) }
