package storetest

import (
	"errors"
	"fmt"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

var resumeStories = []story{
	{"many people hear at once what each would hear alone", everyoneResumes},
	{"without a query there is no answer and no error", noOneResumes},
}

// everyoneResumes makes trips that each stop one step later than the one
// before. Some of them have a chat, a call for help or a charge.
func everyoneResumes(w *world) {
	var queries []trips.ResumeQuery
	for i := range 12 {
		queries = append(queries, w.resumeQueries(i)...)
	}
	states, receipts, err := w.ResumeStates(w.Context(), queries)
	w.checkNoError(err)
	checkEqual(w, "answers", len(states), len(queries))

	var seen trips.ResumeState
	for i, got := range states {
		checkEqual(w, fmt.Sprintf("%+v", queries[i]), got, w.resumeAlone(queries[i]))
		if got.Paid {
			charge := mustReturn[payments.Charge](w)(w.Charge(w.Context(), got.Trip.ID))
			checkEqual(w, "receipt", receipts[got.Trip.ID], charge)
		}
		seen.LastChatSeq = max(seen.LastChatSeq, got.LastChatSeq)
		seen.SOSAcked, seen.Paid = seen.SOSAcked || got.SOSAcked, seen.Paid || got.Paid
	}

	checkEqual(w, "what happened", seen, trips.ResumeState{LastChatSeq: 3, SOSAcked: true, Paid: true})
}

// resumeQueries makes the i-th trip and returns the queries of its people, and
// those of others who name it.
func (w *world) resumeQueries(i int) []trips.ResumeQuery {
	w.Helper()
	t := w.tripUpTo(i)
	rider, driver := trips.Rider(t.Rider), trips.Driver(trips.DriverID(fmt.Sprint("d", i)))
	for range i % 4 {
		w.sendChat(t, driver, "hello")
	}

	if i%3 == 0 {
		a := w.keepAlert(t, "sos")
		if i%2 == 0 {
			mustReturn[sos.Alert](w)(w.AcknowledgeAlert(w.Context(), a.ID, w.nextTime()))
		}
	}

	if t.State == trips.Completed && i > 5 {
		mustReturn[payments.Charge](w)(w.RecordCharge(w.Context(), w.newCharge(t)))
	}
	if i == 9 {
		w.endRefund(w.askRefund(mustReturn[payments.Charge](w)(w.Charge(w.Context(), t.ID))), payments.RefundDone)
	}

	stranger := trips.Rider("stranger")
	return []trips.ResumeQuery{{Who: rider}, {Who: rider, Trip: t.ID}, {Who: driver, Trip: t.ID}, {Who: driver},
		{Who: stranger, Trip: t.ID}, {Who: stranger, Trip: "no such trip"}, {Who: trips.Rider(trips.RiderID(driver.ID))},
		{Who: trips.System("node"), Trip: t.ID}}
}

// tripUpTo makes the i-th trip, i%5 steps long after its request.
func (w *world) tripUpTo(i int) trips.Trip {
	w.Helper()
	driver := trips.DriverID(fmt.Sprint("d", i))
	d := trips.Driver(driver)
	t := w.requestTrip(trips.RiderID(fmt.Sprint("r", i)))
	steps := []func() (trips.Event, error){
		func() (trips.Event, error) { return t.Reserve(driver, w.nextTime()) },
		func() (trips.Event, error) { return t.Arrive(d, w.nextTime()) },
		func() (trips.Event, error) { return t.Start(d, w.nextTime()) },
		func() (trips.Event, error) { return t.Complete(d, w.nextTime()) },
	}

	for _, step := range steps[:i%5] {
		t = w.commitMove(step())
	}

	return t
}

// resumeAlone reads with the store's other methods what ResumeStates reads.
func (w *world) resumeAlone(q trips.ResumeQuery) (state trips.ResumeState) {
	w.Helper()
	t, err := w.ActiveTrip(w.Context(), q.Who)
	if !w.wasFound(err) {
		if t, err = w.Trip(w.Context(), q.Trip); !w.wasFound(err) {
			return trips.ResumeState{}
		}
	}

	state.Trip = t

	said, err := w.ChatHistory(w.Context(), t.ID, 0, 100)
	w.checkNoError(err)
	state.LastChatSeq = uint32(len(said))
	calls, err := w.AlertsOf(w.Context(), q.Who, t.ID)
	w.checkNoError(err)
	for _, c := range calls {
		state.SOSAcked = state.SOSAcked || !c.AckedAt.IsZero()
	}
	c, err := w.Charge(w.Context(), t.ID)
	state.Paid = w.wasFound(err) && trips.Rider(c.Rider) == q.Who
	return state
}

// wasFound says whether a lookup found something. It ends the story on any
// error but trips.ErrNotFound.
func (w *world) wasFound(err error) bool {
	w.Helper()
	if err != nil && !errors.Is(err, trips.ErrNotFound) {
		w.Fatal(err)
	}
	return err == nil
}

func noOneResumes(w *world) {
	states, _, err := w.ResumeStates(w.Context(), nil)
	w.checkNoError(err)
	checkEqual(w, "answers", len(states), 0)
}
