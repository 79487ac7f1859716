package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

var textStories = []story{
	{"an id that no database keeps is not found", badIDLookedUp},
	{"text that no database keeps is refused and leaves nothing behind", badTextWritten},
	{"a phone that names such a trip does not keep others from resuming", badIDResumes},
}

// badTexts are refused by Postgres; SQLite would keep them.
var badTexts = []string{"\x00", "a\x00b", "\xff", "a\xc3", "\xed\xa0\x80"}

func badIDLookedUp(w *world) {
	t := w.rideToOnTrip("rider", "driver")
	w.keepAlert(t, "1")
	w.sendChat(t, trips.Rider("rider"), "hello")

	for _, bad := range badTexts {
		id, who := trips.TripID(bad), trips.Rider(trips.RiderID(bad))
		_, trip := w.Trip(w.Context(), id)
		_, key := w.RecordedEvent(w.Context(), trips.IdempotencyKey{Actor: trips.Rider("rider"), ID: bad})
		_, whose := w.RecordedEvent(w.Context(), trips.IdempotencyKey{Actor: who, ID: "1"})
		_, active := w.ActiveTrip(w.Context(), who)
		_, charge := w.Charge(w.Context(), id)
		_, refund := w.Refund(w.Context(), id)
		for what, err := range map[string]error{"trip": trip, "key": key, "actor": whose, "active": active, "charge": charge, "refund": refund} {
			if !errors.Is(err, trips.ErrNotFound) {
				w.Errorf("%s %q: %v", what, bad, err)
			}
		}
		if _, err := w.AcknowledgeAlert(w.Context(), bad, w.nextTime()); !errors.Is(err, sos.ErrNotFound) {
			w.Errorf("alert %q: %v", bad, err)
		}
		w.checkEmptyLists(id, who)
	}
}

// checkEmptyLists checks that every list of an unknown trip or person is empty.
func (w *world) checkEmptyLists(id trips.TripID, who trips.Actor) {
	w.Helper()
	events, err1 := w.Events(w.Context(), id, 0)
	messages, err2 := w.ChatHistory(w.Context(), id, 0, 9)
	raised, err3 := w.MarkNotified(w.Context(), id, w.nextTime())
	calls, err4 := w.AlertsOf(w.Context(), who, id)
	list, err5 := w.ListTrips(w.Context(), who, startTime.Add(time.Hour), 9)
	paid, err6 := w.RiderCharges(w.Context(), trips.RiderID(who.ID), 9)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		w.Errorf("lists of %q: %v", id, err)
	}
	checkEqual(w, "rows", len(events)+len(messages)+len(raised)+len(calls)+len(list)+len(paid), 0)
}

func badTextWritten(w *world) {
	c := w.paidRide("paid")
	t := w.rideToOnTrip("rider", "driver")
	told := len(w.awaitPending(10))
	ctx, rider := w.Context(), trips.Rider("rider")

	for i, bad := range badTexts {
		move := func(id, reason string) error {
			ev, err := t.Cancel(trips.System("node"), reason, w.nextTime())
			w.checkNoError(err)
			_, err = w.Apply(ctx, newMove(id, ev))
			return err
		}
		message := chat.Message{Trip: t.ID, From: rider, ClientID: fmt.Sprint("m", i), Text: bad, At: w.nextTime()}
		_, text := w.AppendChat(ctx, message, string(t.Region))
		message.ClientID, message.Text = bad, "hello"
		_, client := w.AppendChat(ctx, message, string(t.Region))
		call := w.newAlert(t, bad)
		_, sosKey := w.AddAlert(ctx, call)
		call.ClientID, call.Text = "c", bad
		_, sosText := w.AddAlert(ctx, call)
		_, reason := w.RequestRefund(ctx, c.Trip, bad, w.nextTime())
		_, abandoned := w.Abandon(ctx, trips.IdempotencyKey{Actor: rider, ID: bad})

		for what, err := range map[string]error{"key": move(bad, "late"), "reason": move(fmt.Sprint("k", i), bad), "chat": text,
			"id of a message": client, "id of a call": sosKey, "call": sosText, "refund": reason, "given up": abandoned} {
			if !errors.Is(err, trips.ErrNotText) {
				w.Errorf("%s %q: %v", what, bad, err)
			}
		}
	}

	checkEqual(w, "trip", mustReturn[trips.Trip](w)(w.Trip(ctx, t.ID)), t)
	checkEqual(w, "outbox messages", len(w.awaitPending(told)), told)
}

func badIDResumes(w *world) {
	t := w.rideToOnTrip("rider", "driver")
	var queries []trips.ResumeQuery
	for _, bad := range badTexts {
		queries = append(queries, trips.ResumeQuery{Who: trips.Rider("rider"), Trip: trips.TripID(bad)},
			trips.ResumeQuery{Who: trips.Rider(trips.RiderID(bad))})
	}
	queries = append(queries, trips.ResumeQuery{Who: trips.Rider("rider"), Trip: t.ID})

	states, _, err := w.ResumeStates(w.Context(), queries)
	w.checkNoError(err)
	checkEqual(w, "answers", len(states), len(queries))
	checkEqual(w, "the last one's trip", states[len(states)-1].Trip, t)
}
