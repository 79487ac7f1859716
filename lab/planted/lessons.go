package planted

import (
	"context"
	"errors"

	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/trips"
)

// Lesson is a planted bug, and a story in which it breaks a promise.
type Lesson struct {
	Name   string `json:"name"`
	Says   string `json:"says"`   // what the bug does
	Breaks string `json:"breaks"` // the promise, in the checker's words
	// Where the real code does it right, and how.
	File  string `json:"file"`
	Func  string `json:"func"`
	Right string `json:"right"`

	story []step
	shows []string // processes of the diagram, besides the phones
	// killable runs the node as a process of its own on a SQLite file.
	killable bool
	// postgres needs two transactions at a time, which SQLite never has.
	postgres bool
}

// step is one thing that happens. Without what it acts on, it does nothing and
// returns errSkipped.
type step struct {
	text string
	do   func(context.Context, *stage) error
}

var errSkipped = errors.New("the step has nothing to act on")

// Lessons returns all lessons.
func Lessons() []Lesson {
	return []Lesson{
		{Name: "ack-before-commit", Says: "the node answers first and commits afterwards",
			Breaks: "each command acked as done was done, and once",
			File:   "store/sqlite/writer.go", Func: "writeTraced", Right: "returns when the commit is on the disk",
			story: []step{asks("bola"), asks("efe"), nodeDies(), asks("ada")},
			shows: []string{node, database}, killable: true},
		{Name: "no-unique-index", Says: "the database has no unique index on a driver's active trip",
			Breaks: "a driver has one active trip at most, at every moment",
			File:   "store/sqlite/trips.go", Func: "updateTripRow", Right: "lets the index trips_one_per_driver refuse",
			story: []step{asks("ada"), asks("bola"), asks("efe"), accepts("dayo", "efe"), accepts("chidi", "ada"), accepts("chidi", "bola")},
			shows: []string{node}},
		{Name: "xack-before-effect", Says: "the worker acknowledges a job before it has done it",
			Breaks: "the provider took each completed trip's quoted fare once",
			File:   "events/worker.go", Func: "Worker.runJob", Right: "calls the handler first, and XACK last",
			story: []step{rides("bola", "dayo"), answerLost(), workerDies(), rides("ada", "chidi")},
			shows: []string{node, queue, worker, payer}},
		{Name: "new-reference-per-try", Says: "each try of a charge has a reference of its own",
			Breaks: "ledger, charges and quoted fares have the same sum",
			File:   "payments/settle.go", Func: "Settler.verifyOrCharge", Right: "asks before it charges again",
			story: []step{rides("bola", "dayo"), workerDies(), answerLost(), rides("ada", "chidi")},
			shows: []string{queue, worker, payer}},
		{Name: "outbox-by-id", Says: "the relay reads the outbox by id alone",
			Breaks: "phones connected to the end know how their trip and chat ended",
			File:   "store/postgres/outbox.go", Func: "outboxStore.PendingMessages", Right: "waits for older transactions",
			story: []step{asks("ada"), asks("efe"), accepts("dayo", "efe"), commitSlow(), accepts("chidi", "ada"), asks("bola")},
			shows: []string{node, database, relay}, postgres: true},
	}
}

// asks is a rider who asks for a ride.
func asks(rider trips.RiderID) step {
	who := trips.Rider(rider)
	return step{nameOf(who) + " asks for a ride", func(ctx context.Context, s *stage) error {
		return s.sendCommand(ctx, command{Who: who, ID: who.ID + "-asks", Kind: journal.Request, asks: "a ride?"})
	}}
}

// accepts is a driver who accepts a rider's trip.
func accepts(driver trips.DriverID, rider trips.RiderID) step {
	who, whose := trips.Driver(driver), nameOf(trips.Rider(rider))+"'s trip"
	return step{nameOf(who) + " accepts " + whose, func(ctx context.Context, s *stage) error {
		return s.sendCommand(ctx, command{Who: who, ID: who.ID + "-accepts-" + string(rider), Kind: journal.Accept, Trip: s.tripOf(rider),
			asks: "takes " + nameOf(trips.Rider(rider))})
	}}
}

// rides is a whole ride of five commands.
func rides(rider trips.RiderID, driver trips.DriverID) step {
	r, d := trips.Rider(rider), trips.Driver(driver)
	return step{nameOf(r) + " rides with " + nameOf(d) + ": five commands, from request to completion", func(ctx context.Context, s *stage) error {
		for _, c := range []command{{Who: r, Kind: journal.Request}, {Who: d, Kind: journal.Accept}, {Who: d, Kind: journal.Arrive},
			{Who: d, Kind: journal.Start}, {Who: d, Kind: journal.Complete}} {
			c.ID, c.Trip = c.Who.ID+"-"+c.Kind, s.tripOf(rider)
			if err := s.sendCommand(ctx, c); err != nil {
				return err
			}
		}
		s.trace.addEvent(node, nameOf(r)+"'s ride is over")
		return nil
	}}
}

// nodeDies kills the node at its next command, before the commit can be done.
func nodeDies() step {
	return step{"the node will die at its next command: the disk is slow, so no commit is done by then",
		func(_ context.Context, s *stage) error {
			s.killNext = true
			return nil
		}}
}

// commitSlow holds back the commit of the next command.
func commitSlow() step {
	return step{"the next commit is slow: it has its id, and ends after the commit that follows it",
		func(_ context.Context, s *stage) error {
			s.holdNext = true
			return nil
		}}
}

// workerDies lets a worker die before it has done the first job it gets.
func workerDies() step {
	return step{"the first worker will die when it has a job, before the charge", func(_ context.Context, s *stage) error {
		s.dieNext = true
		return nil
	}}
}

// answerLost loses an answer of the provider after it took the money.
func answerLost() step {
	return step{"the provider's first answer will get lost, after it took the money", func(_ context.Context, s *stage) error {
		s.loseAnswer = true
		return nil
	}}
}

// tripOf returns a rider's trip, or "".
func (s *stage) tripOf(rider trips.RiderID) trips.TripID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trips[rider]
}
