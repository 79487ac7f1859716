package check

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/trips"
)

// A driver is modelled as a register that holds the driver's active trip.
type (
	takes struct{ trip trips.TripID } // the driver accepts it
	ends  struct{ trip trips.TripID } // completes it, or it is cancelled
	has   struct{ trip trips.TripID } // reads which it is; "" for none
)

var driverModel = porcupine.Model{
	Init: func() any { return trips.TripID("") },
	Step: func(state, input, _ any) (bool, any) {
		trip := state.(trips.TripID)
		switch op := input.(type) {
		case takes:
			return trip == "", op.trip
		case ends:
			return trip == op.trip, trips.TripID("")
		case has:
			return trip == op.trip, trip
		}
		return false, state
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%T %v", input, input) },
}

// checkLinearizable looks for an order of each driver's operations that
// explains what the driver saw: each happened between its command and its ack,
// and no trip began before the one before it had ended. Operations without an
// ack or a command may have happened at any time. If the search takes longer
// than within, the remaining drivers count as violations.
func checkLinearizable(ctx context.Context, db *store, h *clientHistory, within time.Duration) *invariant {
	out := newInvariant("each driver's accepts, completions and reads are linearizable")
	until := time.Now().Add(within)
	histories := buildHistories(db, h)
	for _, driver := range slices.SortedFunc(maps.Keys(histories), compareActors) {
		ops := histories[driver]
		left := time.Until(until)
		verdict := porcupine.Unknown
		if left > 0 && ctx.Err() == nil { // porcupine takes 0 for no timeout
			verdict = porcupine.CheckOperationsTimeout(driverModel, ops, left)
		}

		switch verdict {
		case porcupine.Illegal:
			out.check(false, "%v: no order of %d operations explains what was seen: %s", driver, len(ops), formatOperations(ops))
		case porcupine.Unknown:
			out.check(false, "%v: no verdict on %d operations within %v", driver, len(ops), within)
		default:
			out.Checked++
		}
	}

	return out
}

func compareActors(a, b trips.Actor) int { return cmp.Compare(a.String(), b.String()) }

// rideStep is the begin or the end of a driver's trip.
type rideStep struct {
	rideKey
	ended bool
}

// driverHistories has the operations of each driver with a journal.
type driverHistories map[trips.Actor][]porcupine.Operation

func (all driverHistories) add(who trips.Actor, op any, from, till int) {
	all[who] = append(all[who], porcupine.Operation{Input: op, Call: int64(from), Return: int64(till)})
}

// buildHistories takes acked operations from the journals, and the rest from
// the log.
func buildHistories(db *store, h *clientHistory) driverHistories {
	all, commands := driverHistories{}, commandsByStep(h)
	for d, c := range commands {
		if c.answer.What == journal.OK {
			all.add(d.driver, d.operation(), c.invoked, c.answered)
		}
	}

	for id, events := range db.events {
		for _, ev := range events {
			ride := rideKey{trips.Driver(ev.Trip.Driver), id}
			if h.people[ride.driver] {
				all.addEvent(ride, ev, commands, h)
			}
		}
	}

	for who, reads := range h.reads {
		for _, r := range reads {
			all.add(who, has{r.trip}, r.from, r.till)
		}
	}

	for _, ops := range all {
		slices.SortStableFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	}

	return all
}

// addEvent adds the operation of an event unless an ack has added it.
func (all driverHistories) addEvent(ride rideKey, ev trips.Event, commands map[rideStep]*command, h *clientHistory) {
	d := rideStep{ride, ev.Kind != trips.KindReserved}
	switch {
	case ev.Kind == trips.KindReserved, ev.Kind == trips.KindCompleted:
		switch c := commands[d]; {
		case c == nil:
			all.add(ride.driver, d.operation(), 0, math.MaxInt)
		case c.answer.What != journal.OK:
			all.add(ride.driver, d.operation(), c.invoked, math.MaxInt)
		}
	case !ev.Trip.State.IsActive():
		all.add(ride.driver, d.operation(), 0, h.endHeardAt(ride))
	}
}

func (d rideStep) operation() any {
	if d.ended {
		return ends{d.trip}
	}
	return takes{d.trip}
}

// commandsByStep returns the command of each step, the acked one if there is
// one.
func commandsByStep(h *clientHistory) map[rideStep]*command {
	out := map[rideStep]*command{}
	for _, c := range h.sent {
		if c.kind != journal.Accept && c.kind != journal.Complete || c.answer.What == journal.Fail {
			continue
		}
		d := rideStep{rideKey{c.who, c.trip}, c.kind == journal.Complete}
		if was := out[d]; was == nil || was.answer.What != journal.OK {
			out[d] = c
		}
	}
	return out
}

// endHeardAt returns the line at which a driver was told that a ride had ended.
func (h *clientHistory) endHeardAt(ride rideKey) int {
	if line, ok := h.ends[ride]; ok {
		return line
	}
	return math.MaxInt
}

// formatOperations formats the first operations.
func formatOperations(ops []porcupine.Operation) string {
	const most = 12
	text := ""
	for _, op := range ops[:min(len(ops), most)] {
		till := "open"
		if op.Return != math.MaxInt {
			till = fmt.Sprint("line ", op.Return)
		}
		text += fmt.Sprintf("%s from line %d to %s; ", driverModel.DescribeOperation(op.Input, nil), op.Call, till)
	}

	return text
}
