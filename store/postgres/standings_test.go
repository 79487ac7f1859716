package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// stands reads for one person what Standings reads for many, with the other methods of the store.
func stands(t *testing.T, s *Store, a trips.Asker) (st trips.Standing) {
	t.Helper()
	found := func(err error) bool {
		t.Helper()
		if err != nil && !errors.Is(err, trips.ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	ctx := t.Context()
	active, err := s.Active(ctx, a.Who)
	if st.Trip = active; !found(err) {
		named, err := s.Trip(ctx, a.Trip)
		if st.Trip = named; !found(err) {
			return trips.Standing{}
		}
	}
	said, err := s.History(ctx, st.Trip.ID, 0, 100)
	found(err)
	st.Said = uint32(len(said))
	calls, err := s.AlertsOf(ctx, a.Who, st.Trip.ID)
	found(err)
	for _, c := range calls {
		st.Helped = st.Helped || !c.AckedAt.IsZero()
	}
	c, err := s.Charge(ctx, st.Trip.ID)
	st.Paid = found(err) && trips.Rider(c.Rider) == a.Who
	return st
}

func TestManyHearInOneStatementWhatEachWouldHearAlone(t *testing.T) {
	s := open(t, hasty(t, database(t)))
	ctx, at := t.Context(), time.Unix(1_700_000_000, 0).UTC()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var everybody []trips.Asker
	for i := range 12 { // each trip stops one step later, and some are talked about
		rider, driver := trips.RiderID(fmt.Sprint("r", i)), trips.DriverID(fmt.Sprint("d", i))
		d := trips.Driver(driver)
		ev, err := (&trips.Desk{Store: s, Now: func() time.Time { return at }}).Request(ctx,
			trips.Key{Actor: trips.Rider(rider), ID: "go"}, rider, location.Point{Lng: 3.4, Lat: 6.5}, location.Point{Lng: 3.5, Lat: 6.5}, trips.Quote{})
		must(err)
		id := ev.Trip.ID
		steps := []trips.Verb{
			func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve(driver, at) },
			func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Arrive(d, at) },
			func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Start(d, at) },
			func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Complete(d, at) },
		}
		for n, step := range steps[:i%5] {
			next, err := step(ev.Trip, at)
			must(err)
			ev, err = s.Apply(ctx, trips.Move{Key: trips.Key{Actor: d, ID: fmt.Sprint(n)}, Event: next})
			must(err)
		}
		for n := range i % 4 {
			_, err := s.Append(ctx, chat.Message{Trip: id, From: d, ClientID: fmt.Sprint(n), Text: "hello", At: at}, "region")
			must(err)
		}
		if i%3 == 0 {
			a, err := s.KeepAlert(ctx, sos.Alert{ID: "a" + string(id), Trip: id, From: trips.Rider(rider), ClientID: "sos", At: at})
			must(err)
			if i%2 == 0 {
				_, err = s.AckAlert(ctx, a.ID, at)
				must(err)
			}
		}
		if ev.Trip.State == trips.Completed && i > 5 {
			_, err := s.Settle(ctx, payments.Charge{Trip: id, Rider: rider, Reference: payments.Reference(id), At: at})
			must(err)
		}
		everybody = append(everybody, trips.Asker{Who: trips.Rider(rider)}, trips.Asker{Who: trips.Rider(rider), Trip: id},
			trips.Asker{Who: d, Trip: id}, trips.Asker{Who: d}, trips.Asker{Who: trips.Rider("stranger"), Trip: id},
			trips.Asker{Who: trips.Rider("stranger"), Trip: "no such trip"}, trips.Asker{Who: trips.Rider(trips.RiderID(driver)), Trip: ""})
	}
	got, receipts, err := s.Standings(ctx, everybody)
	must(err)
	var some trips.Standing
	for i, a := range everybody {
		if want := stands(t, s, a); got[i] != want {
			t.Errorf("%+v: got %+v, want %+v", a, got[i], want)
		}
		if st := got[i]; st.Paid {
			if c, err := s.Charge(ctx, st.Trip.ID); err != nil || receipts[st.Trip.ID] != c {
				t.Errorf("the receipt is %+v, not %+v: %v", receipts[st.Trip.ID], c, err)
			}
		}
		some.Said, some.Helped, some.Paid = max(some.Said, got[i].Said), some.Helped || got[i].Helped, some.Paid || got[i].Paid
	}
	if some.Said != 3 || !some.Helped || !some.Paid {
		t.Errorf("too little happened: %+v", some)
	}
	if none, _, err := s.Standings(ctx, nil); len(none) != 0 || err != nil {
		t.Errorf("nobody hears %v, %v", none, err)
	}
}

func TestStandingsAreLookedUpByIndex(t *testing.T) {
	s := open(t, database(t))
	rows, err := s.pool.Query(t.Context(), "EXPLAIN "+standingsSQL, []string{"rider"}, []string{"r"}, []string{""})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var line string
	for rows.Next() {
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		for _, whole := range []string{"Seq Scan", "Hash", "Merge"} {
			if strings.Contains(line, whole) {
				t.Errorf("the plan reads a whole table: %s", line)
			}
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
