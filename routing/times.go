package routing

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/internal/ch"
)

// walkSpeed, in metres per second, gives the time of a driver who is not near
// any road. One such driver does not make the whole matrix fail, and is never
// the first at a pickup.
const walkSpeed = 1.4

// Times returns how long a car takes from each place to one: a Matrix with one
// column.
func (r *Router) Times(ctx context.Context, from []location.Point, to location.Point) ([]time.Duration, error) {
	rows, err := r.Matrix(ctx, from, []location.Point{to})
	if err != nil {
		return nil, err
	}

	times := make([]time.Duration, len(rows))
	for i, row := range rows {
		times[i] = row[0]
	}
	return times, nil
}

// NoWay is the time between two places without a way between them.
const NoWay = longestTime

// Matrix returns a row for each place of from with the times a car takes to
// each place of to, NoWay where there is no way. It returns ErrOutsideCity when
// no road is near a place of to. A place of from that is near no road counts as
// a straight walk.
func (r *Router) Matrix(ctx context.Context, from, to []location.Point) ([][]time.Duration, error) {
	ends := make([]edgePoint, len(to))
	enter := make([][]ch.Seed, len(to))
	for j, p := range to {
		s, err := r.snapToEdge(p)
		if err != nil {
			return nil, fmt.Errorf("times to place %d: %w", j, err)
		}
		ends[j], enter[j] = s, r.enterSeeds(s)
	}

	begins := make([]edgePoint, len(from))
	leave := make([][]ch.Seed, len(from)) // none: on foot
	for i, p := range from {
		if err := p.CheckRange(); err != nil {
			return nil, fmt.Errorf("times from place %d: %w", i, err)
		}
		if s, ok := r.city.index.findNearest(p, snapRadius); ok {
			begins[i], leave[i] = s, r.leaveSeeds(s)
		}
	}

	f := r.finders.Get().(*ch.Finder)
	defer r.finders.Put(f)

	costs, err := f.Matrix(ctx, leave, enter)
	if err != nil {
		return nil, err
	}

	rows := make([][]time.Duration, len(from))
	for i := range rows {
		rows[i] = make([]time.Duration, len(to))
		for j := range to {
			switch cost := costs[i][j]; {
			case leave[i] == nil:
				rows[i][j] = walkTime(from[i], to[j])
			default:
				rows[i][j] = driveTime(min(cost, r.costOnEdge(begins[i], ends[j])))
			}
		}
	}
	return rows, nil
}

func walkTime(from, to location.Point) time.Duration {
	return min(NoWay, time.Duration(location.MetresBetween(from, to)/walkSpeed*float64(time.Second)).Truncate(time.Millisecond))
}

func driveTime(ms uint64) time.Duration {
	if ms >= uint64(NoWay.Milliseconds()) {
		return NoWay
	}
	return time.Duration(ms) * time.Millisecond
}
